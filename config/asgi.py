"""What the server runs: `application` serves everything, `gateway` serves calls alone."""

from __future__ import annotations

import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

_django = get_asgi_application()

# Django's apps are loaded first.
from accounts.proxies import check_https  # noqa: E402
from gateway.asgi import Gateway  # noqa: E402

# Plain http is a choice, which `check --deploy` warns of; https by halves is a mistake.
if settings.IS_HTTPS:
    for found in check_https():
        logging.getLogger(__name__).warning("%s %s", found.msg, found.hint)

gateway = Gateway()
application = Gateway(pages=_django)
