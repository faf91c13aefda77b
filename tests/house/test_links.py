"""Every link of a page in this repository to a file of it leads somewhere."""

import re

from tests.house.tracked import show, tracked_files

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#]+)[^)]*\)")


def test_every_link_leads_somewhere() -> None:
    pages = tracked_files(".md")
    broken = [
        f"{show(page)}: {link}"
        for page in pages
        for link in LINK.findall(page.read_text())
        if not (page.parent / link).exists()
    ]
    assert pages
    assert broken == []


def test_every_decision_that_is_named_is_written_down() -> None:
    named = {
        number
        for suffix in (".py", ".md", ".yml")
        for path in tracked_files(suffix)
        for number in re.findall(r"decisions/(\d{4})", path.read_text())
    }
    written = {path.name[:4] for path in tracked_files(".md") if path.parent.name == "decisions"}
    assert named
    assert named <= written
