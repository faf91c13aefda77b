"""The errors a person at the terminal can do something about.

Every message is one sentence that names the folder, port or variable and says what to do. The
supervisor prints it and ends with exit code 1; a traceback means a bug of ours instead.
"""


class LocalError(Exception):
    """Something about this machine keeps Tollgate from running; the text says what to do."""


class ServerError(LocalError):
    """An embedded server cannot be started, or did not stay up."""
