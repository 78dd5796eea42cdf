"""The guard rail takes a version out of force that does worse than it should, and never one that
accepts less in favour of one that accepts more."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override
from pytest_django.fixtures import Settings

from inference.uq.watch import bounds_at_all_times
from tests.factories import make_case, make_policy, make_user, rewrite
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, GuardAct, GuardCause, PolicyMode, PolicyStatus, Role
from triage.errors import Conflict
from triage.management.commands.sweep import sweep
from triage.models import AuditEvent, Calibration, Case, Decision, GuardRail, Policy
from triage.selectors import guard as selectors
from triage.selectors.guard import Band, Limit, Watch, limit_of, newest_guard_rail, told, watch
from triage.selectors.policies import policy_page
from triage.selectors.policy_state import active_policy
from triage.services import calibration, guard, policies, queue, reviews, rollout
from triage.tasks import learn_from_answer

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")
PAST = {"acceptable": 40, "accepted": 40}


@pytest.fixture
def second(cast: Cast) -> User:
    return make_user(cast.clinic, Role.ADMINISTRATOR, "administrator2")


def fresh(policy: Policy) -> Policy:
    return Policy.objects.get(pk=policy.pk)


def audited(cast: Cast, count: int, truth: str, labels: tuple[str, ...] = SURE) -> None:
    for _ in range(count):
        case = make_case(cast.clinic, labels)
        lease = queue.claim(case=case, user=cast.clinician)
        case.refresh_from_db()
        reviews.submit_review(
            case=case, token=lease.token, user=cast.clinician, label=truth, version=case.version
        )


def published(
    cast: Cast, second: User, *, before: float, after: float, **fields: Any
) -> tuple[Policy, Policy]:
    """A version that accepts up to `before`, then one up to `after`, whose accepted are audited."""
    first = make_policy(cast.clinic, threshold=before)
    draft = make_policy(cast.clinic, threshold=after, status=PolicyStatus.DRAFT, audit_share=1.0)
    if fields:
        rewrite(Policy.objects.filter(pk=draft.pk), **fields)
    return first, policies.publish_policy(policy=fresh(draft), actor=second)


def watched(cast: Cast) -> list[GuardRail]:
    return guard.watch_published(site=cast.clinic, domain="wound")


class TestErrors:
    def test_too_many_wrong_ones_roll_it_back(self, cast: Cast, second: User) -> None:
        first, new = published(cast, second, before=0.2, after=5.0)
        audited(cast, 7, "Cut", SPLIT)
        [row] = watched(cast)
        assert (row.cause, row.act, row.policy) == (GuardCause.ERROR, GuardAct.ROLLED_BACK, new)
        assert active_policy(cast.clinic, "wound") == first
        assert fresh(new).status == PolicyStatus.DROPPED
        assert fresh(first).published_by is None, "nobody did it"
        assert make_case(cast.clinic, SPLIT).status == CaseStatus.DEFERRED
        assert "7 of 7 audits" in told(row).reason and row.evidence["wrong"] == 7
        verbs = AuditEvent.objects.filter(case=None).values_list("verb", flat=True)
        assert {"guard rail", "policy rolled back by the guard rail"} <= set(verbs)
        assert watched(cast) == []

    def test_right_ones_do_not(self, cast: Cast, second: User) -> None:
        _first, new = published(cast, second, before=0.2, after=5.0)
        audited(cast, 6, "Burns")
        audited(cast, 1, "Cut")
        assert watched(cast) == []
        assert active_policy(cast.clinic, "wound") == new

    def test_an_answer_is_enough_to_look(self, cast: Cast, second: User) -> None:
        first, _new = published(cast, second, before=0.2, after=5.0)
        audited(cast, 7, "Cut", SPLIT)
        learn_from_answer(cast.clinic.pk, "wound")
        assert active_policy(cast.clinic, "wound") == first

    def test_the_sweep_looks_where_cases_were_decided(self, cast: Cast, second: User) -> None:
        first, _new = published(cast, second, before=0.2, after=5.0)
        audited(cast, 7, "Cut", SPLIT)
        rewrite(Decision.objects.all(), decided_at=timezone.now() - 2 * guard.LATELY)
        assert sweep()["guarded"] == 0
        rewrite(Decision.objects.all(), decided_at=timezone.now())
        assert sweep()["guarded"] == 1
        assert active_policy(cast.clinic, "wound") == first

    def test_one_before_that_accepted_more_is_not_gone_back_to(
        self, cast: Cast, second: User
    ) -> None:
        first, new = published(cast, second, before=5.0, after=0.2)
        audited(cast, 7, "Cut")
        make_case(cast.clinic, SPLIT)
        [row] = watched(cast)
        assert row.act == GuardAct.DEFERRED_ALL
        now = active_policy(cast.clinic, "wound")
        assert now is not None and now.mode == PolicyMode.DEFER_ALL and now.published_by is None
        assert fresh(new).status == PolicyStatus.DROPPED
        assert fresh(first).status == PolicyStatus.RETIRED, "a person may go back to it"
        assert make_case(cast.clinic, SURE).status == CaseStatus.DEFERRED

    def test_one_before_that_was_dropped_is_not_gone_back_to(
        self, cast: Cast, second: User
    ) -> None:
        first, _new = published(cast, second, before=0.2, after=5.0)
        Policy.objects.filter(pk=first.pk).update(status=PolicyStatus.DROPPED)
        audited(cast, 7, "Cut", SPLIT)
        assert [row.act for row in watched(cast)] == [GuardAct.DEFERRED_ALL]

    def test_one_before_that_deferred_everything_is(self, cast: Cast, second: User) -> None:
        make_policy(cast.clinic)
        halt = policies.defer_everything(site=cast.clinic, domain="wound", actor=cast.administrator)
        draft = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT, audit_share=1.0)
        policies.publish_policy(policy=draft, actor=second)
        audited(cast, 7, "Cut")
        assert [row.act for row in watched(cast)] == [GuardAct.ROLLED_BACK]
        assert active_policy(cast.clinic, "wound") == halt

    def test_what_the_guard_took_out_is_not_rolled_back_to(self, cast: Cast, second: User) -> None:
        _first, new = published(cast, second, before=0.2, after=5.0)
        audited(cast, 7, "Cut", SPLIT)
        watched(cast)
        with pytest.raises(Conflict):
            policies.roll_back(policy=fresh(new), actor=second)

    def test_a_canary_is_ended(self, cast: Cast, second: User) -> None:
        first = make_policy(cast.clinic, threshold=0.2)
        draft = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT, audit_share=1.0)
        rollout.start_canary(policy=draft, share=0.9999, actor=second)
        audited(cast, 7, "Cut", SPLIT)
        [row] = watched(cast)
        assert row.act == GuardAct.ROLLED_BACK
        assert fresh(draft).status == PolicyStatus.DROPPED
        assert active_policy(cast.clinic, "wound") == first

    def test_the_first_version_is_not_watched(self, cast: Cast) -> None:
        make_policy(cast.clinic, threshold=5.0, audit_share=1.0)
        audited(cast, 7, "Cut")
        assert watched(cast) == []


def test_from_answers_to_a_draft_to_a_canary_to_the_guard(
    cast: Cast, second: User, settings: Settings
) -> None:
    """Nothing is set by hand: labels make a replay, a canary decides, its audits end it."""
    settings.ALARM_AUDIT_SHARE = 1.0
    first = make_policy(cast.clinic, threshold=0.2)
    for _ in range(24):
        make_case(cast.clinic, SURE)
    audited(cast, 24, "Burns", SPLIT)  # deferred, and right: it seems that they could be accepted
    draft = calibration.propose_at(
        site=cast.clinic,
        domain="wound",
        method="vote_entropy",
        threshold=5.0,
        calibration=Calibration.objects.get().pk,
        actor=cast.administrator,
    )
    assert (draft.replay["acceptable"], draft.replay["accepted"]) == (48, 48)
    rollout.start_canary(policy=fresh(draft), share=0.5, actor=second)
    assert watched(cast) == []
    with patch("triage.services.decisions._drawn", lambda share: share > 0):
        audited(cast, 12, "Cut", SPLIT)
    assert Decision.objects.filter(policy=draft, audited=True).count() == 12
    found = watch(fresh(draft))
    assert found.band is not None and found.band.low <= (found.deferral or 0) <= found.band.high
    [row] = watched(cast)
    assert (row.cause, row.act, row.policy) == (GuardCause.ERROR, GuardAct.ROLLED_BACK, draft)
    assert "12 of 12 audits" in told(row).reason
    assert fresh(draft).status == PolicyStatus.DROPPED
    assert active_policy(cast.clinic, "wound") == first
    assert make_case(cast.clinic, SPLIT).status == CaseStatus.DEFERRED


class TestLimit:
    def test_a_promise_comes_first(self, cast: Cast) -> None:
        policy = make_policy(cast.clinic, mode=PolicyMode.GUARANTEED)
        policy.choice = {"value": 0.1}
        policy.replay = {"current": {"labelled": 50, "low": 0.6}}
        assert limit_of(policy) == Limit(0.1, "promised")
        assert limit_of(policy).sentence == "At most 10.0% was promised."

    def test_then_what_was_known_before(self, cast: Cast) -> None:
        policy = make_policy(cast.clinic)
        policy.replay = {"current": {"labelled": 50, "low": 0.6}}
        assert limit_of(policy).risk == pytest.approx(0.4)
        policy.replay = {"current": {"labelled": 19, "low": 0.6}}
        assert limit_of(policy).risk == 0.25

    def test_audits_of_the_version_before_outweigh_the_replay(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(selectors, "FEWEST", 3)
        before = make_policy(cast.clinic, threshold=5.0, audit_share=1.0)
        audited(cast, 3, "Burns")
        policy = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        policy.before = before
        policy.replay = {"current": {"labelled": 50, "low": 0.9}}
        assert 0.5 < limit_of(policy).risk < 1

    def test_what_is_learned_of_the_version_before_afterwards_does_not_move_it(
        self, cast: Cast, second: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(selectors, "FEWEST", 3)
        make_policy(cast.clinic, threshold=5.0, audit_share=1.0)
        audited(cast, 3, "Burns")
        late = [make_case(cast.clinic, SURE) for _ in range(4)]
        draft = make_policy(cast.clinic, threshold=0.2, status=PolicyStatus.DRAFT)
        new = policies.publish_policy(policy=draft, actor=second)
        at_first = limit_of(fresh(new))
        for case in late:
            lease = queue.claim(case=case, user=cast.clinician)
            case.refresh_from_db()
            reviews.submit_review(
                case=case, token=lease.token, user=cast.clinician, label="Cut", version=case.version
            )
        assert selectors.limit_at_publication(fresh(new)).risk > at_first.risk + 0.1
        assert limit_of(fresh(new)) == at_first
        assert watch(fresh(new)).limit == at_first

    def test_a_canary_keeps_the_limit_of_its_beginning(self, cast: Cast, second: User) -> None:
        make_policy(cast.clinic, threshold=0.2)
        draft = make_policy(cast.clinic, threshold=0.3, status=PolicyStatus.DRAFT)
        rewrite(
            Policy.objects.filter(pk=draft.pk), replay={"current": {"labelled": 50, "low": 0.6}}
        )
        rollout.start_canary(policy=fresh(draft), share=0.5, actor=second)
        began = fresh(draft).guard_limit
        assert began == {"risk": pytest.approx(0.4), "source": "known"}
        rewrite(Policy.objects.filter(pk=draft.pk), replay={})
        rollout.widen_canary(policy=fresh(draft), actor=second)
        assert fresh(draft).guard_limit == began and limit_of(fresh(draft)).risk == began["risk"]

    def test_the_installations_limit_is_that_of_today(
        self, cast: Cast, second: User, settings: Settings
    ) -> None:
        _first, new = published(cast, second, before=0.2, after=0.3)
        settings.ALARM_GUARD_RISK = 0.15
        assert limit_of(fresh(new)).risk == 0.15


class TestDeferral:
    def test_one_that_accepts_far_more_than_its_replay_said(self, cast: Cast, second: User) -> None:
        replay = {"acceptable": 40, "accepted": 0}
        first, _new = published(cast, second, before=0.2, after=5.0, replay=replay)
        for _ in range(12):
            make_case(cast.clinic, SPLIT)
        [row] = watched(cast)
        assert (row.cause, row.act) == (GuardCause.ACCEPTS_MORE, GuardAct.ROLLED_BACK)
        assert active_policy(cast.clinic, "wound") == first

    def test_one_that_defers_far_more_is_told_of_once(self, cast: Cast, second: User) -> None:
        _first, new = published(cast, second, before=0.2, after=0.1, replay=PAST)
        for _ in range(14):
            make_case(cast.clinic, SPLIT)
        [row] = watched(cast)
        assert (row.cause, row.act) == (GuardCause.DEFERS_MORE, GuardAct.TOLD)
        assert active_policy(cast.clinic, "wound") == new, "going back would accept more"
        assert watched(cast) == []

    def test_what_any_version_would_defer_says_nothing_of_this_one(
        self, cast: Cast, second: User
    ) -> None:
        _first, new = published(cast, second, before=0.2, after=5.0, replay=PAST)
        for _ in range(14):
            make_case(cast.clinic, ("Burns", "Burns", None))
        assert watch(new).cases == 0 and watched(cast) == []

    def test_a_broken_one_is_told_of(
        self, cast: Cast, second: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published(cast, second, before=0.2, after=5.0, replay=PAST)

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("triage.services.decisions.judge", broken)
        for _ in range(14):
            make_case(cast.clinic, SURE)
        assert [row.cause for row in watched(cast)] == [GuardCause.DEFERS_MORE]

    def test_a_replay_of_few_cases_expects_nothing(self, cast: Cast, second: User) -> None:
        small = {"acceptable": 19, "accepted": 0}
        _first, new = published(cast, second, before=0.2, after=5.0, replay=small)
        for _ in range(12):
            make_case(cast.clinic, SURE)
        assert watch(new).band is None and watched(cast) == []


def watch_of(wrong: int, audited: int, limit: float, deferred: int, cases: int) -> Watch:
    low, high = bounds_at_all_times(wrong, audited, selectors.ERROR_DELTA)
    least, most = bounds_at_all_times(deferred, cases, selectors.DEFERRAL_DELTA)
    found = Watch(
        Limit(limit, "promised"),
        audited,
        wrong,
        low,
        high,
        cases,
        deferred,
        least,
        most,
        Band(0, 1, 0.5),
    )
    return replace(found, band=Band(0.2, 0.6, 0.4))


def test_when_nothing_is_wrong_it_hardly_ever_acts() -> None:
    """60 versions, each looked at 20 times as they decide 2,000 cases and 100 audits."""
    rng, acted = np.random.default_rng(3), 0
    for _ in range(60):
        wrong = (rng.random(100) < 0.1).cumsum()
        deferred = (rng.random(2000) < 0.4).cumsum()
        acted += any(
            watch_of(int(wrong[n // 20 - 1]), n // 20, 0.1, int(deferred[n - 1]), n).causes
            for n in range(100, 2001, 100)
        )
    assert acted <= 3


def test_when_the_risk_doubles_it_acts() -> None:
    rng, acted = np.random.default_rng(4), 0
    for _ in range(30):
        wrong = (rng.random(400) < 0.2).cumsum()
        acted += any(
            watch_of(int(wrong[n - 1]), n, 0.1, 4 * n, 10 * n).causes == [GuardCause.ERROR]
            for n in range(20, 401, 20)
        )
    assert acted >= 27


class TestPages:
    def test_administrators_see_it_until_a_person_publishes(self, cast: Cast, second: User) -> None:
        _first, new = published(cast, second, before=0.2, after=5.0)
        client = Client()
        client.force_login(cast.administrator)
        assert "Guard rail" in client.get(reverse("policy", args=[new.pk])).content.decode()
        audited(cast, 7, "Cut", SPLIT)
        watched(cast)
        said = client.get(reverse("policies")).content.decode()
        assert "The guard rail on policy 2: rolled back to the version before." in said
        detail = client.get(reverse("api-policy", args=[new.pk])).json()
        assert detail["guard_rails"][0]["cause"] == "error"
        assert "7 of 7 audits" in detail["history"][-1]["why"]
        draft = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        policies.publish_policy(policy=draft, actor=second)
        assert newest_guard_rail(cast.clinic) is None
        detail = client.get(reverse("api-policy", args=[draft.pk])).json()
        assert detail["watch"]["band"] is None and detail["watch"]["audited"] == 0

    def test_it_is_told_in_the_readers_language(self, cast: Cast, second: User) -> None:
        _first, new = published(cast, second, before=0.2, after=5.0)
        audited(cast, 7, "Cut", SPLIT)
        with override("de"):
            [row] = watched(cast)
        assert row.reason == ""
        english = policy_page(policy=fresh(new), user=cast.administrator)
        assert "7 of 7 audits" in english.guard_rails[0].reason
        with override("de"):
            german = policy_page(policy=fresh(new), user=cast.administrator)
            assert "7 von 7" in german.guard_rails[0].reason
            assert "7 von 7" in german.history[-1].why

    def test_what_was_kept_in_words_is_still_read(self, cast: Cast) -> None:
        policy = make_policy(cast.clinic)
        GuardRail.objects.create(
            policy=policy, cause="error", act="told", reason="It was bad.", evidence={"limit": 0.1}
        )
        page = policy_page(policy=policy, user=cast.administrator)
        assert [row.reason for row in page.guard_rails] == ["It was bad."]

    def test_another_site_is_not_told(self, cast: Cast, second: User) -> None:
        published(cast, second, before=0.2, after=5.0)
        audited(cast, 7, "Cut", SPLIT)
        watched(cast)
        assert newest_guard_rail(cast.elsewhere) is None
        assert Case.objects.filter(site=cast.elsewhere).count() == 0
