"""What belongs to this project: the files that git tracks, or all that is ours without git."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_OURS = {".venv", ".data", ".git", "node_modules", "__pycache__", "staticfiles"}


@cache
def tracked_files(suffix: str = "") -> list[Path]:
    """Return the project's files with that suffix that are there now, in order."""
    asked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if asked.returncode == 0:
        found = [ROOT / name for name in asked.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not NOT_OURS.intersection(path.parts)]
    return sorted(path for path in found if path.is_file() and path.name.endswith(suffix))


def source_files() -> list[Path]:
    """Return the Python files that people wrote; Django writes migrations."""
    return [path for path in tracked_files(".py") if "migrations" not in path.parts]


def show(path: Path) -> str:
    return str(path.relative_to(ROOT))
