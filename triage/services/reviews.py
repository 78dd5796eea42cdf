"""What experts say."""

from functools import partial
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from inference import dispatch
from inference.pipeline.domains import load_domain
from triage.choices import CaseStatus, ReviewAction
from triage.errors import Conflict, Refused
from triage.models import Case, Draft, Lease, Review
from triage.selectors.rows import why_not_undo
from triage.services import queue
from triage.services.history import record
from triage.services.states import move

MAX_COMMENT = 2000
REFIT_WHEN_DUE = "triage.tasks.refit_when_due"
END_LEARNING = "triage.tasks.end_learning_where_earned"
WITHDRAW = "triage.tasks.withdraw_where_lost"
TRIAGE_QUEUE = "triage"


def submit_review(
    *,
    case: Case,
    token: UUID,
    user: AbstractBaseUser,
    label: str,
    version: int,
    comment: str = "",
) -> Review:
    """Answer a case that this person holds with the lease `token`, and resolve it.

    Raises:
        Refused: the label is not one of the domain's, or the comment is too long.
        Conflict: the lease ran out or is somebody else's, or the case has changed since.
    """
    with transaction.atomic():
        lease = _valid_lease(case, token, user)
        case = _locked(case)
        _check(case, label=label, version=version, comment=comment)
        review = Review.objects.create(
            case=case,
            reviewer_id=user.pk,
            label=label,
            comment=comment,
            seconds=(timezone.now() - lease.taken_at).total_seconds(),
        )
        if not queue.end_lease(lease):
            raise Conflict("Your hold on this case has run out. Claim it again.", "lease_over")
        move(case, CaseStatus.RESOLVED, label=label, resolved_at=timezone.now())
        case.drafts.all().delete()
        record("resolved", site=case.site, actor=user, case=case, label=label)
        transaction.on_commit(partial(_tell_worker, case.site_id, case.domain))
    return review


def keep_draft(*, case: Case, user: AbstractBaseUser, label: str, comment: str) -> None:
    """Keep what this person has typed so far, for when they come back; nothing typed keeps nothing.

    Raises:
        Refused: the label is not one of the domain's, or the comment is too long.
        Conflict: this person does not hold the case.
    """
    _check_answer(case, label=label, comment=comment, begun=True)
    with transaction.atomic():
        _locked(case)  # an answer that is just being stored ends all drafts, this one too
        lease = queue.held_lease(site=case.site, user=user)
        if lease is None or lease.case_id != case.pk:
            raise Conflict("You do not hold this case any more. Claim it again.", "no_lease")
        if label or comment:
            Draft.objects.update_or_create(
                case=case, writer_id=user.pk, defaults={"label": label, "comment": comment}
            )
        else:
            Draft.objects.filter(case=case, writer_id=user.pk).delete()


def undo_review(*, case: Case, user: AbstractBaseUser) -> Lease:
    """Take one's own last answer back and hold the case again; the answer stays in the history.

    Raises:
        Conflict: it is not this person's last answer, or too long ago.
    """
    with transaction.atomic():
        locked = _locked(case)
        last = locked.reviews.last()
        if locked.status != CaseStatus.RESOLVED or last is None or last.reviewer_id != user.pk:
            raise Conflict("Only your own last answer can be taken back.", "not_yours")
        if problem := why_not_undo(locked, last):
            raise Conflict(problem, "too_late")
        Review.objects.create(case=locked, reviewer_id=user.pk, action=ReviewAction.UNDO)
        record("took back", site=locked.site, actor=user, case=locked, label=last.label)
        return queue.take_back(case=locked, user=user)


def _locked(case: Case) -> Case:
    return Case.objects.select_for_update(of=("self",)).select_related("site").get(pk=case.pk)


def _valid_lease(case: Case, token: UUID, user: AbstractBaseUser) -> Lease:
    lease = Lease.objects.filter(case_id=case.pk, token=token, holder_id=user.pk).first()
    if lease is None:
        raise Conflict("You do not hold this case. Claim it first.", "no_lease")
    if lease.ended_at or lease.expires_at <= timezone.now():
        raise Conflict("Your hold on this case has run out. Claim it again.", "lease_over")
    return lease


def _check_answer(case: Case, *, label: str, comment: str, begun: bool = False) -> None:
    """A begun answer may still be without a label."""
    labels = load_domain(case.domain).label_ids
    if label not in labels and not (begun and not label):
        raise Refused(f"There is no label {label!r}. Choose one of: {', '.join(labels)}.", "label")
    if len(comment) > MAX_COMMENT:
        raise Refused(f"The comment is longer than {MAX_COMMENT} characters.", "comment")


def _check(case: Case, *, label: str, version: int, comment: str) -> None:
    _check_answer(case, label=label, comment=comment)
    if case.status != CaseStatus.IN_REVIEW or case.version != version:
        raise Conflict(
            f"The case has changed since you opened it (it is {case.get_status_display()}). "
            "Look at it again; your answer was not stored.",
            "changed",
        )


def _tell_worker(site_id: int, domain: str) -> None:
    for task in (REFIT_WHEN_DUE, END_LEARNING, WITHDRAW):
        dispatch.hint(task, site_id, domain, queue=TRIAGE_QUEUE)
