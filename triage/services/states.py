"""The one place where a case changes its state."""

from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from triage import events
from triage.choices import TRANSITIONS, WAITING, CaseStatus, Outcome
from triage.models import Case, Review
from triage.selectors.readings import asked_again, standing
from triage.selectors.rows import latest_decision


class IllegalTransition(RuntimeError):
    """A programming error: there is no such step between these states."""


def move(case: Case, status: CaseStatus, **fields: object) -> None:
    """Take a case that the caller has locked to another state, and tell the open pages."""
    if status not in TRANSITIONS[case.status]:
        raise IllegalTransition(f"{case} cannot go from {case.status} to {status}")
    case.status = status
    case.version += 1
    for name, value in fields.items():
        setattr(case, name, value)
    case.waiting_due_at = (case.due_at or timezone.now()) if status in WAITING else None
    case.save(update_fields=["status", "version", "waiting_due_at", *fields])
    transaction.on_commit(partial(tell_of, case), robust=True)


def tell_of(case: Case) -> None:
    """A changed case changes its own page and the queue: of a gold case its readers' alone."""
    if case.repeats_id:
        readers = case.gold.readers.values_list("pk", flat=True)
        events.announce_to(case.site_id, readers, "queue", case.id)
    else:
        tell(case.site_id, case.id)


def tell(site_id: int, case_id: UUID) -> None:
    events.announce(site_id, "queue", case_id)


def origin(case: Case, said: list[Review] | None = None) -> CaseStatus:
    """Where a case in review came from, and goes back to when it is let go.

    Args:
        said: all that was said of it, where that is known already.
    """
    said = list(case.reviews.all()) if said is None else said
    if asked_again(said):
        return CaseStatus.RETAKE
    if len({review.label for review in standing(said)}) > 1:
        return CaseStatus.DISPUTED
    decision = latest_decision(case)
    if decision is None or decision.outcome == Outcome.DEFER:
        return CaseStatus.DEFERRED
    return CaseStatus.AUDIT if decision.audited else CaseStatus.ACCEPTED
