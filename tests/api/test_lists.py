"""Every list goes on by cursor: newest first, nothing twice, nothing passed over."""

import pytest

from accounts.models import Organization, Project
from tests.api.asking import Api

pytestmark = pytest.mark.django_db
PROJECTS = "organizations/acme/projects"


@pytest.fixture
def seven(acme: Organization) -> list[str]:
    slugs = [f"p{number}" for number in range(7)]
    for slug in slugs:
        Project.objects.create(organization=acme, slug=slug, name=slug)
    return slugs[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_pages_of_any_size_add_up(alices: Api, seven: list[str], limit: int) -> None:
    assert [each["slug"] for each in alices.list_all(PROJECTS, limit=limit)] == seven


def test_a_list_that_grows_neither_repeats_nor_skips(
    alices: Api, acme: Organization, seven: list[str]
) -> None:
    first = alices.get(PROJECTS, limit=3).body
    Project.objects.create(organization=acme, slug="late", name="Late")
    rest = alices.list_all(PROJECTS, limit=3, cursor=first["next"])
    assert [each["slug"] for each in [*first["items"], *rest]] == seven


def test_filters_go_on_with_the_cursor(alices: Api, seven: list[str]) -> None:
    alices.post(f"{PROJECTS}/p3/archive")
    found = alices.list_all(PROJECTS, limit=2, archived="false")
    assert [each["slug"] for each in found] == [slug for slug in seven if slug != "p3"]


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!", "AAAA", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "é", "A" * 201]
)
def test_a_cursor_that_no_list_gave_is_an_error_or_an_empty_page(
    alices: Api, seven: list[str], cursor: str
) -> None:
    answer = alices.get(PROJECTS, cursor=cursor)
    assert answer.status in {200, 400}
    if answer.status == 400:
        assert answer.error["field"] == "cursor"


@pytest.mark.parametrize("limit", ["0", "-1", "201", "many", "1e3", ""])
def test_a_page_has_between_1_and_200_items(alices: Api, limit: str) -> None:
    answer = alices.get(PROJECTS, limit=limit)
    assert (answer.status, answer.error["field"]) == (400, "limit")
