"""Django's settings. Every variable read here is described in docs/SETTINGS.md."""

from __future__ import annotations

import dj_database_url
import django_stubs_ext
from csp.constants import NONE, SELF

from config import env

django_stubs_ext.monkeypatch()
env.adopt_running_servers()

BASE_DIR = env.BASE_DIR
VERSION = env.version()
TOLLGATE_DATA = env.data_folder()

HOST = env.text("HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, least=1, most=65535)
PUBLIC_URL = env.address(
    "PUBLIC_URL", f"http://localhost:{PORT}", schemes=("http", "https")
).rstrip("/")
GATEWAY_WORKERS = env.integer("GATEWAY_WORKERS", 1, least=1, most=256)
FRESHNESS_SECONDS = env.integer("FRESHNESS_SECONDS", 5, least=2, most=60)
RETENTION_DAYS = env.integer("RETENTION_DAYS", 400, least=2)
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
UPSTREAM_ALLOWED_NETWORKS = env.networks("UPSTREAM_ALLOWED_NETWORKS")
MAX_BODY_BYTES = env.integer("MAX_BODY_BYTES", 32 * 2**20, least=1024)
SPOOL_MAX_BYTES = env.integer("SPOOL_MAX_BYTES", 2**30, least=2**20, most=2**40)
KEY_PREFIX = env.key_prefix("KEY_PREFIX", "tg")
OLD_KEY_PREFIXES = env.key_prefixes("OLD_KEY_PREFIXES")
KEY_PEPPERS = env.peppers("KEY_PEPPERS")
CREDENTIAL_KEYS = env.fernet_keys("CREDENTIAL_KEYS")
LOG_FORMAT = env.choice("LOG_FORMAT", env.default_log_format(), {"json", "text"})
LOG_CALLS = env.boolean("LOG_CALLS", default=False)
METRICS_ALLOWED_NETWORKS = env.networks("METRICS_ALLOWED_NETWORKS", "127.0.0.0/8,::1/128")
OTEL_EXPORTER_OTLP_ENDPOINT = env.optional_address(
    "OTEL_EXPORTER_OTLP_ENDPOINT", schemes=("http", "https")
)
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"})
REDIS_URL = env.address("REDIS_URL", schemes=("redis", "rediss", "unix"))

SECRET_KEY = env.secret("SECRET_KEY")
DEBUG = False
ALLOWED_HOSTS = ["*"]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
DATABASE_URL = env.address("DATABASE_URL", schemes=("postgres", "postgresql"))
DATABASES = {
    "default": dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True)
}

INSTALLED_APPS = [
    "accounts",
    "billing",
    "gateway",
    # Before allauth, whose templates it writes anew.
    "console",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "gateway.apps.OperatorsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "accounts.proxies.TrustedProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "console.files.FilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.audit.AuditMiddleware",
    "accounts.login.LoginLimitMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.shell.describe_installation",
            ],
        },
    }
]
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.login.PasswordBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"

# How people get in: console/entrance.py says who may.
SIGNUP = env.choice("SIGNUP", env.default_signup(PUBLIC_URL), {"open", "invited", "closed"})
ACCOUNT_ADAPTER = "console.entrance.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "console.entrance.SocialAccountAdapter"
MFA_ADAPTER = "console.secondfactors.SecondFactorAdapter"
# What allauth counts, and the codes that were used, hold over all processes: docs/decisions/0024.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "try_count",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
# Codes that are typed in, not links: a link would say whatever Host a request came with.
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "Tollgate: "
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = PUBLIC_URL.partition(":")[0]
SOCIALACCOUNT_ONLY = False
SOCIALACCOUNT_AUTO_SIGNUP = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": env.oidc(), "OAUTH_PKCE_ENABLED": True}}
# Browsers give passkeys to https and to localhost alone.
IS_LOCALHOST = env.is_localhost(PUBLIC_URL)
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
if IS_LOCALHOST or PUBLIC_URL.startswith("https://"):
    MFA_SUPPORTED_TYPES.append("webauthn")
MFA_PASSKEY_LOGIN_ENABLED = "webauthn" in MFA_SUPPORTED_TYPES
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = IS_LOCALHOST
MFA_TOTP_ISSUER = "Tollgate"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = ["config.formats"]

# EMAIL_BACKEND, EMAIL_HOST and their like.
globals().update(env.email("EMAIL_URL"))

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
IS_HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
# TLS ends at a proxy. Without one that is trusted nobody can say that a request came over https,
# and a redirect would go round in circles.
SECURE_SSL_REDIRECT = IS_HTTPS and bool(TRUSTED_PROXIES)
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IS_HTTPS else 0
SILENCED_SYSTEM_CHECKS = [
    # Other names below the one in PUBLIC_URL, and the lists of browsers, are not ours to decide on.
    *("security.W005", "security.W021"),
    # accounts.W001 and W002 name the variables that these follow from.
    *("security.W004", "security.W008", "security.W012", "security.W016"),
]
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Whatever else a view of the API needs, it says itself: accounts/api/views.py.
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "accounts.api.errors.answer_error",
    "DEFAULT_SCHEMA_CLASS": "accounts.api.schema.Schema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tollgate management API",
    "DESCRIPTION": "Organizations, people, keys, quotas, providers, models, prices and usage.",
    "VERSION": VERSION,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "ENUM_NAME_OVERRIDES": {
        "KeyStatus": "accounts.models.ApiKey.Status",
        "OrganizationStatus": "accounts.models.Organization.Status",
        "HangUp": "accounts.models.Organization.HangUp",
        "Role": "accounts.models.Membership.Role",
        "ManagementKeyScope": "accounts.models.ManagementKey.Scope",
        "QuotaScope": "billing.models.Quota.Scope",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "accounts.api.schema.add_errors",
    ],
}

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "fold usage": {"task": "billing.fold_usage", "schedule": 2.0},
    "reap processes": {"task": "billing.reap_processes", "schedule": 10.0},
    "make partitions": {"task": "billing.make_partitions", "schedule": 3600.0},
    "drop old days": {"task": "billing.drop_old_days", "schedule": 3600.0},
    "forget old requests": {"task": "accounts.forget_old_requests", "schedule": 3600.0},
    "trim the change log": {"task": "accounts.trim_change_log", "schedule": 3600.0},
    "check the ledger": {"task": "billing.check_ledger", "schedule": 3600.0},
    "forget old calls": {"task": "gateway.forget_old_calls", "schedule": 3600.0},
    "trim refusals": {"task": "billing.trim_refusals", "schedule": 3600.0},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "()": "config.logs.TextFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        },
        "json": {"()": "config.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "aiohttp": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        # Some work is due every two seconds: that it was sent, came and went well says nothing.
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
    },
}
