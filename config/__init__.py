"""Wiring: settings, addresses, servers. Imported by nobody but entry points.

The Celery application comes with the package, as every process that sends a task needs its broker.
"""

from config.celery import app as celery_app

__all__ = ["celery_app"]
