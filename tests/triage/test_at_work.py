"""Every sentence about what answers have moved follows from rows, and counts what they count."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.factories import SIGNATURE, make_camera, make_case, make_policy, make_user, rewrite
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, PolicyStatus, Role
from triage.models import Calibration, Case, Learning, Policy, Review, Site
from triage.selectors import at_work
from triage.selectors import learning as sources
from triage.selectors.at_work import Effect, at_work_page, labels_given
from triage.selectors.household import changes_by
from triage.services import calibration, learning, policies, queue, reviews

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")


@pytest.fixture(autouse=True)
def this_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (calibration, sources):
        monkeypatch.setattr(module, "current_signature", lambda _domain: SIGNATURE)


def answer(case: Case, user: User, label: str = "Burns") -> Case:
    lease = queue.claim(case=case, user=user)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=user, label=label, version=case.version
    )
    case.refresh_from_db()
    return case


def deferred(site: Site, user: User, count: int, **options: object) -> list[Case]:
    return [answer(make_case(site, SPLIT, **options), user) for _ in range(count)]  # type: ignore[arg-type]


def kinds(site: Site, user: User, kind: str, *, everyone: bool = False) -> list[Effect]:
    page = at_work_page(site=site, user=user, everyone=everyone)
    return [one for one in page.effects if one.kind == kind]


@pytest.fixture
def refitted(cast: Cast) -> Policy:
    """A clinic whose shipped calibration was refitted on 9 labels, 6 of them the clinician's."""
    make_policy(cast.clinic)
    camera = make_camera(cast.clinic, "door")
    deferred(cast.clinic, cast.clinician, 4, camera=camera)
    deferred(cast.clinic, cast.clinician, 2)
    deferred(cast.clinic, cast.colleague, 3)
    return calibration.refit(site=cast.clinic, domain="wound")


def test_before_anything_moved_nothing_is_said(cast: Cast) -> None:
    make_policy(cast.clinic)
    deferred(cast.clinic, cast.clinician, 2)
    page = at_work_page(site=cast.clinic, user=cast.clinician)
    assert (page.labels, page.labels_in_all, page.effects) == (2, 2, [])
    assert at_work_page(site=cast.clinic, user=cast.colleague).labels == 0


def test_a_refit_says_how_many_answers_it_learned_from(cast: Cast, refitted: Policy) -> None:
    [mine] = kinds(cast.clinic, cast.clinician, "refit")
    assert mine.sentence.startswith(
        "A refit learned from 6 answers of yours, of 9 labels in all. It proposed policy 2"
    )
    assert "of past cases deferred, where it is " in mine.sentence
    assert (mine.detail, mine.policy) == ("door 4, sent by people 2", refitted.pk)
    [all_of_it] = kinds(cast.clinic, cast.administrator, "refit", everyone=True)
    stored = Calibration.objects.get(policy=refitted).window["labels"]
    assert all_of_it.sentence.startswith(f"A refit learned from {stored} answers, of {stored}")
    assert all_of_it.detail.endswith("clinician 6, colleague 3")
    assert at_work_page(site=cast.clinic, user=cast.administrator).effects == []


def test_the_next_refit_says_what_was_new(cast: Cast, refitted: Policy) -> None:
    deferred(cast.clinic, cast.clinician, 3)
    deferred(cast.clinic, cast.colleague, 1)
    calibration.refit(site=cast.clinic, domain="wound")
    newest, first = kinds(cast.clinic, cast.clinician, "refit")
    assert "9 answers of yours, of 13 labels in all. 3 were new since" in newest.sentence
    assert "6 answers of yours, of 9" in first.sentence, "later answers went into no earlier refit"


def test_an_answer_changed_since_is_left_out(cast: Cast, refitted: Policy) -> None:
    case = Case.objects.filter(reviews__reviewer=cast.clinician).order_by("-resolved_at")[0]
    reviews.undo_review(case=case, user=cast.clinician)
    case.refresh_from_db()
    [lease] = case.leases.filter(ended_at=None)
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label="Cut", version=case.version
    )
    [mine] = kinds(cast.clinic, cast.clinician, "refit")
    assert "from 5 answers of yours, of 9 labels" in mine.sentence


