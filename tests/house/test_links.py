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
