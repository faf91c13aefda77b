"""`manage.py apply FILE.yaml [--dry-run]`, and back with `--export`: see gateway/declaration."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from accounts.audit import AuditedCommand
from gateway.declaration import DeclarationError, apply, export


class Command(AuditedCommand):
    help = (
        "Make providers, models, prices, organizations, projects, keys and quotas what FILE says. "
        "Nothing is deleted; names that FILE leaves out stay as they are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE.yaml", nargs="?")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--dry-run", action="store_true", help="Say what would change, and change nothing."
        )
        what.add_argument(
            "--export",
            action="store_true",
            help="Write what is there instead: to FILE.yaml, or to the screen without one.",
        )

    def handle(
        self, *, file: str | None, dry_run: bool = False, export: bool = False, **options: Any
    ) -> None:
        if export:
            self._export(file)
        elif file is None:
            raise CommandError("FILE.yaml is missing.")
        else:
            self._apply(file, dry_run=dry_run)

    def _apply(self, file: str, *, dry_run: bool) -> None:
        try:
            report = apply(_read(file), dry_run=dry_run)
        except DeclarationError as error:
            found = [f"{file}:{line}: {message}" for line, message in error.problems]
            raise CommandError("\n".join([*found, "Nothing was applied."])) from error
        for line in report.lines():
            self.stdout.write(line)
        if dry_run:
            self.stdout.write("This was a dry run: nothing was applied.")
            return
        for label, issued in report.keys:
            self.stdout.write(f"{label}, shown this once: {issued.plaintext}")

    def _export(self, file: str | None) -> None:
        text = export()
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}") from error
        self.stdout.write(f"Wrote {file}.")


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8: {error}") from error
