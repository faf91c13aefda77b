"""What the server runs: `application` serves everything, `gateway` serves calls alone."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

_django = get_asgi_application()

from gateway.asgi import Gateway  # noqa: E402 - Django's apps are loaded first.

gateway = Gateway()
application = Gateway(pages=_django)
