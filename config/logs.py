"""Log lines for machines: one JSON object a line, with the id of the call that it is about.

Only what a message says and the figures that were given for it (`extra={"figures": ...}`) are
written, never a request, a header or a variable that happened to be near. Paths are part of some
messages, and people paste keys into addresses: whatever looks like a key is cut.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from accounts.keys import hide
from gateway.tracing import CALL_ID


class TextFormatter(logging.Formatter):
    """Lines for people, without keys."""

    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


class JsonFormatter(logging.Formatter):
    """Writes at, level, logger, message; call_id, figures and error where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if call_id := CALL_ID.get():
            line["call_id"] = call_id
        if figures := getattr(record, "figures", None):
            line["figures"] = figures
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return hide(msgspec.json.encode(line).decode())
