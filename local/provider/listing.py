"""GET /v1/models: one object for both dialects, which every SDK takes."""

from local.provider.behaviours import DEMO_MODELS, NORMAL_MODELS, find_behaviour
from local.provider.errors import unknown_model
from local.provider.tokens import Json

CREATED = 1_735_689_600
CREATED_AT = "2025-01-01T00:00:00Z"


def list_models() -> Json:
    names = (*NORMAL_MODELS, *DEMO_MODELS)
    return {
        "object": "list",
        "data": [_write_model(name) for name in names],
        "has_more": False,
        "first_id": names[0],
        "last_id": names[-1],
    }


def show_model(name: str) -> Json:
    """Any model that would answer. Raises Refused with 404 for the others."""
    if find_behaviour(name) is None:
        raise unknown_model(name)
    return _write_model(name)


def _write_model(name: str) -> Json:
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "demo",
        "type": "model",
        "display_name": DEMO_MODELS.get(name, name),
        "created_at": CREATED_AT,
    }
