"""What operators see of billing. Prices are added and quotas set, in USD; the rest is to be read.

Facts and windows cannot be changed here or anywhere else, and tables that grow without end are
neither counted to the last row nor searched without an index.
"""

from billing.admin import facts, ledger, requests, rules

__all__ = ["facts", "ledger", "requests", "rules"]
