"""Looking after each site every few minutes, so that nobody has to."""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.utils import timezone

from inference.services.sweep import each
from triage.models import Checkup, Site
from triage.selectors.alerts import measure
from triage.selectors.checkup import Found, as_json, look
from triage.services.alerts import update_alerts

NEVER = datetime(2000, 1, 1, tzinfo=UTC)


def check_due() -> int:
    """Check the sites that were not looked at lately; returns how many that was."""
    return each(Site.objects.all(), lambda site: _claim(site) and check(site=site))


def check(*, site: Site) -> Found:
    """Look at a site now and keep what was found."""
    found = look(site)
    Checkup.objects.update_or_create(
        site=site, defaults={"looked_at": found.as_of, "found": as_json(found)}
    )
    update_alerts(site=site, measured=measure(site, found))
    return found


def _claim(site: Site) -> bool:
    """Whether a look is due and this process is the one that takes it."""
    now = timezone.now()
    Checkup.objects.get_or_create(site=site, defaults={"looked_at": NEVER})
    due = now - timedelta(minutes=settings.ALARM_CHECK_MINUTES)
    return bool(Checkup.objects.filter(site=site, looked_at__lte=due).update(looked_at=now))
