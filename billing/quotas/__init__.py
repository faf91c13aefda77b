"""Rules of quotas: how one is read (reading.py), kept (setting.py) and raised (raises.py), and the
book of them that gateways have in memory (book.py, rules.py). What a rule counts is the ledger's.
"""

from __future__ import annotations

from billing.quotas.book import QuotaBook
from billing.quotas.raises import active_raises, end_raise, grant, raise_limit
from billing.quotas.reading import QuotaFields, parse_amount, parse_quota, show_amount, write_amount
from billing.quotas.rules import QuotaRule, Terms, make_terms
from billing.quotas.setting import end_quota, require_scope, set_quota

__all__ = [
    "QuotaBook",
    "QuotaFields",
    "QuotaRule",
    "Terms",
    "active_raises",
    "end_quota",
    "end_raise",
    "grant",
    "make_terms",
    "parse_amount",
    "parse_quota",
    "raise_limit",
    "require_scope",
    "set_quota",
    "show_amount",
    "write_amount",
]
