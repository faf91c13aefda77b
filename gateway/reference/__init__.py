"""What /v1 takes and answers, as one OpenAPI document: `describe()` in document.py puts it together
from the YAML files here, one for each group of endpoints.

tests/reference/ holds it to what requests are read as and to what is really answered.
"""

from gateway.reference.document import Document, describe

__all__ = ["Document", "describe"]
