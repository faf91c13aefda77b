"""Every link of a page in this repository to a file of it leads somewhere."""

import re

from tests.house.tracked import ROOT, show, tracked_files

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#]+)[^)]*\)")

# Names of files and folders between backticks, as `gateway/protocols/` and `accounts/keys.py`.
NAMED = re.compile(r"`((?:[\w.-]+/)+(?:[\w.-]+\.(?:py|sql|yaml|md))?)(?:::\w+)?`")


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


def test_every_file_that_a_page_names_is_there() -> None:
    """A model that had become a folder was still named as a file."""
    pages = tracked_files(".md")
    gone = [
        f"{show(page)}: {name}"
        for page in pages
        for name in NAMED.findall(page.read_text())
        if (ROOT / name.split("/")[0]).is_dir() and not (ROOT / name).exists()
    ]
    assert any(NAMED.search(page.read_text()) for page in pages)
    assert gone == []


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
