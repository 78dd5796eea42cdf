"""Tokens of devices and programs: shown once, stored as a digest, and ending by themselves."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from triage.choices import CaseStatus
from triage.errors import Conflict, Refused, TooMany
from triage.models import Case, DeviceToken, Site
from triage.selectors.learning import Source
from triage.services import learning
from triage.services.history import record

MAX_NAME = 80
MINUTE = timedelta(minutes=1)
BACKLOG_S = 60


def issue_token(
    *,
    site: Site,
    name: str,
    expires_at: datetime | None = None,
    actor: AbstractBaseUser | None = None,
    trusted: bool = False,
) -> str:
    """A new token that may send observations to the site. This is the only time it is seen.

    What sends with it is a new camera: unless it is `trusted`, it starts in learning mode.

    Args:
        expires_at: by default after ALARM_TOKEN_DAYS.

    Raises:
        Refused: it has no name, or one that is too long.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME or "\x00" in name:
        raise Refused(_("A camera has a name of at most {0} characters.").format(MAX_NAME), "name")
    token = _new_token()
    with transaction.atomic():
        camera = DeviceToken.objects.create(
            site=site, name=name, digest=digest(token), expires_at=expires_at or _term_end()
        )
        learning.begin(Source(site, site.domain, camera), learning=not trusted)
        record("token issued", site=site, actor=actor, name=name)
    return token


def renew_token(*, camera: DeviceToken, actor: AbstractBaseUser | None = None) -> str:
    """A new token for the same camera: the old one ends, and what was learned of it stays."""
    token = _new_token()
    with transaction.atomic():
        camera.digest, camera.revoked_at = digest(token), None
        camera.expires_at = _term_end()
        camera.save(update_fields=["digest", "revoked_at", "expires_at"])
        record("token renewed", site=camera.site, actor=actor, name=camera.name)
    return token


def revoke_token(*, camera: DeviceToken, actor: AbstractBaseUser | None = None) -> None:
    """From now on nothing is taken from whoever has this token.

    Raises:
        Conflict: it was revoked already.
    """
    with transaction.atomic():
        running = DeviceToken.objects.filter(pk=camera.pk, revoked_at=None)
        if not running.update(revoked_at=timezone.now()):
            raise Conflict(_("This token was revoked already."), "revoked")
        record("token revoked", site=camera.site, actor=actor, name=camera.name)


def _new_token() -> str:
    return f"alarm_{secrets.token_urlsafe(32)}"


def _term_end() -> datetime:
    return timezone.now() + timedelta(days=settings.ALARM_TOKEN_DAYS)


def find_token(token: str) -> DeviceToken | None:
    """The token's row while it is neither revoked nor expired."""
    fresh = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    rows = DeviceToken.objects.select_related("site").filter(fresh, revoked_at=None)
    return rows.filter(digest=digest(token)).first()


def count_call(token: DeviceToken) -> None:
    """Note that the token was used. All web processes count together, in its row.

    Raises:
        TooMany: it has made more than ALARM_TOKEN_CALLS calls since its present minute began.
    """
    now = timezone.now()
    going_on = Q(window_at__gt=now - MINUTE)
    DeviceToken.objects.filter(pk=token.pk).update(
        calls=models.Case(models.When(going_on, then=F("calls") + 1), default=1),
        window_at=models.Case(models.When(going_on, then=F("window_at")), default=now),
        used_at=now,
    )
    token.refresh_from_db(fields=["calls", "window_at", "used_at"])
    if token.calls > settings.ALARM_TOKEN_CALLS:
        began = token.window_at or now
        wait = max(1, round((began + MINUTE - now).total_seconds()))
        raise TooMany(_("Too many calls: wait {0} s.").format(wait), wait, "throttled")


def check_backlog(site: Site) -> None:
    """Devices wait while the ensemble is far behind; people's photos still come in.

    Raises:
        TooMany: ALARM_BACKLOG of the site's cases or more are not judged yet.
    """
    if Case.objects.filter(site=site, status=CaseStatus.OPEN).count() >= settings.ALARM_BACKLOG:
        raise TooMany(_("The ensemble is behind: send this again later."), BACKLOG_S, "backlog")


def digest(token: str) -> str:
    """SHA-256, hex. The token itself is random enough to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
