"""demo-echo: what arrived, as JSON in the content of the answer.

The body stands there as a string, letter for letter, so that a test sees names
given twice and the order of fields; the headers show whose secrets were sent.
"""

from local.provider.fields import Call
from local.provider.frames import encode


def write_echo(call: Call) -> str:
    """The JSON that demo-echo says; empty for every other behaviour."""
    if call.behaviour.base != "demo-echo":
        return ""
    request = call.request
    headers = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()
    }
    heard = {
        "method": request.method.decode(),
        "path": request.path.decode("latin-1"),
        "query": request.query.decode("latin-1"),
        "headers": headers,
        "body": request.body.decode("utf-8", "replace"),
    }
    return encode(heard).decode()
