"""The operator's pages for people, organizations and keys. Nothing here decides what is allowed.

A key is issued through issuance.py and its text stands once in the answer, in no message, cookie or
session. Digests are never shown. The logs can be read and not changed.
"""

from accounts.admin import keys, logs, management_keys, organizations, people

__all__ = ["keys", "logs", "management_keys", "organizations", "people"]
