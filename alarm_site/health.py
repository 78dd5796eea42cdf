"""Whether this process is alive, and whether it can do its work: for whoever watches it."""

import logging
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis

log = logging.getLogger(__name__)
PATIENCE_S = 2.0
WELL, ILL = "ok", "failed"


@require_safe
@never_cache
def alive_view(request: HttpRequest) -> JsonResponse:
    """It answers; asks nobody else. Whoever does not get this starts the process again."""
    return JsonResponse({"status": WELL})


@require_safe
@never_cache
def ready_view(request: HttpRequest) -> JsonResponse:
    """200, or 503 with the part that fails: its name alone, the log says why."""
    parts = {name: WELL if works(name, check) else ILL for name, check in CHECKS.items()}
    well = set(parts.values()) == {WELL}
    return JsonResponse({"status": WELL if well else ILL, **parts}, status=200 if well else 503)


def works(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception as error:
        log.warning("not ready: %s: %s", name, type(error).__name__)
        return False
    return True


def check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_broker() -> None:
    """Raises RedisError unless it answers within two seconds; messages in memory need none."""
    if settings.REDIS_URL.startswith("memory://"):
        return
    limits = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
    with Redis.from_url(settings.REDIS_URL, **limits) as broker:
        broker.ping()


def check_migrations() -> None:
    """Raises LookupError while the database lacks a migration that this program knows."""
    applied = MigrationRecorder(connection).applied_migrations()
    if missing := known_migrations() - applied.keys():
        raise LookupError(f"{len(missing)} migrations are not applied")


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.nodes)


CHECKS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "broker": check_broker,
    "migrations": check_migrations,
}
