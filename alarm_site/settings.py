"""All settings, in one file. Each variable of the environment is described in docs/settings.md."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from alarm_site.environment import (
    Environment,
    bucket,
    group_roles,
    https_or_loopback,
    webhook_secrets,
)
from alarm_site.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

# The machine ------------------------------------------------------------------------------------

DEBUG = env.flag("ALARM_DEBUG", False)
DATA_DIR = env.path("ALARM_DATA", BASE_DIR / "var")
HOST = env.text("HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, low=1, high=65535)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
# Whoever answers to another name than its own machine's is reached by others.
LOOPBACK = HOST in {"127.0.0.1", "localhost", "::1"} and set(ALLOWED_HOSTS) <= {
    "127.0.0.1",
    "localhost",
    "[::1]",
}


def secret_key() -> str:
    """The key from SECRET_KEY, else the one that ./run keeps beside the data."""
    kept = DATA_DIR / "secret_key"
    if key := env.text("SECRET_KEY"):
        return key
    if kept.is_file():
        return kept.read_text().strip()
    if LOOPBACK:
        return "only-for-a-server-bound-to-loopback-that-was-not-started-by-run"
    raise ImproperlyConfigured("Set SECRET_KEY to a long random text, or start with ./run.")


SECRET_KEY = secret_key()
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
# The first signs the ends of the history's chains; signatures of the others are believed as well.
ALARM_AUDIT_KEYS = env.words("ALARM_AUDIT_KEY") or [SECRET_KEY]

# The product ------------------------------------------------------------------------------------

ALARM_DEMO = env.flag("ALARM_DEMO", True)
ALARM_MEMBERS = env.path("ALARM_MEMBERS", BASE_DIR / "inference/members/members.toml")
# Members that must have answered in full before a case may be accepted; 0 means all of them.
ALARM_QUORUM = env.integer("ALARM_QUORUM", 0, low=0, high=99)
# Seconds without a sign of life after which another worker may take a member's job over.
ALARM_JOB_LEASE_S = env.integer("ALARM_JOB_LEASE_S", 30, low=2, high=3600)
# Seconds one call of a model may take.
ALARM_CALL_DEADLINE_S = env.number("ALARM_CALL_DEADLINE_S", 20, low=0.1, high=3600)
# Seconds past its deadline after which a call counts as hung, and its worker's process ends.
ALARM_HANG_S = env.number("ALARM_HANG_S", 120, low=0.1, high=86400)
# Jobs that wait for one member and are asked together; 1 asks one by one.
ALARM_BATCH = env.integer("ALARM_BATCH", 16, low=1, high=256)
# Seconds from intake after which a case goes to a person whatever the machine is doing.
ALARM_RUN_DEADLINE_S = env.integer("ALARM_RUN_DEADLINE_S", 900, low=5, high=86400)
# Seconds that the others are waited for once the quorum has answered in full; 0 waits on.
ALARM_GRACE_S = env.integer("ALARM_GRACE_S", 0, low=0, high=86400)
ALARM_JOB_ATTEMPTS = env.integer("ALARM_JOB_ATTEMPTS", 3, low=1, high=20)
# Minutes without an answer after which the next person of a household is asked.
ALARM_ASK_MINUTES = env.integer("ALARM_ASK_MINUTES", 5, low=1, high=1440)
# Whom the push services may write to, and the only hosts that messages are pushed to.
ALARM_PUSH_CONTACT = env.text("ALARM_PUSH_CONTACT", "mailto:nobody@localhost.invalid")
ALARM_PUSH_HOSTS = env.words("ALARM_PUSH_HOSTS") or [
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "push.apple.com",
    "notify.windows.com",
]
VAPID_KEY = DATA_DIR / "vapid.pem"
ALARM_LEASE_MINUTES = env.integer("ALARM_LEASE_MINUTES", 10, low=1, high=240)
# With which probability a settled case with a known answer joins the queue when a case is taken.
ALARM_GOLD_SHARE = env.number("ALARM_GOLD_SHARE", 0.02, low=0, high=0.5)
# Share of the accepted cases that a person reviews all the same.
ALARM_AUDIT_SHARE = env.number("ALARM_AUDIT_SHARE", 0.05, low=0.001, high=1)
# Of a new clinic's cases: read before the machine's answer is seen, and read by two people.
ALARM_STEP_CAP = env.number("ALARM_STEP_CAP", 0.3, low=0.01, high=1)
ALARM_PUBLISH_LABELS = env.integer("ALARM_PUBLISH_LABELS", 5, low=0, high=100000)
ALARM_GUARD_RISK = env.number("ALARM_GUARD_RISK", 0.25, low=0.001, high=1)
ALARM_GUARD_BAND = env.number("ALARM_GUARD_BAND", 0.2, low=0, high=1)
ALARM_BLIND_SHARE = env.number("ALARM_BLIND_SHARE", 0.1, low=0, high=1)
ALARM_DOUBLE_SHARE = env.number("ALARM_DOUBLE_SHARE", 0.1, low=0, high=1)
# Resolutions after which calibration is refitted and a draft policy appears.
ALARM_REFIT_EVERY = env.integer("ALARM_REFIT_EVERY", 20, low=1, high=100000)
# Minutes between two looks at how a site is going.
ALARM_CHECK_MINUTES = env.integer("ALARM_CHECK_MINUTES", 5, low=1, high=1440)
# Limits of alerts: each clears below three quarters of its limit.
ALARM_ALERT_ERROR = env.number("ALARM_ALERT_ERROR", 0.1, low=0.001, high=1)
ALARM_ALERT_HOURS = env.number("ALARM_ALERT_HOURS", 48, low=0.1, high=10000)
ALARM_ALERT_DEFERRAL = env.number("ALARM_ALERT_DEFERRAL", 0.2, low=0.01, high=1)
ALARM_ALERT_OVERRIDE = env.number("ALARM_ALERT_OVERRIDE", 0.5, low=0.01, high=1)
ALARM_ALERT_READER = env.number("ALARM_ALERT_READER", 0.15, low=0.01, high=1)
# Where alerts are told of; nowhere unless it is set.
ALARM_WEBHOOK_URL = https_or_loopback("ALARM_WEBHOOK_URL", env.text("ALARM_WEBHOOK_URL"))
ALARM_WEBHOOK_SECRETS = webhook_secrets("ALARM_WEBHOOK_SECRET", env.words("ALARM_WEBHOOK_SECRET"))
if ALARM_WEBHOOK_URL and not ALARM_WEBHOOK_SECRETS:
    raise ImproperlyConfigured("Set ALARM_WEBHOOK_SECRET: what ALARM_WEBHOOK_URL gets is signed.")
EMAIL_HOST = env.text("ALARM_MAIL_HOST")
EMAIL_PORT = env.integer("ALARM_MAIL_PORT", 587, low=1, high=65535)
EMAIL_HOST_USER = env.text("ALARM_MAIL_USER")
EMAIL_HOST_PASSWORD = env.text("ALARM_MAIL_PASSWORD")
EMAIL_USE_TLS = env.flag("ALARM_MAIL_TLS", True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("ALARM_MAIL_FROM", "alarm@localhost")
# Who may be asked by members that were added in the console: model servers as host or host:port,
# and the folder that holds models. Nothing else is reached.
ALARM_MODEL_HOSTS = env.words("ALARM_MODEL_HOSTS")
ALARM_MODEL_FOLDER = env.path("ALARM_MODEL_FOLDER", DATA_DIR / "models")
# Minutes between two questions for a member's health; 0 asks only where somebody wants to know.
ALARM_HEALTH_MINUTES = env.integer("ALARM_HEALTH_MINUTES", 60, low=0, high=10080)
ALARM_UNDO_MINUTES = env.integer("ALARM_UNDO_MINUTES", 30, low=1, high=10080)
ALARM_UPLOAD_MB = env.integer("ALARM_UPLOAD_MB", 25, low=1, high=500)
ALARM_UPLOAD_FILES = env.integer("ALARM_UPLOAD_FILES", 20, low=1, high=200)
# Web processes; each answers one request at a time and holds its sockets.
ALARM_WEB_PROCESSES = env.integer(
    "ALARM_WEB_PROCESSES", min(os.cpu_count() or 1, 4), low=1, high=64
)
# Days after which a device's token ends by itself, calls a minute that one token may make, and
# cases that the ensemble may be behind with before devices are told to wait.
ALARM_TOKEN_DAYS = env.integer("ALARM_TOKEN_DAYS", 365, low=1, high=3650)
ALARM_TOKEN_CALLS = env.integer("ALARM_TOKEN_CALLS", 120, low=1, high=100000)
ALARM_BACKLOG = env.integer("ALARM_BACKLOG", 1000, low=1, high=10000000)
ALARM_DECODERS = env.integer("ALARM_DECODERS", 4, low=1, high=64)

# Signing in -------------------------------------------------------------------------------------

# Whether clinicians, administrators and auditors need a second factor.
ALARM_SECOND_FACTOR = env.flag("ALARM_SECOND_FACTOR", not ALARM_DEMO)
# Minutes in which nobody does anything before staff, or whoever is at home, is signed out.
ALARM_IDLE_MINUTES = env.integer("ALARM_IDLE_MINUTES", 30, low=3, high=720)
ALARM_IDLE_HOME_MINUTES = env.integer("ALARM_IDLE_HOME_MINUTES", 480, low=3, high=720)
# Minutes for which a sign-in is good enough to publish, export and erase.
ALARM_REAUTH_MINUTES = env.integer(
    "ALARM_REAUTH_MINUTES", 720 if ALARM_DEMO else 10, low=1, high=720
)
# A provider at which people sign in, and what its groups may do; none unless it is set.
ALARM_OIDC_URL = https_or_loopback("ALARM_OIDC_URL", env.text("ALARM_OIDC_URL"))
ALARM_OIDC_CLIENT = env.text("ALARM_OIDC_CLIENT")
ALARM_OIDC_SECRET = env.text("ALARM_OIDC_SECRET")
ALARM_OIDC_NAME = env.text("ALARM_OIDC_NAME", "OpenID Connect")
ALARM_OIDC_GROUPS = env.text("ALARM_OIDC_GROUPS", "groups")
ALARM_OIDC_ROLES = group_roles("ALARM_OIDC_ROLES", env.words("ALARM_OIDC_ROLES"))
if ALARM_OIDC_URL and not (ALARM_OIDC_CLIENT and ALARM_OIDC_SECRET and ALARM_OIDC_ROLES):
    raise ImproperlyConfigured(
        "Set ALARM_OIDC_CLIENT, ALARM_OIDC_SECRET and ALARM_OIDC_ROLES beside ALARM_OIDC_URL."
    )

# Django -----------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "channels",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "alarm_site",
    "inference",
    "triage",
]
MIDDLEWARE = [
    "alarm_site.middleware.traced",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "alarm_site.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "triage.middleware.site_of_member",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "alarm_site.urls"
WSGI_APPLICATION = "alarm_site.wsgi.application"
ASGI_APPLICATION = "alarm_site.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "triage.context.navigation",
            ],
            "builtins": ["triage.templatetags.triage"],
            "libraries": {"triage": "triage.templatetags.triage"},
        },
    }
]

DATABASES = {
    "default": dj_database_url.parse(
        env.text("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}"),
        conn_max_age=60,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # WAL and immediate transactions: with Django's defaults writers fail with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator")
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "start"
LOGOUT_REDIRECT_URL = "sign-in"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # refuses who has tried too often
    "django.contrib.auth.backends.ModelBackend",
]
ACCOUNT_ADAPTER = "triage.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_REAUTHENTICATION_TIMEOUT = ALARM_REAUTH_MINUTES * 60
MFA_ADAPTER = "triage.adapters.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "ALARM Triage"
MFA_TOTP_TOLERANCE = 1  # clocks of phones differ
MFA_FORMS = {
    "authenticate": "triage.adapters.SecondFactorForm",
    "reauthenticate": "triage.adapters.AgainByCodeForm",
}
SOCIALACCOUNT_ADAPTER = "triage.adapters.ProviderAdapter"
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": ALARM_OIDC_NAME,
                "client_id": ALARM_OIDC_CLIENT,
                "secret": ALARM_OIDC_SECRET,
                "settings": {"server_url": ALARM_OIDC_URL},
            }
        ]
        if ALARM_OIDC_URL
        else [],
    }
}
# Whoever fails five times from one address waits, also if there is nobody of that name.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "code", "credential", "csrfmiddlewaretoken"]
SILENCED_SYSTEM_CHECKS = ["axes.W002"]  # its middleware would answer otherwise where one is locked

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.text("TZ", "UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
# ./run collects and compresses them at its start; tests and single commands take them as they lie.
WHITENOISE_USE_FINDERS = not (STATIC_ROOT / "css").is_dir()
# Photos and clips lie in ALARM_DATA, or in a private bucket; the key to it is what boto3 finds
# (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's own role).
ALARM_S3_BUCKET = env.text("ALARM_S3_BUCKET")
ALARM_S3_ENDPOINT = https_or_loopback("ALARM_S3_ENDPOINT", env.text("ALARM_S3_ENDPOINT"))
ALARM_S3_REGION = env.text("ALARM_S3_REGION")
STORAGES: dict[str, dict[str, Any]] = {
    "default": bucket(ALARM_S3_BUCKET, ALARM_S3_ENDPOINT, ALARM_S3_REGION)
    if ALARM_S3_BUCKET
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# Where a proxy sends files itself, once a view has allowed it: the address of its internal location
# (nginx: X-Accel-Redirect). Empty: the views send them.
ALARM_SENDFILE = env.text("ALARM_SENDFILE")
if ALARM_SENDFILE and ALARM_S3_BUCKET:
    raise ImproperlyConfigured("ALARM_SENDFILE is for files in ALARM_DATA, not for a bucket.")
# Photos are never served from a URL of their own: triage.views.media checks who asks.
MEDIA_ROOT = DATA_DIR / "media"
MEDIA_URL = "/nowhere/"
FILE_UPLOAD_PERMISSIONS = 0o600
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
DATA_UPLOAD_MAX_NUMBER_FILES = ALARM_UPLOAD_FILES

# Browser ----------------------------------------------------------------------------------------

HTTPS = env.flag("ALARM_HTTPS", not LOOPBACK)
SECURE_SSL_REDIRECT = HTTPS
# Asked on the machine itself, or inside of its network, where nothing ends TLS.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-sessionid" if HTTPS else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if HTTPS else "csrftoken"
SESSION_COOKIE_AGE = 12 * 3600  # from the sign-in on, whatever is done: triage.sessions
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Broker, sockets, API ---------------------------------------------------------------------------

# memory://localhost keeps messages in the process that sends them: for commands, and for tests.
REDIS_URL = env.text("REDIS_URL", f"unix://{DATA_DIR / 'run' / 'valkey.sock'}")
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A dead broker must not hold up a page: the sweep re-sends what could not be sent.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    # One more try, at once: kombu's own ones take six seconds.
    "max_retries": 1,
    "interval_start": 0,
}
CELERY_TASK_ALWAYS_EAGER = False
CELERY_TIMEZONE = "UTC"

CHANNEL_LAYERS: dict[str, Any] = {
    "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    if REDIS_URL.startswith("memory://")
    else {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # The layer waits in blocking reads of 5 s, which redis-py would cut off after 5 s.
        "CONFIG": {
            "hosts": [{"address": REDIS_URL, "socket_timeout": None}],
            "capacity": 500,
            "prefix": "alarm",
        },
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "triage.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "triage.api.pagination.NewestFirst",
    "EXCEPTION_HANDLER": "triage.api.errors.handle",
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ALARM Triage",
    "VERSION": "1",
    "DESCRIPTION": "Observations in; cases, reviews and policies out.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

LOGGING = logging_config(as_json=env.flag("ALARM_LOG_JSON", not LOOPBACK))
# Whoever reads /metrics says it; without one only this very machine may.
ALARM_METRICS_TOKEN = env.text("ALARM_METRICS_TOKEN")
