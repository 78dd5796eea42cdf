"""One line for a case, the same in every list."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.pipeline.domains import load_domain
from triage.choices import WAITING, CaseStatus
from triage.models import Case, Decision, Lease
from triage.reasons import in_words
from triage.selectors.explain import StageLevel, overall_level, stage_levels


@dataclass(frozen=True)
class QueueRow:
    """A case in a list; `why` says in one sentence why it stands where it stands."""

    case: Case
    why: str
    level: str
    stages: tuple[StageLevel, ...]
    held_by: str
    mine: bool
    audit: bool
    label: str
    drawn: bool
    late: bool


def with_details(cases: QuerySet[Case]) -> QuerySet[Case]:
    """What `rows` needs, in a handful of queries however many cases there are."""
    return cases.select_related("observation", "subject").prefetch_related(
        Prefetch("decisions", Decision.objects.order_by("-pk")),
        Prefetch("leases", Lease.objects.filter(ended_at=None).select_related("holder")),
    )


def rows(cases: Iterable[Case], viewer: AbstractBaseUser) -> list[QueueRow]:
    """One row a case, in order."""
    return [_row(case, viewer) for case in cases]


def is_blind(case: Case) -> bool:
    """An audit is answered before the machine's answer is seen, else it only measures agreement."""
    return case.status in (CaseStatus.AUDIT, CaseStatus.IN_REVIEW) and _audited(case)


def latest_decision(case: Case) -> Decision | None:
    """The newest decision, from the prefetched ones where there are."""
    return max(case.decisions.all(), key=lambda row: row.pk, default=None)


def _audited(case: Case) -> bool:
    decision = latest_decision(case)
    return bool(decision and decision.audited)


def _row(case: Case, viewer: AbstractBaseUser) -> QueueRow:
    decision = latest_decision(case)
    lease = next(iter(case.leases.all()), None)
    blind = is_blind(case)
    titles = {label.id: label.title for label in load_domain(case.domain).labels}
    return QueueRow(
        case=case,
        why=_why(case, decision, blind),
        level="unknown" if blind else overall_level(decision),
        stages=stage_levels(None if blind else decision),
        held_by=lease.holder.get_username() if lease else "",
        mine=bool(lease and lease.holder_id == viewer.pk),
        audit=_audited(case),
        label="" if blind else titles.get(_label(case, decision), ""),
        drawn=case.observation.drawn,
        late=bool(case.status in WAITING and case.due_at and case.due_at < timezone.now()),
    )


def _label(case: Case, decision: Decision | None) -> str:
    return case.label or (decision.label if decision else "")


def _why(case: Case, decision: Decision | None, blind: bool) -> str:
    if decision is None:
        return _("The ensemble is looking at it.")
    if blind:
        return _("Drawn at random to check the accepted cases; the machine's answer is hidden.")
    return in_words(decision.reasons[0])
