"""docs/protocols.md says of every endpoint how it reaches each kind of provider, and it does."""

import re
from pathlib import Path

import pytest

from gateway import dialects
from gateway.asgi import ENDPOINTS
from gateway.passages import Translating

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()
COLUMNS = (dialects.OPENAI, dialects.ONLY_RESPONSES, dialects.ANTHROPIC)
SPOKEN = {
    "/chat/completions": "chat completions",
    "/responses": "responses",
    "/v1/messages": "messages",
}
_ROW = re.compile(r"^\| (`/v1/\S+`) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = {
    cells[0].strip("`"): dict(zip(COLUMNS, cells[1:], strict=True))
    for cells in re.findall(
        r"^\| (`/v1/\S+`) \| (.+?) \| (.+?) \| (.+?) \|$", DOCUMENT, re.MULTILINE
    )
}


def test_every_endpoint_that_reaches_a_provider_has_its_row() -> None:
    assert set(ROWS) == {path for path, endpoint in ENDPOINTS.items() if endpoint.dialect}


def tell(path: str, kind: str) -> str:
    """How the calls of an endpoint fare at a kind of provider, as the table says it."""
    dialect = ENDPOINTS[path].dialect
    assert dialect is not None
    passage = dialect.passages.get(kind)
    if passage is None:
        return "404: it has none" if dialect.answer_here is None else "estimated here"
    return f"translated to {SPOKEN[passage.path]}" if passage.is_translated else "passes"


@pytest.mark.parametrize("path", ROWS)
def test_every_cell_says_what_is_done(path: str) -> None:
    for kind, said in ROWS[path].items():
        if "else " in said:  # Where the provider has the endpoint, and where it has not.
            own, other = said.split(", else ")
            assert tell(path, dialects.OPENAI_RESPONSES) == own.partition(" where")[0]
            assert tell(path, kind) == other
        else:
            assert tell(path, kind) == said
            if kind == dialects.OPENAI:
                assert tell(path, dialects.OPENAI_RESPONSES) == said


def test_only_translations_are_called_so() -> None:
    for endpoint in ENDPOINTS.values():
        for passage in endpoint.dialect.passages.values() if endpoint.dialect else ():
            assert isinstance(passage, Translating) == passage.is_translated
