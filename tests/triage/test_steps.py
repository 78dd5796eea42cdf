"""A publication may not accept too much more at once, nor on too few labels."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.factories import make_case, make_policy, make_user, rewrite
from tests.triage.conftest import Cast
from triage.choices import PolicyStatus, Role
from triage.errors import Refused
from triage.models import Case, Policy
from triage.selectors.policy_state import active_policy
from triage.selectors.steps import step_of
from triage.services import policies, queue, reviews, rollout

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


def fresh(policy: Policy) -> Policy:
    return Policy.objects.get(pk=policy.pk)


@pytest.fixture
def second(cast: Cast) -> User:
    return make_user(cast.clinic, Role.ADMINISTRATOR, "administrator2")


def answer(cast: Cast, case: Case) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label="Cut", version=case.version
    )


def draft(cast: Cast, now: float, then: float, labels: int = 40, **replay: Any) -> Policy:
    """A draft whose replay deferred the share `then` where the version in force deferred `now`."""
    active_policy(cast.clinic, "wound") or make_policy(cast.clinic, threshold=0.2)
    policy = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT)
    stored = {
        "n": 100,
        "labelled": labels,
        "against": 1,
        "current": {"deferral": now},
        "proposed": {"deferral": then},
    } | replay
    rewrite(Policy.objects.filter(pk=policy.pk), replay=stored)
    return fresh(policy)


def test_a_step_within_the_cap_is_published(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0.6, then=0.31)
    assert policies.publish_policy(policy=policy, actor=second).status == PolicyStatus.ACTIVE


def test_a_larger_one_says_what_to_do_instead(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0.9, then=0.4)
    said = "50% more of the cases than now, and at most 30% more.*Let it decide 50% of the cases"
    with pytest.raises(Refused, match=said):
        policies.publish_policy(policy=policy, actor=second)
    assert fresh(policy).status == PolicyStatus.DRAFT


def test_what_it_says_can_be_done_step_by_step(cast: Cast, second: User) -> None:
    policy = draft(cast, now=1.0, then=0.0)
    with pytest.raises(Refused, match="Let it decide 25% of the cases"):
        rollout.start_canary(policy=policy, share=0.5, actor=second)
    rollout.start_canary(policy=policy, share=0.25, actor=second)
    with pytest.raises(Refused, match="Let it decide 50% of the cases"):
        rollout.widen_canary(policy=fresh(policy), actor=second)
    with pytest.raises(Refused, match="decides that share already"):
        rollout.widen_canary(policy=fresh(policy), actor=second, share=0.2)
    rollout.widen_canary(policy=fresh(policy), actor=second, share=0.5)
    assert fresh(policy).canary_share == 0.5
    assert fresh(policy).status == PolicyStatus.CANARY
    with pytest.raises(Refused, match="Propose a threshold between the two"):
        rollout.widen_canary(policy=fresh(policy), actor=second)


def test_the_cap_is_a_setting(cast: Cast, second: User, settings: Any) -> None:
    settings.ALARM_STEP_CAP = 0.5
    policy = draft(cast, now=0.9, then=0.4)
    assert policies.publish_policy(policy=policy, actor=second).status == PolicyStatus.ACTIVE


def test_few_labels_carry_no_step_up(cast: Cast, second: User, settings: Any) -> None:
    policy = draft(cast, now=0.5, then=0.4, labels=4)
    with pytest.raises(Refused, match="only 4 of the past cases have an answer: 5 are needed"):
        policies.publish_policy(policy=policy, actor=second)
    with pytest.raises(Refused, match="5 are needed"):
        rollout.start_canary(policy=policy, share=0.1, actor=second)
    settings.ALARM_PUBLISH_LABELS = 4
    policies.publish_policy(policy=policy, actor=second)


def test_answers_since_it_was_proposed_carry_it(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0.5, then=0.4, labels=4)
    for _ in range(4):
        answer(cast, make_case(cast.clinic, SPLIT))
    with pytest.raises(Refused, match="5 are needed"):
        policies.publish_policy(policy=policy, actor=second)
    answer(cast, make_case(cast.clinic, SPLIT))
    policies.publish_policy(policy=fresh(policy), actor=second)


def test_a_more_careful_one_can_always_be_published(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0.2, then=0.9, labels=0)
    assert policies.publish_policy(policy=policy, actor=second).status == PolicyStatus.ACTIVE


def test_without_past_cases_nothing_carries_it(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0, then=0, n=0, labels=0)
    with pytest.raises(Refused, match="only 0 of the past cases"):
        policies.publish_policy(policy=policy, actor=second)


def test_without_past_cases_a_lower_threshold_is_a_step_down(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0, then=0, n=0, labels=0)
    active = active_policy(cast.clinic, "wound")
    assert active is not None
    rewrite(Policy.objects.filter(pk=policy.pk), threshold=0.1, calibration=active.calibration)
    policies.publish_policy(policy=fresh(policy), actor=second)


def test_cases_that_came_since_it_was_proposed_count(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0, then=0, n=0, labels=0)
    for _ in range(3):
        make_case(cast.clinic, SPLIT)
    step = step_of(policy)
    assert step is not None and (step.growth, step.labels) == (1.0, 0)
    make_case(cast.clinic, ("Burns", "Burns", "Burns"))
    step = step_of(policy)
    assert step is not None and step.growth == 0.75


def test_rolling_back_is_not_held_up(cast: Cast, second: User) -> None:
    policy = draft(cast, now=1.0, then=0.0, labels=0)
    Policy.objects.filter(pk=policy.pk).update(status=PolicyStatus.RETIRED)
    policies.roll_back(policy=fresh(policy), actor=second)
    assert active_policy(cast.clinic, "wound") == policy


def test_it_is_held_to_what_is_in_force_today(cast: Cast, second: User) -> None:
    """The draft was replayed against version 1; version 3, which accepts the same, is in force."""
    policy = draft(cast, now=1.0, then=0.0)
    for _ in range(4):
        make_case(cast.clinic, SPLIT)
    generous = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT)
    policies.publish_policy(policy=generous, actor=second)
    step = step_of(policy)
    assert step is not None and step.growth == 0.0
    policies.defer_everything(site=cast.clinic, domain="wound", actor=second)
    step = step_of(fresh(policy))
    assert step is not None and step.growth == 1.0


def test_the_page_says_it(cast: Cast, second: User) -> None:
    policy = draft(cast, now=0.9, then=0.4)
    client = Client()
    client.force_login(second)
    url = reverse("publish", args=[policy.pk])
    page = client.post(url, {"share": ""}, follow=True).content.decode()
    assert "at most 30% more may be added at once" in page
    said = client.post(reverse("api-publish", args=[policy.pk]), content_type="application/json")
    assert (said.status_code, said.json()["code"]) == (422, "step")
    client.post(url, {"share": "50"})
    client.post(reverse("widen-canary", args=[policy.pk]), {"share": ""})
    assert fresh(policy).status == PolicyStatus.ACTIVE
