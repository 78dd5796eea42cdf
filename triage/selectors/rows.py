"""One line for a case, the same in every list."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from triage.choices import WAITING, CaseStatus, ReviewAction
from triage.models import Case, Decision, Lease, Review
from triage.reasons import LEARNING, in_words, kinds
from triage.selectors.explain import StageLevel, overall_level, stage_levels
from triage.selectors.gold import as_decided
from triage.selectors.readings import has_answered, standing
from triage.selectors.words import domain_of, titles_of


@dataclass(frozen=True)
class QueueRow:
    """A case in a list; `why` says in one sentence why it stands where it stands.

    `read`: the viewer has answered it, and it waits for a colleague.
    """

    case: Case
    why: str
    level: str
    stages: tuple[StageLevel, ...]
    held_by: str
    mine: bool
    audit: bool
    label: str
    drawn: bool
    clip: bool
    late: bool
    read: bool


def with_details(cases: QuerySet[Case]) -> QuerySet[Case]:
    """What `rows` needs, in a handful of queries however many cases there are."""
    return cases.select_related("observation__media", "subject").prefetch_related(
        Prefetch("decisions", Decision.objects.order_by("-pk")),
        "repeats__decisions",
        Prefetch("leases", Lease.objects.running().select_related("holder")),
        "reviews",
    )


def rows(
    cases: Iterable[Case], viewer: AbstractBaseUser, *, detailed: bool = True
) -> list[QueueRow]:
    """One row a case, in order; without `detailed` no word of members, stages or scores."""
    return [_row(case, viewer, detailed) for case in cases]


def is_blind(case: Case, viewer: AbstractBaseUser) -> bool:
    """What measures the machine is answered before its answer is seen: else it is only agreement.

    That is an audit, and a case that a learning camera alone has kept from being accepted: hidden
    from everybody until it is resolved. A case drawn for blind reading is hidden from whoever has
    not answered it yet. A case that is not decided yet may still become one of these.
    """
    if latest_decision(case) is None:
        return True
    if case.status in (CaseStatus.ACCEPTED, CaseStatus.RESOLVED):
        return False
    return measures(latest_decision(case)) or (case.blind and not has_answered(case, viewer))


def latest_decision(case: Case) -> Decision | None:
    """The newest decision, from the prefetched ones where there are.

    A gold case has none of its own: it shows that of the case which it repeats.
    """
    newest = max((case.repeats or case).decisions.all(), key=lambda row: row.pk, default=None)
    return as_decided(case, newest) if case.repeats_id else newest


def why_not_undo(case: Case, last: Review) -> str:
    """Why the last answer of a case cannot be taken back, in words; "" if it can."""
    if case.erased_at:
        return _("Its picture has been erased: it cannot be judged again.")
    if last.action != ReviewAction.ANSWER:
        return _("There is no answer to take back.")
    if measures(latest_decision(case)) and case.status == CaseStatus.RESOLVED:
        return _("A blind answer stands: the machine's answer has been seen since.")
    if timezone.now() - last.created_at > timedelta(minutes=settings.ALARM_UNDO_MINUTES):
        return _("An answer can be taken back for {0} minutes.").format(settings.ALARM_UNDO_MINUTES)
    return ""


def _audited(case: Case) -> bool:
    decision = latest_decision(case)
    return bool(decision and decision.audited)


def measures(decision: Decision | None) -> bool:
    """Whether the answer tells how right the machine is about what it would accept."""
    if decision is None:
        return False
    objections = kinds(decision.reasons)
    return decision.audited or (bool(objections) and objections <= LEARNING)


def _row(case: Case, viewer: AbstractBaseUser, detailed: bool) -> QueueRow:
    decision = latest_decision(case)
    lease = next(iter(case.leases.all()), None)
    blind = is_blind(case, viewer)
    titles = titles_of(domain_of(case), plain=not detailed)
    return QueueRow(
        case=case,
        why=_why(case, decision, blind) if detailed else _plain_why(case, decision),
        level="unknown" if blind else overall_level(decision),
        stages=stage_levels(None if blind else decision) if detailed else (),
        held_by=lease.holder.get_username() if lease else "",
        mine=bool(lease and lease.holder_id == viewer.pk),
        audit=_audited(case),
        label="" if blind else titles.get(_label(case, decision), ""),
        drawn=case.observation.drawn,
        clip=bool(case.observation.media.clip),
        late=bool(case.status in WAITING and case.due_at and case.due_at < timezone.now()),
        read=case.status in WAITING and _stands(case, viewer),
    )


def _stands(case: Case, viewer: AbstractBaseUser) -> bool:
    return any(answer.reviewer_id == viewer.pk for answer in standing(case.reviews.all()))


def _label(case: Case, decision: Decision | None) -> str:
    return case.label or (decision.label if decision else "")


def _why(case: Case, decision: Decision | None, blind: bool) -> str:
    if decision is None:
        return _("The ensemble is looking at it.")
    if case.status == CaseStatus.DISPUTED:
        return _("Two readings differ: a third person decides.")
    if blind and decision.audited:
        return _("Drawn at random to check the accepted cases; the machine's answer is hidden.")
    if blind:
        return _("To be read first: the machine's answer is hidden until you have answered.")
    return in_words(decision.reasons[0])


def _plain_why(case: Case, decision: Decision | None) -> str:
    if decision is None:
        return _("It is being looked at.")
    return _("A person is asked.") if case.status in WAITING else ""
