"""The Django application that carries calls, and the site of those who operate it."""

# Not its class by name: Django would take that for the configuration of this application.
from django.apps import AppConfig
from django.contrib.admin import apps as admin


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Where calls go"
    default_auto_field = "django.db.models.BigAutoField"


class OperatorsConfig(admin.AdminConfig):
    """Django's admin with our site in the place of its own."""

    default = False
    default_site = "gateway.operators.OperatorSite"
