"""What is answered here, without a provider: pure functions from memory to the bytes of an answer.
What an organization's management keys ask is organization/'s, which reads the database.

Each takes the caller's key first and shows nothing that the key may not use. Routing, headers and
errors are asgi.py's.
"""

from gateway.endpoints.api_key import show_api_key
from gateway.endpoints.me import show_me
from gateway.endpoints.models import list_models, show_model

__all__ = ["list_models", "show_api_key", "show_me", "show_model"]
