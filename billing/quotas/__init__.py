"""Rules of quotas: how one is read (reading.py) and kept (setting.py), and the book of them that
gateways have in memory (book.py, rules.py). What a rule counts is the ledger's.
"""

from __future__ import annotations

from billing.quotas.book import QuotaBook
from billing.quotas.reading import QuotaFields, parse_quota
from billing.quotas.rules import QuotaRule
from billing.quotas.setting import end_quota, require_scope, set_quota

__all__ = [
    "QuotaBook",
    "QuotaFields",
    "QuotaRule",
    "end_quota",
    "parse_quota",
    "require_scope",
    "set_quota",
]
