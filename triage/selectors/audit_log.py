"""The history of a site as those read it who answer for it: filtered, paged, exported."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from triage.chain import name_of
from triage.models import AuditEvent, Case, Site
from triage.selectors.looks import SEEN
from triage.selectors.people import members_of

SHOWN = 50
NUMBER = re.compile(r"[0-9a-f]{8}")
# A verb that stands in a constant, not where it is recorded.
UNSPOKEN = (
    gettext_lazy("called everybody"),
    gettext_lazy("guarantee refused"),
    gettext_lazy("marked as known"),
    gettext_lazy("marked as not known"),
    gettext_lazy("was a gold case"),
)
HASH = re.compile(r"[0-9a-f]{64}")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Filters:
    """What of the history is wanted; an empty one narrows nothing.

    case    a case's number, the first eight hexadecimal digits of its id
    since   the first day, in the site's time zone; until: the last one
    seen    only what people looked at: photos, clips, frames, thumbnails
    """

    person: str = ""
    verb: str = ""
    case: str = ""
    since: date | None = None
    until: date | None = None
    seen: bool = False

    def query(self) -> dict[str, str]:
        """As the parameters of an address, without those that are empty."""
        return {key: str(value) for key, value in asdict(self).items() if value}


@dataclass(frozen=True)
class LogRow:
    event: AuditEvent
    who: str
    what: str
    detail: str
    number: str


@dataclass(frozen=True)
class LogPage:
    """`after` is the event to go on from, None at the end; verbs and people are for the filters."""

    rows: list[LogRow]
    after: int | None
    filters: Filters
    verbs: list[tuple[str, str]]
    people: list[str]

    @property
    def filtered(self) -> bool:
        return bool(self.filters.query())


def log_page(*, site: Site, filters: Filters, after: int | None = None) -> LogPage:
    """The newest SHOWN events that are wanted, or those that follow the event `after`."""
    events = _from(site, found_events(site, filters), after)
    found = list(events.select_related("actor")[: SHOWN + 1])
    rows, more = found[:SHOWN], len(found) > SHOWN
    verbs = AuditEvent.objects.filter(site=site).order_by().values_list("verb", flat=True)
    members = members_of(site).values_list("username", flat=True)
    return LogPage(
        rows=[_row(event) for event in rows],
        after=rows[-1].pk if more else None,
        filters=filters,
        verbs=sorted(((verb, _(verb)) for verb in verbs.distinct()), key=lambda one: one[1]),
        people=sorted(set(members)),
    )


def found_events(site: Site, filters: Filters) -> QuerySet[AuditEvent]:
    """A site's events, the newest first."""
    events = AuditEvent.objects.filter(site=site).order_by("-created_at", "-pk")
    if filters.person:
        events = events.filter(actor__username=filters.person)
    if filters.verb:
        events = events.filter(verb=filters.verb)
    if filters.seen:
        events = events.filter(verb__in=SEEN)
    if filters.case:
        events = events.filter(case__in=cases_numbered(site, filters.case))
    zone = ZoneInfo(site.time_zone)
    if filters.since:
        events = events.filter(created_at__gte=_morning(filters.since, zone))
    if filters.until and filters.until < date.max:
        events = events.filter(created_at__lt=_morning(filters.until + timedelta(days=1), zone))
    return events


def cases_numbered(site: Site, number: str) -> QuerySet[Case]:
    """The site's cases with this number, hardly ever more than one; none for what is no number."""
    plain = number.strip().lower()
    if not NUMBER.fullmatch(plain):
        return Case.objects.none()
    return Case.objects.filter(
        site=site, pk__range=(UUID(hex=plain + "0" * 24), UUID(hex=plain + "f" * 24))
    )


def as_row(event: AuditEvent) -> dict[str, object]:
    """An event with all that its hash depends on."""
    return {
        "chain": name_of(event.site_id, event.case_id),
        "position": event.position,
        "at": event.created_at.isoformat(timespec="microseconds"),
        "actor": event.actor_id,
        "who": event.actor.get_username() if event.actor else "",
        "verb": event.verb,
        "details": event.details,
        "previous": event.previous,
        "hash": event.hash,
    }


def exported(events: QuerySet[AuditEvent], *, as_csv: bool = False) -> Iterator[str]:
    """The events line by line: JSON, or CSV that no spreadsheet takes for a formula."""
    rows = (as_row(event) for event in events.select_related("actor").iterator(chunk_size=2000))
    return _csv(rows) if as_csv else (f"{json.dumps(row, sort_keys=True)}\n" for row in rows)


def _csv(rows: Iterable[dict[str, object]]) -> Iterator[str]:
    head = ("chain", "position", "at", "actor", "who", "verb", "details", "previous", "hash")
    yield _line(head)
    for row in rows:
        row["details"] = json.dumps(row["details"], sort_keys=True)
        yield _line([row[name] for name in head])


def _line(cells: Iterable[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([harmless(cell) for cell in cells])
    return out.getvalue()


def harmless(cell: object) -> str:
    """A cell's text, quoted where a spreadsheet would compute it."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA) else text


def _from(site: Site, events: QuerySet[AuditEvent], after: int | None) -> QuerySet[AuditEvent]:
    last = AuditEvent.objects.filter(site=site, pk=after).first() if after else None
    if last is None:
        return events
    older = Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk)
    return events.filter(older)


def _row(event: AuditEvent) -> LogRow:
    return LogRow(
        event=event,
        who=event.actor.get_username() if event.actor else _("the system"),
        what=_(event.verb),
        detail=_said(event.details),
        number=event.case_id.hex[:8] if event.case_id else "",
    )


def _said(details: dict[str, object]) -> str:
    shown = {key: value for key, value in details.items() if value not in (None, "", [])}
    return ", ".join(f"{key}: {_plain(value)}" for key, value in shown.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return _said(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{text[:8]}…" if HASH.fullmatch(text) else text


def _morning(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
