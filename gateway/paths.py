"""What a path says: whose dialect it is, and why nothing answers it. Pure."""

from __future__ import annotations

from gateway.errors import EndpointNotOffered, UnknownEndpoint

# Clients of Anthropic's whose base URL ends in /v1 by default come here with one that does not.
ALIASES = {
    "/messages": "/v1/messages",
    "/messages/count_tokens": "/v1/messages/count_tokens",
}
# Endpoints of the vendors that are not passed on, by how their paths begin below /v1. One more
# slash behind what is offered (`responses/`) is a slip, and names nothing that is kept.
_NOT_OFFERED = {
    "images": "Images",
    "audio": "Speech and transcriptions",
    "videos": "Videos",
    "moderations": "Moderations",
    "files": "Files",
    "uploads": "Uploads",
    "batches": "Batches",
    "messages/batches": "Batches",
    "realtime": "Realtime sessions",
    "fine_tuning": "Fine-tuning jobs",
    "assistants": "Assistants",
    "threads": "Threads",
    "vector_stores": "Vector stores",
    "conversations": "Kept conversations",
    "responses/": "Kept responses",
    "chat/completions/": "Kept completions",
    "chat/deferred-completion": "Deferred completions",
    "containers": "Containers",
    "evals": "Evaluations",
    "skills": "Skills",
    "organizations": "Management endpoints of vendors",
}


def explain_unknown(method: str, path: str) -> UnknownEndpoint:
    """Return the error for a path that nothing answers."""
    below = path.removeprefix("/v1/")
    for start, what in _NOT_OFFERED.items():
        name = start.rstrip("/")
        if below == name or (below.startswith(f"{name}/") and below != start):
            return EndpointNotOffered(method, path, what)
    return UnknownEndpoint(method, path)


def is_anthropic(path: str, *, has_version: bool) -> bool:
    """Say whether a caller expects Anthropic's shapes.

    The path tells, but for the models, which both vendors have under the same one: there only
    Anthropic's clients send `anthropic-version`.
    """
    if path.startswith(("/v1/messages", "/messages")):
        return True
    return has_version and path.startswith("/v1/models")
