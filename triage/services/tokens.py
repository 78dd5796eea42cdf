"""Tokens of devices and programs: shown once, stored as a digest."""

import hashlib
import secrets
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from triage.models import DeviceToken, Site
from triage.selectors.learning import Source
from triage.services import learning
from triage.services.history import record


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
    """
    token = _new_token()
    with transaction.atomic():
        camera = DeviceToken.objects.create(
            site=site, name=name, digest=digest(token), expires_at=expires_at
        )
        learning.begin(Source(site, site.domain, camera), learning=not trusted)
        record("token issued", site=site, actor=actor, name=name)
    return token


def renew_token(*, camera: DeviceToken, actor: AbstractBaseUser | None = None) -> str:
    """A new token for the same camera: the old one ends, and what was learned of it stays."""
    token = _new_token()
    with transaction.atomic():
        camera.digest, camera.revoked_at = digest(token), None
        camera.save(update_fields=["digest", "revoked_at"])
        record("token renewed", site=camera.site, actor=actor, name=camera.name)
    return token


def _new_token() -> str:
    return f"alarm_{secrets.token_urlsafe(32)}"


def find_token(token: str) -> DeviceToken | None:
    """The token's row while it is neither revoked nor expired."""
    fresh = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    rows = DeviceToken.objects.select_related("site").filter(fresh, revoked_at=None)
    return rows.filter(digest=digest(token)).first()


def digest(token: str) -> str:
    """SHA-256, hex. The token itself is random enough to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
