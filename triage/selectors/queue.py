"""The reviewer's lists."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count, Q
from django.utils.translation import gettext as _

from inference import ensemble
from triage.choices import ALL_WAITING, WAITING, CaseStatus
from triage.models import Case, Lease, Site
from triage.selectors.pace import Pace, pace_of
from triage.selectors.retakes import Retake, retakes
from triage.selectors.rows import QueueRow, rows, with_details
from triage.selectors.words import domain_at

SHOWN = 50
COUNTED = 1000


@dataclass(frozen=True)
class QueuePage:
    """What waits, soonest due first, and what is going on around it."""

    rows: list[QueueRow]
    waiting: int
    held: int
    processing: int
    mine: QueueRow | None
    pace: Pace
    retakes: list[Retake]
    domain_title: str
    has_members: bool


@dataclass(frozen=True)
class CasesPage:
    """A searchable list; `next` is the cursor of the following page, "" at the end."""

    rows: list[QueueRow]
    status: str
    q: str
    statuses: list[tuple[str, str, int]]
    next: str


def counts(site: Site) -> dict[str, int]:
    """How many cases are in each state, every state named."""
    found = dict(
        Case.objects.filter(site=site).order_by().values_list("status").annotate(n=Count("pk"))
    )
    return {status: found.get(status, 0) for status in CaseStatus.values}


def waiting_count(site: Site) -> int:
    """How many wait, counted up to COUNTED: every page asks."""
    return Case.objects.filter(site=site, waiting_due_at__isnull=False)[:COUNTED].count()


def queue_page(*, site: Site, user: AbstractBaseUser) -> QueuePage:
    """The queue as this person sees it."""
    in_state = counts(site)
    waiting = Case.objects.filter(site=site, waiting_due_at__isnull=False)
    waiting = waiting.order_by("waiting_due_at", "created_at")
    held = Lease.objects.running().filter(case__site=site, holder=user.pk)
    mine = Case.objects.filter(site=site, leases__in=held)
    own = rows(with_details(mine)[:1], user)
    return QueuePage(
        rows=rows(with_details(waiting)[:SHOWN], user),
        waiting=sum(in_state[status] for status in WAITING),
        held=in_state[CaseStatus.IN_REVIEW],
        processing=in_state[CaseStatus.OPEN],
        mine=own[0] if own else None,
        pace=pace_of(site=site, user=user, waiting=sum(in_state[status] for status in WAITING)),
        retakes=retakes(site, user),
        domain_title=_(domain_at(site).title),
        has_members=bool(ensemble.members_of(site.domain)),
    )


def cases_page(
    *,
    site: Site,
    user: AbstractBaseUser,
    status: str = "",
    q: str = "",
    after: str = "",
    detailed: bool = True,
) -> CasesPage:
    """Newest first, or soonest due first where `status` is ALL_WAITING.

    `after` is the cursor that the page before gave; it holds when its case waits no longer.
    """
    cases = Case.objects.filter(site=site).order_by("-created_at", "-pk")
    in_queue = status == ALL_WAITING
    if in_queue:
        cases = cases.filter(waiting_due_at__isnull=False)
        cases = cases.order_by("waiting_due_at", "created_at", "pk")
    elif status in CaseStatus.values:
        cases = cases.filter(status=status)
    if q:
        # The label of an open audit is nobody's business yet, not even by a search.
        known = Q(label__icontains=q, status__in=(CaseStatus.ACCEPTED, CaseStatus.RESOLVED))
        subject = Q(subject__pseudonym__icontains=q)
        cases = cases.filter(subject | known | Q(pk__in=_numbered(site, q)))
    if after and (last := Case.objects.filter(site=site, pk=after).first()):
        cases = cases.filter(_behind(last) if in_queue else _older(last))
    page = list(with_details(cases)[: SHOWN + 1])
    in_state = counts(site)
    statuses = [
        ("", _("all"), sum(in_state.values())),
        (ALL_WAITING, _("all that wait"), sum(in_state[one] for one in WAITING)),
    ]
    statuses += [(value, str(title), in_state[value]) for value, title in CaseStatus.choices]
    return CasesPage(
        rows=rows(page[:SHOWN], user, detailed=detailed),
        status=status,
        q=q,
        statuses=statuses,
        next=str(page[SHOWN - 1].pk) if len(page) > SHOWN else "",
    )


def _older(last: Case) -> Q:
    return Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk)


def _behind(last: Case) -> Q:
    """Behind a case in the queue, or where it stood: `due_at` stays when it waits no longer."""
    made = last.created_at
    due = last.waiting_due_at or last.due_at or made
    same = Q(waiting_due_at=due)
    return (
        Q(waiting_due_at__gt=due)
        | (same & Q(created_at__gt=made))
        | (same & Q(created_at=made, pk__gt=last.pk))
    )


def _numbered(site: Site, number: str) -> list[object]:
    """Cases whose short number begins so: a range of primary keys, which an index answers."""
    digits = number.lower().replace("-", "")
    if not 4 <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return []
    low, high = digits.ljust(32, "0"), digits.ljust(32, "f")
    return list(
        Case.objects.filter(site=site, pk__gte=low, pk__lte=high).values_list("pk", flat=True)[:50]
    )
