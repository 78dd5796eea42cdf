"""What a household has consented to, and who has looked at its pictures."""

from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import Count, Max
from django.db.models.functions import TruncDate

from triage.choices import Purpose
from triage.models import AuditEvent, Consent, Site
from triage.selectors.looks import SEEN

SHOWN = 60


@dataclass(frozen=True)
class ConsentRow:
    """`given` is None as long as nobody was asked; then all is as if it were given."""

    purpose: str
    words: str
    given: bool | None
    who: str
    when: datetime | None


@dataclass(frozen=True)
class Looks:
    """How often one person looked at pictures on one day (of the server's zone)."""

    day: date
    who: str
    pictures: int
    last: datetime


def consent_rows(site: Site) -> list[ConsentRow]:
    newest: dict[str, Consent] = {}
    for row in Consent.objects.filter(site=site).select_related("person").order_by("said_at", "pk"):
        newest[row.purpose] = row
    return [_row(purpose, newest.get(purpose)) for purpose in Purpose.values]


def is_withdrawn(site: Site, purpose: Purpose) -> bool:
    """Whether somebody of the household has said no and nobody yes since."""
    newest = Consent.objects.filter(site=site, purpose=purpose).order_by("-said_at", "-pk").first()
    return bool(newest and not newest.given)


def looks(site: Site) -> list[Looks]:
    """Who has looked at the site's pictures, newest day first; the newest SHOWN rows."""
    rows = (
        AuditEvent.objects.filter(site=site, verb__in=SEEN)
        .order_by()
        .values("actor__username", day=TruncDate("created_at"))
        .annotate(pictures=Count("case", distinct=True), last=Max("created_at"))
        .order_by("-last")[:SHOWN]
    )
    return [Looks(r["day"], r["actor__username"] or "–", r["pictures"], r["last"]) for r in rows]


def _row(purpose: str, row: Consent | None) -> ConsentRow:
    who = row.person.get_username() if row and row.person else ""
    words = str(Purpose(purpose).label)
    return ConsentRow(purpose, words, row.given if row else None, who, row.said_at if row else None)