def test_what_another_ensemble_was_asked_moved_nothing_here(cast: Cast, refitted: Policy) -> None:
    rewrite(Calibration.objects.filter(policy=refitted), ensemble="1" * 64)
    assert at_work_page(site=cast.clinic, user=cast.clinician).effects == []


def test_a_policy_says_how_the_threshold_moved_each_time(cast: Cast, refitted: Policy) -> None:
    rewrite(Policy.objects.filter(pk=refitted.pk), method="vote_entropy", threshold=0.35)
    first = Policy.objects.get(version=1)
    Policy.objects.filter(pk=first.pk).update(status=PolicyStatus.DRAFT)
    policies.start_with(Policy.objects.get(pk=first.pk))
    policies.publish_policy(policy=Policy.objects.get(pk=refitted.pk), actor=cast.administrator)
    policies.roll_back(policy=Policy.objects.get(pk=first.pk), actor=cast.administrator)
    policies.roll_back(policy=Policy.objects.get(pk=refitted.pk), actor=cast.administrator)
    found = kinds(cast.clinic, cast.clinician, "policy")
    moved = (
        "administrator put policy 2 in force: 6 answers of yours had gone into it. "
        "It accepts up to the score 0.350; policy 1 accepted up to 0.200."
    )
    assert [one.sentence for one in found] == [moved, moved]
    assert {one.policy for one in found} == {refitted.pk}


def test_scores_of_two_kinds_are_not_compared(cast: Cast, refitted: Policy) -> None:
    rewrite(Policy.objects.filter(pk=refitted.pk), method="cold_start", threshold=0.4)
    policies.publish_policy(policy=Policy.objects.get(pk=refitted.pk), actor=cast.administrator)
    [effect] = kinds(cast.clinic, cast.clinician, "policy")
    assert effect.sentence.endswith("It accepts up to the score 0.400.")


def test_a_camera_says_by_whose_answers_it_is_trusted(cast: Cast) -> None:
    make_policy(cast.clinic)
    door = make_camera(cast.clinic, "door", learning=True)
    hall = make_camera(cast.clinic, "hall", learning=True)
    for person, count in ((cast.clinician, 18), (cast.colleague, 12)):
        for _ in range(count):
            answer(make_case(cast.clinic, SURE, camera=door), person)
    deferred(cast.clinic, cast.clinician, 3, camera=hall)
    assert learning.end_where_earned(site=cast.clinic, domain="wound") == 1
    learning.end_by_hand(
        source=sources.Source(cast.clinic, "wound", hall), actor=cast.administrator
    )
    [effect] = kinds(cast.clinic, cast.clinician, "camera")
    assert effect.sentence.startswith("Learning ended for door: 18 answers of yours, of 30 checked")
    [all_of_it] = kinds(cast.clinic, cast.clinician, "camera", everyone=True)
    assert "30 answers, of 30 checked" in all_of_it.sentence
    assert all_of_it.detail == "clinician 18, colleague 12"
    assert effect.when == Learning.objects.get(camera=door).ended_at


def test_an_audit_that_found_an_error_is_named(cast: Cast) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    right, wrong, unsure = (make_case(cast.clinic, one) for one in (SURE, SURE, SPLIT))
    answer(right, cast.clinician)
    answer(wrong, cast.clinician, "Cut")
    answer(unsure, cast.clinician, "Cut")
    page = at_work_page(site=cast.clinic, user=cast.clinician)
    assert (page.audits, page.errors, page.audits_in_all) == (2, 1, 2)
    [effect] = [one for one in page.effects if one.kind == "audit"]
    assert effect.case == wrong.pk
    assert effect.sentence == "Your audit found an error: Cut, where Burn had been accepted."
    assert at_work_page(site=cast.clinic, user=cast.colleague).audits == 0


