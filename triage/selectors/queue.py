"""The reviewer's lists."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from inference import ensemble
from inference.models import Definition
from inference.services.definitions import kept
from triage.choices import ALL_WAITING, WAITING, CaseStatus
from triage.models import Case, Lease, Site, Subject
from triage.selectors.gold import under_another_number
from triage.selectors.pace import Pace, pace_of
from triage.selectors.retakes import Retake, retakes
from triage.selectors.rows import QueueRow, rows, with_details
from triage.selectors.teams import cases_for, waiting_for
from triage.selectors.words import as_shipped, domain_at

SHOWN = 50
COUNTED = 1000
# Of what is over: more than this is counted no further, whatever a site has gathered in years.
FINISHED, MANY = (CaseStatus.ACCEPTED, CaseStatus.RESOLVED), 10_000
UNFINISHED = tuple(status for status in CaseStatus if status not in FINISHED)
# Subjects that a search finds by name; where there are more, its cases are found without the list.
NAMED = 200


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
    """A searchable list; `next` is the cursor of the following page, "" at the end.

    `statuses`: state, title, how many, "10000+" from MANY on.
    """

    rows: list[QueueRow]
    status: str
    q: str
    statuses: list[tuple[str, str, str]]
    next: str


def counts(cases: QuerySet[Case]) -> dict[str, int]:
    """How many unfinished cases are in each state, every state but the FINISHED named."""
    unfinished = cases.filter(status__in=UNFINISHED)
    found = dict(unfinished.order_by().values_list("status").annotate(n=Count("pk")))
    return {status: found.get(status, 0) for status in UNFINISHED}


def finished_counts(cases: QuerySet[Case]) -> dict[str, int]:
    """How many are in each of the FINISHED states, counted up to MANY."""
    return {status: cases.filter(status=status)[:MANY].count() for status in FINISHED}


def waiting_count(site: Site, user: AbstractBaseUser) -> int:
    """How many wait for this person, counted up to COUNTED: every page asks."""
    return waiting_for(site, user)[:COUNTED].count()


def queue_page(*, site: Site, user: AbstractBaseUser) -> QueuePage:
    """The queue as this person sees it."""
    seen = cases_for(site, user)
    in_state = counts(seen)
    waiting = waiting_for(site, user).order_by("waiting_due_at", "created_at")
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
    seen = listed_for(site, user)
    cases = listed(site, user, status, q)
    if after and (last := seen.filter(pk=after).first()):
        cases = cases.filter(behind(last, status))
    page = list(with_details(cases)[: SHOWN + 1])
    return CasesPage(
        rows=rows(page[:SHOWN], user, detailed=detailed),
        status=status,
        q=q,
        statuses=_statuses(seen),
        next=str(page[SHOWN - 1].pk) if len(page) > SHOWN else "",
    )


def listed_for(site: Site, user: AbstractBaseUser) -> QuerySet[Case]:
    """What this person sees, without what they would know a gold case by that they have to read."""
    return cases_for(site, user).exclude(pk__in=under_another_number(site, user))


def listed(site: Site, user: AbstractBaseUser, status: str = "", q: str = "") -> QuerySet[Case]:
    """The cases of such a list that this person sees, in its order."""
    seen = listed_for(site, user)
    cases = seen.order_by("-created_at", "-pk")
    if status == ALL_WAITING:
        cases = seen.filter(waiting_due_at__isnull=False)
        cases = cases.order_by("waiting_due_at", "created_at", "pk")
    elif status in CaseStatus.values:
        cases = cases.filter(status=status)
    return cases.filter(_found(site, seen, q)) if q else cases


def behind(case: Case, status: str) -> Q:
    """What comes after a case in such a list, or after where it stood."""
    if status == ALL_WAITING:
        return _beyond(_place_in_queue(case), "gt")
    return _beyond({"created_at": case.created_at, "pk": case.pk}, "lt")


def ahead(case: Case, status: str) -> Q:
    """What comes before it."""
    if status == ALL_WAITING:
        return _beyond(_place_in_queue(case), "lt")
    return _beyond({"created_at": case.created_at, "pk": case.pk}, "gt")


def _place_in_queue(case: Case) -> dict[str, object]:
    """`due_at` stays when a case waits no longer."""
    due = case.waiting_due_at or case.due_at or case.created_at
    return {"waiting_due_at": due, "created_at": case.created_at, "pk": case.pk}


def _beyond(place: dict[str, object], way: str) -> Q:
    """Rows on one side of a place, which the columns of the order give from first to last."""
    beyond, same = Q(), Q()
    for column, value in place.items():
        beyond |= same & Q(**{f"{column}__{way}": value})
        same &= Q(**{column: value})
    return beyond


def _statuses(cases: QuerySet[Case]) -> list[tuple[str, str, str]]:
    finished = finished_counts(cases)
    in_state = counts(cases) | finished
    more = {status: "+" if count == MANY else "" for status, count in finished.items()}
    return [
        ("", _("all"), f"{sum(in_state.values())}{max(more.values())}"),
        (ALL_WAITING, _("all that wait"), str(sum(in_state[one] for one in WAITING))),
        *(
            (value, str(title), f"{in_state[value]}{more.get(CaseStatus(value), '')}")
            for value, title in CaseStatus.choices
        ),
    ]


def _found(site: Site, cases: QuerySet[Case], q: str) -> Q:
    """By subject, label or number.

    Names and labels are looked up first: what is left are values that an index answers, and that
    the database can tell the seldom from the frequent by.
    """
    labels = [label for label in _labels(site) if q.lower() in label.lower()]
    # The label of an open audit is nobody's business yet, not even by a search.
    known = Q(label__in=labels, status__in=(CaseStatus.ACCEPTED, CaseStatus.RESOLVED))
    named = Subject.objects.filter(site=site, pseudonym__icontains=q)
    subjects = list(named.values_list("pk", flat=True)[: NAMED + 1])
    of_them = Q(subject__in=subjects) if len(subjects) <= NAMED else Q(subject__in=named)
    return of_them | known | Q(pk__in=_numbered(cases, q))


def _labels(site: Site) -> set[str]:
    """Of all versions of the site's domain that anybody was ever asked about, and what ships."""
    digests = Definition.objects.filter(domain=site.domain).values_list("digest", flat=True)
    versions = [as_shipped(site.domain), *map(kept, digests)]
    return {label for version in versions for label in version.label_ids}


def _numbered(cases: QuerySet[Case], number: str) -> list[object]:
    """Cases whose short number begins so: a range of primary keys, which an index answers."""
    digits = number.lower().replace("-", "")
    if not 4 <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return []
    low, high = digits.ljust(32, "0"), digits.ljust(32, "f")
    return list(cases.filter(pk__gte=low, pk__lte=high).values_list("pk", flat=True)[:50])
