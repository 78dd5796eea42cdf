"""What a household has consented to, and who has looked at its pictures."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Max
from django.db.models.functions import TruncDate
from django.utils import timezone

from triage.choices import Purpose, SiteKind
from triage.models import AuditEvent, Consent, Site
from triage.selectors.looks import SEEN

SHOWN = 60
# The purposes whose yes ends by itself.
ENDING = frozenset({Purpose.SHOW})
REMINDS = timedelta(days=30)
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ConsentRow:
    """`given` is None as long as nobody was asked; then all is as if it were given.

    `until` is when a yes ends by itself; `ended` that it has, `ends_soon` that it will in 30 days.
    """

    purpose: str
    words: str
    given: bool | None
    who: str
    when: datetime | None
    until: datetime | None
    ended: bool
    ends_soon: bool

    @property
    def stands(self) -> bool:
        return bool(self.given) and not self.ended


@dataclass(frozen=True)
class Looks:
    """How often one person looked at pictures on one day (of the site's zone)."""

    day: date
    who: str
    pictures: int
    last: datetime


def consent_rows(site: Site) -> list[ConsentRow]:
    newest: dict[str, Consent] = {}
    for row in Consent.objects.filter(site=site).select_related("person").order_by("said_at", "pk"):
        newest[row.purpose] = row
    return [_row(purpose, newest.get(purpose)) for purpose in Purpose.values]


def show_row(site: Site) -> ConsentRow:
    """What the household says about its caregivers seeing its pictures."""
    return _row(Purpose.SHOW, _newest(site, Purpose.SHOW))


def is_withdrawn(site: Site, purpose: Purpose) -> bool:
    """Whether somebody of the household has said no and nobody yes since."""
    newest = _newest(site, purpose)
    return bool(newest and not newest.given)


def has_ended(site: Site) -> bool:
    """Whether the caregivers of a household may see nothing now: withdrawn, or run out."""
    if site.kind != SiteKind.HOUSEHOLD:
        return False
    newest = _newest(site, Purpose.SHOW)
    return bool(newest and not (newest.given and (newest.until or FOREVER) > timezone.now()))


def consent_objections(site: Site) -> list[str]:
    """Why no case of the site is settled without its staff, as codes of triage.reasons."""
    return ["no_consent"] if has_ended(site) else []


def days_left(site: Site, now: datetime) -> float | None:
    """Until the consent that stands ends by itself, below 0 once it has; None where none does."""
    newest = _newest(site, Purpose.SHOW) if site.kind == SiteKind.HOUSEHOLD else None
    if newest is None or not newest.given or newest.until is None:
        return None
    return (newest.until - now) / timedelta(days=1)


def _newest(site: Site, purpose: Purpose) -> Consent | None:
    said = Consent.objects.filter(site=site, purpose=purpose).select_related("person")
    return said.order_by("-said_at", "-pk").first()


def looks(site: Site) -> list[Looks]:
    """Who has looked at the site's pictures, newest day first; the newest SHOWN rows."""
    rows = (
        AuditEvent.objects.filter(site=site, verb__in=SEEN)
        .order_by()
        .values("actor__username", day=TruncDate("created_at", tzinfo=ZoneInfo(site.time_zone)))
        .annotate(pictures=Count("case", distinct=True), last=Max("created_at"))
        .order_by("-last")[:SHOWN]
    )
    return [Looks(r["day"], r["actor__username"] or "–", r["pictures"], r["last"]) for r in rows]


def _row(purpose: str, row: Consent | None) -> ConsentRow:
    who = row.person.get_username() if row and row.person else ""
    words = str(Purpose(purpose).label)
    until, now = row.until if row else None, timezone.now()
    return ConsentRow(
        purpose=purpose,
        words=words,
        given=row.given if row else None,
        who=who,
        when=row.said_at if row else None,
        until=until,
        ended=bool(until and until <= now),
        ends_soon=bool(until and now < until <= now + REMINDS),
    )
