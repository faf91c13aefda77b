"""Nothing in the project says where packages come from: that is the machine's own setting."""

import re

from tests.house.tracked import show, tracked_files

# In pieces, because this file is tracked too.
HOSTS = ("pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.(?:org|com)")
NAMED = re.compile("|".join(HOSTS) + "|(?<![a-z-])--(?:extra-)?index-" + "url")


def test_no_tracked_file_names_a_package_index() -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{show(path)}: {match.group()}" for match in NAMED.finditer(text)]
    assert found == []


def test_every_locked_package_has_a_hash() -> None:
    for path in tracked_files(".lock"):
        entries = re.split(r"\n(?=[a-z0-9])", path.read_text())
        pinned = [entry for entry in entries if "==" in entry.partition("\n")[0]]
        assert pinned, show(path)
        assert [entry for entry in pinned if "--hash=sha256:" not in entry] == []
