"""The server's side of a caller's connection.

`protocol` reads and limits, `timing` ends what takes too long, `refusals` says no, `responding`
writes whole answers, `files` says how many connections there can be, `memory` what the garbage
collector looks at.
"""

from gateway.server.files import raise_file_limit
from gateway.server.memory import leave_loaded_alone
from gateway.server.protocol import GatewayProtocol

__all__ = ["GatewayProtocol", "leave_loaded_alone", "raise_file_limit"]
