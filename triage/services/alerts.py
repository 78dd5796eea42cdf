"""Raising an alert once, and clearing it once."""

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from triage import events
from triage.choices import News
from triage.models import Alert, Site
from triage.selectors.alerts import Measured
from triage.services.delivery import tell
from triage.services.history import record


def update_alerts(*, site: Site, measured: Iterable[Measured]) -> int:
    """Raise what is above its limit, clear what is below its lower one; returns how many changed.

    Two looks at once wait for each other, so that neither raises what the other has raised.
    """
    with transaction.atomic():
        Site.objects.select_for_update(no_key=True).get(pk=site.pk)
        standing = {one.kind: one for one in Alert.objects.filter(site=site, ended_at=None)}
        changed = sum(_update(site, one, standing.get(one.kind)) for one in measured)
        if changed:
            transaction.on_commit(lambda: events.announce(site.pk, "policy"), robust=True)
    return changed


def _update(site: Site, measured: Measured, standing: Alert | None) -> bool:
    outlived = standing is not None and measured.ends(standing)
    if standing and outlived:
        _clear(standing, with_policy=True)
        standing = None
    stands = measured.stands(standing is not None)
    if stands == (standing is not None):
        return outlived
    if standing:
        _clear(standing)
    elif measured.value is not None:
        _raise(site, measured, measured.value)
    return True


def _raise(site: Site, measured: Measured, value: float) -> None:
    alert = Alert.objects.create(
        site=site,
        policy=measured.about,
        kind=measured.kind,
        value=value,
        limit=measured.limit,
        raised_at=timezone.now(),
    )
    record("alert raised", site=site, kind=alert.kind, value=value, limit=alert.limit)
    tell(alert=alert, news=News.RAISED)


def _clear(alert: Alert, *, with_policy: bool = False) -> None:
    alert.ended_at, alert.with_policy = timezone.now(), with_policy
    alert.save(update_fields=["ended_at", "with_policy"])
    record("alert cleared", site=alert.site, kind=alert.kind, with_policy=with_policy)
    tell(alert=alert, news=News.CLEARED)
