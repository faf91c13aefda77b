"""`manage.py apply`: providers, models, prices, organizations and keys, declared in a file.

reading.py knows YAML and lines, grammar.py the words, entries.py the values, checking.py what must
not be contradicted, applying.py the rows, exporting.py writes rows as a
file. A file is read and checked as a whole before the first
row is written, and is written as a whole or not at all.
"""

from __future__ import annotations

from django.db import connection, transaction

from gateway.declaration.applying import Report, write
from gateway.declaration.checking import check
from gateway.declaration.exporting import export
from gateway.declaration.grammar import read_declaration
from gateway.declaration.reading import DeclarationError, Problem, Problems

__all__ = ["DeclarationError", "Problem", "Report", "apply", "export"]


def apply(text: str, *, dry_run: bool = False) -> Report:
    """Make the database what the YAML in `text` says; applying it again changes nothing.

    Raises DeclarationError with every problem that was found, and then nothing was applied. With
    `dry_run` nothing is kept either, and the keys in the report never lived.
    """
    problems = Problems()
    declaration = read_declaration(text, problems)
    report = Report()
    with transaction.atomic():
        _wait_for_others()
        check(declaration, problems)
        if problems:
            raise DeclarationError(problems)
        write(declaration, report)
        transaction.set_rollback(dry_run)
    return report


def _wait_for_others() -> None:
    """Let two that apply at the same moment do so one after the other, as deployments often do."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('tollgate apply'))")
