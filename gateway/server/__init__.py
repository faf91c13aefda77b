"""The server's side of a caller's connection.

`protocol` reads and limits, `refusals` says no, `files` says how many connections there can be.
"""

from gateway.server.files import raise_file_limit
from gateway.server.protocol import GatewayProtocol

__all__ = ["GatewayProtocol", "raise_file_limit"]