def test_who_is_outvoted_has_not_given_the_label(cast: Cast) -> None:
    Site.objects.filter(pk=cast.clinic.pk).update(double_share=1.0)
    site = Site.objects.get(pk=cast.clinic.pk)
    third = make_user(site, Role.CLINICIAN, "third")
    make_policy(site)
    case = make_case(site, SPLIT)
    for person, label in ((cast.clinician, "Burns"), (cast.colleague, "Cut"), (third, "Cut")):
        answer(case, person, label)
    assert case.status == CaseStatus.RESOLVED
    [given] = labels_given(site)
    assert given.people == {cast.colleague.pk, third.pk}
    mine = at_work_page(site=site, user=cast.clinician)
    assert (mine.labels, mine.readings, mine.agreed) == (0, 1, 0)
    assert at_work_page(site=site, user=third).readings == 0, "the third was no reader"
    both = make_case(site, SPLIT)
    for person in (cast.clinician, cast.colleague):
        answer(both, person)
    mine = at_work_page(site=site, user=cast.clinician)
    assert (mine.labels, mine.readings, mine.agreed) == (1, 2, 1)


def test_the_page_follows_each_to_where_it_may_be_followed(cast: Cast, refitted: Policy) -> None:
    client = Client()
    client.force_login(cast.clinician)
    assert reverse("at-work") in client.get(reverse("queue")).content.decode()
    shown = client.get(reverse("at-work")).content.decode()
    assert "6 answers of yours" in shown
    assert f'href="{reverse("policy", args=[refitted.pk])}"' in shown
    everyone = client.get(reverse("at-work"), {"whose": "everyone"}).content.decode()
    assert "clinician 6, colleague 3" in everyone
    client.force_login(cast.administrator)
    shown = client.get(reverse("at-work")).content.decode()
    assert "clinician 6, colleague 3" in shown, "who answers nothing is told of all"
    assert "/cases/" not in shown, "an administrator may not open a case"


def test_the_api_tells_the_same(cast: Cast, refitted: Policy) -> None:
    client = Client()
    client.force_login(cast.clinician)
    mine = client.get("/api/v1/answers/at-work").json()
    assert (mine["labels"], mine["effects"][0]["policy"]) == (6, refitted.pk)
    everyone = client.get("/api/v1/answers/at-work?whose=everyone").json()
    assert everyone["labels"] == 9
    assert client.get("/api/v1/answers/at-work?whose=theirs").status_code == 400
    client.force_login(cast.outsider)
    assert client.get("/api/v1/answers/at-work?whose=everyone").json()["labels"] == 0


def test_more_labels_cost_no_more_queries(
    cast: Cast, refitted: Policy, django_assert_num_queries: Callable[[int], object]
) -> None:
    with CaptureQueriesContext(connection) as few:
        at_work_page(site=cast.clinic, user=cast.clinician, everyone=True)
    deferred(cast.clinic, cast.clinician, 5)
    calibration.refit(site=cast.clinic, domain="wound")
    with django_assert_num_queries(len(few)):  # type: ignore[attr-defined]
        page = at_work_page(site=cast.clinic, user=cast.clinician, everyone=True)
    assert page.labels == 14


def test_at_home_a_camera_is_trusted_by_answers_about_it(cast: Cast) -> None:
    home, person = cast.household, cast.caregiver
    hall, door = (make_camera(home, name, learning=True) for name in ("hall", "door"))
    for camera, count in ((hall, 3), (door, 1)):
        for _ in range(count):
            case = make_case(home, ("pet", "pet", "person"), camera=camera)
            reviews.answer_at_home(case=case, user=person, label="pet")
    Learning.objects.filter(camera=hall).update(ended_at=timezone.now())
    assert [one.sentence for one in changes_by(home, person)] == [
        "3 answers of yours showed that hall may now judge sure pictures by itself."
    ]
    assert Review.objects.count() == 4
    assert timezone.now() - Learning.objects.get(camera=hall).ended_at < timedelta(minutes=1)  # type: ignore[operator]


def test_verbs_that_put_a_policy_in_force_are_those_of_the_services() -> None:
    services = Path(policies.__file__).parent
    source = "".join(
        (services / f"{name}.py").read_text() for name in ("policies", "rollout", "guard")
    )
    assert [verb for verb in at_work.PUT_IN_FORCE if f'"{verb}"' not in source] == []
