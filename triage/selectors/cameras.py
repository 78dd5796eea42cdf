"""The tokens of a site, and who has gone quiet."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count
from django.utils import timezone

from triage.models import DeviceToken, Site

SOON = timedelta(days=14)


@dataclass(frozen=True)
class CameraRow:
    """A camera; `state` is active, expiring (within 14 days), expired or revoked."""

    camera: DeviceToken
    state: str
    cases: int

    @property
    def usable(self) -> bool:
        return self.state in ("active", "expiring")


def camera_rows(site: Site) -> list[CameraRow]:
    """The site's cameras by name; those whose token has ended come last."""
    cameras = site.tokens.annotate(sent=Count("cases")).order_by("name", "pk")
    rows = [CameraRow(camera, _state(camera), camera.sent) for camera in cameras]
    return sorted(rows, key=lambda row: not row.usable)


def _state(camera: DeviceToken) -> str:
    now = timezone.now()
    if camera.revoked_at:
        return "revoked"
    if camera.expires_at is None or camera.expires_at > now + SOON:
        return "active"
    return "expiring" if camera.expires_at > now else "expired"
