"""What experts say."""

from functools import partial
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import prefetch_related_objects
from django.utils import timezone
from django.utils.translation import gettext as _

from inference import dispatch
from triage.choices import WAITING, CaseStatus, RetakeReason, ReviewAction, SiteKind
from triage.errors import Conflict, Refused
from triage.models import Case, Draft, Lease, Review
from triage.selectors.readings import DECISIVE, has_colleague, standing
from triage.selectors.rows import is_blind, why_not_undo
from triage.selectors.words import domain_of
from triage.services import gold, queue
from triage.services.history import record
from triage.services.states import move, origin

MAX_COMMENT = 2000
LEARN = "triage.tasks.learn_from_answer"
PUSH_SETTLED = "triage.tasks.push_settled"
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

    One that two people read waits for the second reading, hidden from the first; where they differ
    it waits for a third person, whose answer resolves it.

    Raises:
        Refused: the label is not one of the domain's, or the comment is too long.
        Conflict: the lease ran out or is somebody else's, or the case has changed since.
    """
    with transaction.atomic():
        lease = _valid_lease(case, token, user)
        case = _locked(case)
        _check_answer(case, label=label, comment=comment)
        _check_unchanged(case, version)
        prefetch_related_objects([case], "reviews", "decisions")
        before = list(case.reviews.all())
        settles = origin(case, before) == CaseStatus.DISPUTED
        review = Review.objects.create(
            case=case,
            reviewer_id=user.pk,
            label=label,
            blind=is_blind(case, user),
            comment=comment,
            seconds=_seconds(lease),
        )
        _end(lease)
        _settle(case, [*before, review], user, settles=settles)
    return review


def answer_at_home(*, case: Case, user: AbstractBaseUser, label: str, comment: str = "") -> Review:
    """At home nobody holds a case: the first answer settles it. Sent twice it counts once.

    Raises:
        Refused: the label is not one of the domain's, or the comment is too long.
        Conflict: somebody else has answered, or the case is not to be answered.
    """
    with transaction.atomic():
        queue.one_at_a_time(user)
        case = _locked(case)
        _check_answer(case, label=label, comment=comment)
        if case.site.kind != SiteKind.HOUSEHOLD:
            raise Conflict(_("Claim the case before you answer it."), "no_lease")
        if case.status == CaseStatus.RESOLVED:
            return _own_answer(case, user, label)
        for lease in case.leases.running():
            queue.release(lease=lease)
        lease = queue.claim(case=case, user=user)
        case = _locked(case)
        review = submit_review(
            case=case,
            token=lease.token,
            user=user,
            label=label,
            version=case.version,
            comment=comment,
        )
        case_id = str(case.pk)
        transaction.on_commit(
            lambda: dispatch.hint(PUSH_SETTLED, case_id, queue=TRIAGE_QUEUE), robust=True
        )
    return review


def _own_answer(case: Case, user: AbstractBaseUser, label: str) -> Review:
    """The answer that this person has given already, if it is this very one."""
    [*_earlier, last] = standing(case.reviews.select_related("reviewer"))
    if last.reviewer_id == user.pk and last.label == label:
        return last
    raise Conflict(_("{0} has answered already.").format(last.reviewer.get_username()), "answered")


def ask_again(
    *,
    case: Case,
    token: UUID,
    user: AbstractBaseUser,
    reason: str,
    version: int,
    comment: str = "",
) -> Review:
    """The photo cannot be judged: ask its sender for a new one, for a RetakeReason.

    Raises:
        Refused: there is no such reason, or the comment is too long.
        Conflict: the lease ran out or is somebody else's, or the case has changed since.
    """
    if reason not in RetakeReason.values:
        raise Refused(_("Say what is wrong with the photo."), "reason")
    with transaction.atomic():
        lease = _valid_lease(case, token, user)
        case = _locked(case)
        _check_comment(comment)
        _check_unchanged(case, version)
        review = Review.objects.create(
            case=case,
            reviewer_id=user.pk,
            action=ReviewAction.RETAKE,
            reason=reason,
            comment=comment,
            seconds=_seconds(lease),
        )
        _end(lease)
        case.drafts.all().delete()
        record("asked for a new photo", site=case.site, actor=user, case=case, reason=reason)
        move(case, CaseStatus.RETAKE)
    return review


def _settle(case: Case, said: list[Review], user: AbstractBaseUser, *, settles: bool) -> None:
    """Resolve the case if the newest answer settles a dispute or enough have read it alike."""
    answers, answer = standing(said), said[-1]
    readers = {one.reviewer_id for one in answers}
    if not settles and len({one.label for one in answers}) > 1:
        case.drafts.filter(writer_id=user.pk).delete()
        record("read otherwise", site=case.site, actor=user, case=case)
        move(case, CaseStatus.DISPUTED)
    elif not settles and len(answers) < case.readings and has_colleague(case, readers):
        case.drafts.filter(writer_id=user.pk).delete()
        record("read", site=case.site, actor=user, case=case)
        move(case, origin(case, said))
    else:
        case.drafts.all().delete()
        move(case, CaseStatus.RESOLVED, label=answer.label, resolved_at=timezone.now())
        record("resolved", site=case.site, actor=user, case=case, label=answer.label)
        if case.repeats_id:
            gold.note_answer(case=case, user=user, label=answer.label)
        transaction.on_commit(partial(_tell_worker, case.site_id, case.domain))


def keep_draft(*, case: Case, user: AbstractBaseUser, label: str, comment: str) -> Lease:
    """Keep what this person has typed so far, for when they come back; nothing typed keeps nothing.

    Whoever types is at it: their hold gets a fresh term.

    Raises:
        Refused: the label is not one of the domain's, or the comment is too long.
        Conflict: this person does not hold the case.
    """
    _check_answer(case, label=label, comment=comment, begun=True)
    with transaction.atomic():
        _locked(case)  # an answer that is just being stored ends all drafts, this one too
        lease = queue.lease_on(case=case, user=user)
        if label or comment:
            Draft.objects.update_or_create(
                case=case, writer_id=user.pk, defaults={"label": label, "comment": comment}
            )
        else:
            Draft.objects.filter(case=case, writer_id=user.pk).delete()
        return queue.extend(lease=lease)


def undo_review(*, case: Case, user: AbstractBaseUser) -> Lease:
    """Take one's own last answer back and hold the case again; the answer stays in the history.

    The case that they hold by now is let go: after "submit and next" they always hold one.

    Raises:
        Conflict: it is not this person's last answer, or too long ago.
    """
    with transaction.atomic():
        queue.one_at_a_time(user)
        locked = _locked(case)
        last = locked.reviews.filter(action__in=DECISIVE).last()
        over = locked.status in (*WAITING, CaseStatus.RESOLVED)
        if not over or last is None or last.reviewer_id != user.pk:
            raise Conflict(_("Only your own last answer can be taken back."), "not_yours")
        if problem := why_not_undo(locked, last):
            raise Conflict(problem, "too_late")
        Review.objects.create(case=locked, reviewer_id=user.pk, action=ReviewAction.UNDO)
        # Of a reading that a colleague has yet to follow, the label is nobody's business.
        told = {"label": last.label} if locked.status == CaseStatus.RESOLVED else {}
        record("took back", site=locked.site, actor=user, case=locked, **told)
        return queue.take_back(case=locked, user=user)


def _seconds(lease: Lease) -> float:
    return (timezone.now() - lease.taken_at).total_seconds()


def _end(lease: Lease) -> None:
    if not queue.end_lease(lease):
        raise queue.lease_over()


def _locked(case: Case) -> Case:
    locked = Case.objects.select_for_update().get(pk=case.pk)
    locked.site = case.site
    return locked


def _valid_lease(case: Case, token: UUID, user: AbstractBaseUser) -> Lease:
    lease = Lease.objects.filter(case_id=case.pk, token=token, holder_id=user.pk).first()
    if lease is None:
        raise Conflict(_("You do not hold this case. Claim it first."), "no_lease")
    if lease.ended_at or lease.expires_at <= timezone.now():
        raise Conflict(_("Your hold on this case has run out. Claim it again."), "lease_over")
    return lease


def _check_answer(case: Case, *, label: str, comment: str, begun: bool = False) -> None:
    """A begun answer may still be without a label."""
    labels = domain_of(case).label_ids
    if label not in labels and not (begun and not label):
        raise Refused(
            _("There is no label {0!r}. Choose one of: {1}.").format(label, ", ".join(labels)),
            "label",
        )
    _check_comment(comment)


def _check_comment(comment: str) -> None:
    if len(comment) > MAX_COMMENT:
        raise Refused(
            _("The comment is longer than {0} characters.").format(MAX_COMMENT), "comment"
        )


def _check_unchanged(case: Case, version: int) -> None:
    if case.status != CaseStatus.IN_REVIEW or case.version != version:
        raise Conflict(
            _(
                "The case has changed since you opened it (it is {0}). "
                "Look at it again; your answer was not stored."
            ).format(case.get_status_display()),
            "changed",
        )


def _tell_worker(site_id: int, domain: str) -> None:
    dispatch.hint(LEARN, site_id, domain, queue=TRIAGE_QUEUE)
