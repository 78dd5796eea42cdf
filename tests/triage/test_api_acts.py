"""The acts of the console and of the household, by API: the same verbs, the same history."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import SIGNATURE, make_camera, make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, PolicyMode, PolicyStatus
from triage.models import AuditEvent, Case, Checkup, DeviceToken, Membership, Policy, Snooze
from triage.services import calibration, queue

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
SPLIT = ("Burns", "Burns", "Cut")


def post(user: User, route: str, *args: object, **said: object) -> Any:
    client = APIClient()
    client.force_login(user)
    return client.post(reverse(route, args=args), said, format="json")


def resolve(cases: list[Case], label: str = "Burns") -> None:
    rewrite(
        Case.objects.filter(pk__in=[case.pk for case in cases]),
        status=CaseStatus.RESOLVED,
        label=label,
        resolved_at=timezone.now(),
        waiting_due_at=None,
    )


def test_everything_is_deferred_from_the_next_case_on(cast: Cast) -> None:
    make_policy(cast.clinic)
    assert make_case(cast.clinic).status == CaseStatus.ACCEPTED
    answer = post(cast.administrator, "api-defer-all")
    assert (answer.status_code, answer.data["mode"]) == (201, PolicyMode.DEFER_ALL)
    assert make_case(cast.clinic).status == CaseStatus.DEFERRED
    assert AuditEvent.objects.get(verb="everything deferred").actor == cast.administrator


def test_a_refit_says_what_is_missing_and_else_answers_with_its_draft(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "current_signature", lambda _domain: SIGNATURE)
    make_policy(cast.clinic)
    refused = post(cast.administrator, "api-refit")
    assert refused.status_code == 422 and refused.json()["detail"]
    resolve([make_case(cast.clinic, SPLIT) for _ in range(6)])
    answer = post(cast.administrator, "api-refit")
    assert answer.status_code == 201, answer.data
    draft = Policy.objects.get(pk=answer.data["id"])
    assert (draft.status, draft.proposed_by) == (PolicyStatus.DRAFT, cast.administrator)


def test_a_threshold_off_the_curve_becomes_a_draft(cast: Cast) -> None:
    make_policy(cast.clinic)
    said = {"method": "vote_entropy", "threshold": 0.25}
    answer = post(cast.administrator, "api-propose-at", **said)
    assert answer.status_code == 201, answer.data
    assert (answer.data["threshold"], answer.data["mode"]) == (0.25, PolicyMode.BY_HAND)
    stale = post(cast.administrator, "api-propose-at", **said, calibration=10**6)
    assert stale.status_code == 409
    for nonsense in ("nan", "inf"):
        wrong = post(cast.administrator, "api-propose-at", **said | {"threshold": nonsense})
        assert wrong.status_code == 400


def test_a_draft_is_dropped_once(cast: Cast) -> None:
    draft = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    assert post(cast.administrator, "api-drop", draft.pk).data["status"] == PolicyStatus.DROPPED
    assert post(cast.administrator, "api-drop", draft.pk).status_code == 409


def test_shares_of_readings_are_set_and_read(cast: Cast) -> None:
    said = {"blind_share": 0.4, "double_share": 0.2}
    assert post(cast.administrator, "api-readings", **said).data == said
    cast.clinic.refresh_from_db()
    assert (cast.clinic.blind_share, cast.clinic.double_share) == (0.4, 0.2)
    wrong = post(cast.administrator, "api-readings", blind_share=40, double_share=0.2)
    assert wrong.status_code == 400


def test_the_clock_is_set_at_home_too(cast: Cast) -> None:
    assert post(cast.caregiver, "api-time-zone", zone="Asia/Tokyo").status_code == 204
    cast.household.refresh_from_db()
    assert cast.household.time_zone == "Asia/Tokyo"
    assert post(cast.caregiver, "api-time-zone", zone="Atlantis").status_code == 422


def test_a_camera_learns_again_and_is_trusted_again(cast: Cast) -> None:
    camera = make_camera(cast.clinic, "door")
    begun = post(cast.administrator, "api-start-learning", camera=camera.pk)
    assert (begun.data["name"], begun.data["learning"]) == ("door", True)
    assert post(cast.administrator, "api-start-learning", camera=camera.pk).status_code == 409
    ended = post(cast.administrator, "api-end-learning", camera=camera.pk)
    assert ended.data["learning"] is False
    site = post(cast.administrator, "api-start-learning")
    assert (site.data["camera"], site.data["learning"]) == (None, True)


@pytest.mark.parametrize("route", ["api-start-learning", "api-end-learning"])
def test_another_sites_camera_does_not_learn_by_it(cast: Cast, route: str) -> None:
    camera = make_camera(cast.elsewhere)
    assert post(cast.administrator, route, camera=camera.pk).status_code == 404


def test_looking_now_answers_with_what_is_found_now(cast: Cast) -> None:
    before = timezone.now()
    answer = post(cast.administrator, "api-check")
    assert answer.status_code == 200 and "service_levels" in answer.data
    assert Checkup.objects.get(site=cast.clinic).looked_at >= before


def test_a_case_is_held_longer_and_let_go(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    held = post(cast.clinician, "api-claim", case.pk)
    assert held.status_code == 200
    assert post(cast.colleague, "api-release", case.pk).json()["code"] == "no_lease"
    longer = post(cast.clinician, "api-extend", case.pk)
    assert longer.data["token"] == held.data["token"]
    assert longer.data["expires_at"] > held.data["expires_at"]
    assert post(cast.clinician, "api-release", case.pk).status_code == 204
    case.refresh_from_db()
    assert case.status == CaseStatus.DEFERRED


def test_a_case_is_passed_on_to_a_colleague(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    post(cast.clinician, "api-claim", case.pk)
    nobody = post(cast.clinician, "api-pass", case.pk, to=cast.outsider.pk)
    assert nobody.status_code == 422
    passed = post(cast.clinician, "api-pass", case.pk, to=cast.colleague.pk, comment="look")
    assert passed.status_code == 204
    case.refresh_from_db()
    assert case.wanted == cast.colleague


def test_a_case_is_skipped_for_a_reason(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    post(cast.clinician, "api-claim", case.pk)
    assert post(cast.clinician, "api-skip", case.pk, reason="bored").status_code == 422
    assert post(cast.clinician, "api-skip", case.pk, reason="time").status_code == 204
    assert queue.held_lease(site=cast.clinic, user=cast.clinician) is None


def test_a_new_photo_is_asked_for(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    held = post(cast.clinician, "api-claim", case.pk).data
    said = {"token": held["token"], "version": held["version"]}
    asked = post(cast.clinician, "api-retake", case.pk, reason="dark", **said)
    assert (asked.status_code, asked.data["status"]) == (201, CaseStatus.RETAKE)


def test_at_home_one_answer_settles_it_and_who_cannot_say_passes_on(cast: Cast) -> None:
    first, second = (make_case(cast.household, ("pet", "person", "pet")) for _ in range(2))
    answered = post(cast.caregiver, "api-answer", first.pk, label="pet")
    assert (answered.status_code, answered.data["status"]) == (201, CaseStatus.RESOLVED)
    assert post(cast.caregiver, "api-not-sure", second.pk, comment="dark").status_code == 204
    assert second.reviews.get().comment == "dark"


def test_a_caregiver_says_when_not_to_be_asked(cast: Cast) -> None:
    camera: DeviceToken = make_camera(cast.household, "hall")
    assert post(cast.caregiver, "api-quiet-hours", begin="22:00", end="06:00").status_code == 204
    assert Membership.objects.get(user=cast.caregiver).quiet_from is not None
    assert post(cast.caregiver, "api-snooze", camera=camera.pk, hours=2).status_code == 204
    assert Snooze.objects.get().camera == camera
    assert post(cast.caregiver, "api-snooze", camera=camera.pk, hours=0).status_code == 204
    assert not Snooze.objects.exists()
    other = make_camera(cast.clinic)
    assert post(cast.caregiver, "api-snooze", camera=other.pk, hours=2).status_code == 404
