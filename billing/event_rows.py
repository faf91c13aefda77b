"""Usage events as rows of their table, from their JSON: SQL.

The JSON leaves out what is usually nothing (usage.py): a fifth of what a call writes and sends. The
row that is filled in from it has it.
"""

from __future__ import annotations

import msgspec

from billing.usage import UsageEvent


def _left_out() -> str:
    """Return what the JSON of an event may lack, as JSON."""
    fields = msgspec.structs.fields(UsageEvent)
    usual = {
        field.name: field.default for field in fields if field.default is not msgspec.NODEFAULT
    }
    made = {f.name: f.default_factory() for f in fields if callable(f.default_factory)}
    return msgspec.json.encode(usual | made).decode()


_USUAL = f"json_populate_record(NULL::usage_event, '{_left_out()}')"


def event_rows_sql(events: str) -> str:
    """Return the rows of a list of events; `events` is an expression of type json."""
    return f"json_populate_recordset({_USUAL}, {events})"
