"""An answer counts once, is never overwritten in silence, and can be taken back."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from tests.factories import make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from tests.triage.test_queue import SPLIT, expire
from triage.choices import CaseStatus, ReviewAction
from triage.errors import Conflict, Refused
from triage.models import Case, Lease, Review
from triage.services import queue, reviews
from triage.services.states import IllegalTransition, move

pytestmark = pytest.mark.django_db


def held(cast: Cast) -> tuple[Case, Lease]:
    make_case(cast.clinic, SPLIT)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease
    return Case.objects.get(pk=lease.case_id), lease


def submit(cast: Cast, case: Case, lease: Lease, **changes: object) -> Review:
    wanted = {
        "case": case,
        "token": lease.token,
        "user": cast.clinician,
        "label": "Burns",
        "version": case.version,
    }
    return reviews.submit_review(**(wanted | changes))  # type: ignore[arg-type]


def test_an_answer_resolves_the_case(cast: Cast) -> None:
    case, lease = held(cast)
    review = submit(cast, case, lease, label="Cut", comment="clean edges")
    case.refresh_from_db()
    assert (case.status, case.label) == (CaseStatus.RESOLVED, "Cut")
    assert (review.comment, review.action) == ("clean edges", ReviewAction.ANSWER)
    assert review.seconds is not None and review.seconds >= 0
    assert queue.held_lease(site=cast.clinic, user=cast.clinician) is None


def test_the_token_of_another_case_is_no_good(cast: Cast) -> None:
    _case, lease = held(cast)
    other = make_case(cast.elsewhere, SPLIT)
    with pytest.raises(Conflict) as caught:
        submit(cast, other, lease)
    assert caught.value.code == "no_lease"


def test_what_was_taken_back_is_no_longer_the_cases_label(cast: Cast) -> None:
    make_policy(cast.clinic)
    deferred, accepted = make_case(cast.clinic, SPLIT), make_case(cast.clinic)
    for case, label in ((deferred, ""), (accepted, "Burns")):
        lease = queue.claim(case=case, user=cast.clinician)
        case.refresh_from_db()
        submit(cast, case, lease, label="Cut")
        queue.release(lease=reviews.undo_review(case=case, user=cast.clinician))
        case.refresh_from_db()
        assert (case.label, case.resolved_at) == (label, None)
        assert case.status in (CaseStatus.DEFERRED, CaseStatus.ACCEPTED)


def test_an_audits_answer_stands_once_the_machines_is_seen(cast: Cast) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    case = make_case(cast.clinic)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    submit(cast, case, lease)
    with pytest.raises(Conflict, match="answer stands"):
        reviews.undo_review(case=case, user=cast.clinician)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"label": "Papercut"}, Refused, "label"),
        ({"label": ""}, Refused, "label"),
        ({"comment": "x" * 2001}, Refused, "comment"),
        ({"token": uuid4()}, Conflict, "no_lease"),
        ({"version": 1}, Conflict, "changed"),
    ],
)
def test_what_cannot_be_stored_changes_nothing(
    cast: Cast, changes: dict[str, object], error: type[Exception], code: str
) -> None:
    case, lease = held(cast)
    with pytest.raises(error) as caught:
        submit(cast, case, lease, **changes)
    assert caught.value.code == code  # type: ignore[attr-defined]
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW
    assert not Review.objects.exists()
    assert queue.held_lease(site=cast.clinic, user=cast.clinician) == lease


def test_somebody_elses_lease_is_no_good(cast: Cast) -> None:
    case, lease = held(cast)
    with pytest.raises(Conflict):
        submit(cast, case, lease, user=cast.colleague)


def test_after_the_lease_ran_out_the_answer_is_refused(cast: Cast) -> None:
    case, lease = held(cast)
    expire(lease)
    with pytest.raises(Conflict) as caught:
        submit(cast, case, lease)
    assert caught.value.code == "lease_over"


def test_the_same_answer_sent_twice_counts_once(cast: Cast) -> None:
    case, lease = held(cast)
    submit(cast, case, lease)
    with pytest.raises(Conflict):
        submit(cast, case, lease)
    assert Review.objects.count() == 1


def test_undo_appends_and_gives_the_case_back(cast: Cast) -> None:
    case, lease = held(cast)
    submit(cast, case, lease)
    again = reviews.undo_review(case=case, user=cast.clinician)
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW
    submit(cast, case, again, label="Cut")
    case.refresh_from_db()
    assert (case.status, case.label) == (CaseStatus.RESOLVED, "Cut")
    actions = list(case.reviews.values_list("action", "label"))
    assert actions == [("answer", "Burns"), ("undo", ""), ("answer", "Cut")]


def test_only_ones_own_answer_can_be_taken_back(cast: Cast) -> None:
    case, lease = held(cast)
    submit(cast, case, lease)
    with pytest.raises(Conflict) as caught:
        reviews.undo_review(case=case, user=cast.colleague)
    assert caught.value.code == "not_yours"


def test_an_old_answer_stands(cast: Cast) -> None:
    case, lease = held(cast)
    submit(cast, case, lease)
    rewrite(Review.objects.all(), created_at=timezone.now() - timedelta(hours=2))
    with pytest.raises(Conflict) as caught:
        reviews.undo_review(case=case, user=cast.clinician)
    assert caught.value.code == "too_late"


def test_a_review_cannot_be_rewritten(cast: Cast) -> None:
    case, lease = held(cast)
    review = submit(cast, case, lease)
    review.label = "Cut"
    with pytest.raises(TypeError):
        review.save()
    with pytest.raises(TypeError):
        review.delete()


def test_there_are_no_other_steps_than_those_written_down(cast: Cast) -> None:
    case, _lease = held(cast)
    with pytest.raises(IllegalTransition):
        move(case, CaseStatus.OPEN)
