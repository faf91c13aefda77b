"""Small bodies that become large when they are inflated."""

from __future__ import annotations

import gzip
import zlib
from functools import cache

MEGABYTE = 2**20


@cache
def gzip_bomb(megabytes: int) -> bytes:
    """About a thousandth of what it becomes."""
    return gzip.compress(bytes(megabytes * MEGABYTE), 9)


@cache
def deflate_bomb(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes * MEGABYTE), 9)


@cache
def zstd_bomb(megabytes: int) -> bytes:
    """A frame of run-length blocks (RFC 8878, 3.1.1.2): four bytes for each 128 KiB."""
    head = b"\x28\xb5\x2f\xfd\x00\x58"  # Magic, no checksum and no size, a window of 2 MiB.
    blocks = megabytes * 8
    size_and_type = (128 * 1024 << 3) | (1 << 1)
    block = size_and_type.to_bytes(3, "little") + b"\0"
    last = (size_and_type | 1).to_bytes(3, "little") + b"\0"
    return head + block * (blocks - 1) + last
