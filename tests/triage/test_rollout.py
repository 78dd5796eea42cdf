"""A draft in shadow is only heard; a canary decides a share; both end without a trace."""

from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from tests.factories import make_case, make_policy, make_user, rewrite
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Outcome, PolicyMode, PolicyStatus, Role
from triage.errors import Conflict, Forbidden, Refused
from triage.models import AuditEvent, Case, Decision, Policy, ShadowDecision
from triage.selectors.live import live_numbers
from triage.selectors.policy_history import policy_history
from triage.selectors.policy_state import active_policy
from triage.selectors.rollout import canary_view, shadow_view
from triage.selectors.weeks import decisions_of
from triage.services import policies, queue, reviews, rollout

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")
WEIGHT_OF_AN_AUDIT = 4.0


def answer(cast: Cast, case: Case, label: str) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label=label, version=case.version
    )


def fresh(policy: Policy) -> Policy:
    return Policy.objects.get(pk=policy.pk)


@pytest.fixture
def second(cast: Cast) -> User:
    return make_user(cast.clinic, Role.ADMINISTRATOR, "administrator2")


@pytest.fixture
def draft(cast: Cast) -> Policy:
    """A careful version is in force; the draft, by the administrator, would accept splits too."""
    make_policy(cast.clinic, threshold=0.2)
    draft = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT)
    rewrite(Policy.objects.filter(pk=draft.pk), proposed_by=cast.administrator)
    return fresh(draft)


@pytest.fixture
def drawn() -> Iterator[list[bool]]:
    """What the next draws of a canary say; all other draws say no."""
    wanted: list[bool] = []

    def draw(share: float) -> bool:
        return wanted.pop(0) if wanted else False

    with patch("triage.services.decisions._drawn", draw):
        yield wanted


def canary_of(draft: Policy, second: User, share: float = 0.25) -> Policy:
    return rollout.start_canary(policy=draft, share=share, actor=second)


class TestShadow:
    def test_it_is_heard_and_decides_nothing(self, cast: Cast, draft: Policy) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        case = make_case(cast.clinic, SPLIT)
        assert case.status == CaseStatus.DEFERRED
        decision = Decision.objects.get(case=case)
        assert decision.policy != draft and decision.drawn_share is None
        said = ShadowDecision.objects.get(decision=decision)
        assert (said.policy, said.outcome, said.label) == (draft, Outcome.ACCEPT, "Burns")
        assert said.score is not None and 0.2 < said.score <= 5.0

    def test_without_one_nothing_is_kept(self, cast: Cast, draft: Policy) -> None:
        make_case(cast.clinic, SPLIT)
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        rollout.end_shadow(policy=fresh(draft), actor=cast.administrator)
        make_case(cast.clinic, SPLIT)
        assert not ShadowDecision.objects.exists()
        assert fresh(draft).status == PolicyStatus.DRAFT

    def test_the_page_counts_what_would_be_different(self, cast: Cast, draft: Policy) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        wrong = make_case(cast.clinic, SPLIT)
        right = make_case(cast.clinic, SPLIT)
        waiting = make_case(cast.clinic, SPLIT)
        make_case(cast.clinic, SURE)
        answer(cast, wrong, "Cut")
        answer(cast, right, "Burns")
        view = shadow_view(fresh(draft))
        assert view is not None
        assert (view.cases, view.different, view.deferral, view.in_force) == (4, 3, 0.0, 0.75)
        assert (view.error.audited, view.error.estimate) == (2, 0.5)
        rows = {flip.case: flip for flip in view.flips}
        assert {one.to for one in rows.values()} == {"accept"}
        assert rows[str(wrong.pk)].truth == "Cut" and rows[str(wrong.pk)].label == "Burn"
        assert rows[str(waiting.pk)].label == rows[str(waiting.pk)].truth == ""

    def test_a_new_time_in_shadow_counts_anew(self, cast: Cast, draft: Policy) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        make_case(cast.clinic, SPLIT)
        rollout.end_shadow(policy=fresh(draft), actor=cast.administrator)
        rollout.put_in_shadow(policy=fresh(draft), actor=cast.administrator)
        view = shadow_view(fresh(draft))
        assert view is not None and view.cases == 0 and view.deferral is None
        assert ShadowDecision.objects.count() == 1

    def test_one_a_site_and_domain(self, cast: Cast, draft: Policy) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        other = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        with pytest.raises(Conflict, match="Version 2 is in shadow"):
            rollout.put_in_shadow(policy=other, actor=cast.administrator)
        with pytest.raises(IntegrityError), transaction.atomic():
            Policy.objects.filter(pk=other.pk).update(status=PolicyStatus.SHADOW)

    def test_one_that_breaks_harms_no_decision(self, cast: Cast, draft: Policy) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        with patch("triage.services.decisions.ShadowDecision.objects.create", side_effect=OSError):
            case = make_case(cast.clinic, SURE)
        assert case.status == CaseStatus.ACCEPTED

    def test_one_that_cannot_judge_would_defer(self, cast: Cast, draft: Policy) -> None:
        from triage.services.verdicts import judge

        rollout.put_in_shadow(policy=draft, actor=cast.administrator)

        def broken(run: object, policy: Policy, around: object) -> object:
            if policy.pk == draft.pk:
                raise ZeroDivisionError
            return judge(run, policy, around)  # type: ignore[arg-type]

        with patch("triage.services.decisions.judge", broken):
            case = make_case(cast.clinic, SURE)
        assert case.status == CaseStatus.ACCEPTED
        said = ShadowDecision.objects.get()
        assert (said.outcome, said.reasons) == (Outcome.DEFER, ["decision_failed"])

    def test_it_can_be_published_from_there(self, cast: Cast, draft: Policy, second: User) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        policies.publish_policy(policy=fresh(draft), actor=second)
        assert active_policy(cast.clinic, "wound") == draft
        make_case(cast.clinic, SPLIT)
        assert not ShadowDecision.objects.exists()

    def test_only_a_draft_goes_there(self, cast: Cast) -> None:
        policy = make_policy(cast.clinic)
        with pytest.raises(Conflict):
            rollout.put_in_shadow(policy=policy, actor=cast.administrator)
        with pytest.raises(Conflict):
            rollout.end_shadow(policy=policy, actor=cast.administrator)

    def test_what_it_said_is_never_rewritten(self, cast: Cast, draft: Policy) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        make_case(cast.clinic, SPLIT)
        said = ShadowDecision.objects.get()
        said.outcome = Outcome.DEFER
        with pytest.raises(TypeError):
            said.save()


class TestCanary:
    def test_each_case_is_drawn_for_one_of_the_two(
        self, cast: Cast, draft: Policy, second: User, drawn: list[bool]
    ) -> None:
        canary_of(draft, second)
        drawn += [True]
        by_canary = Decision.objects.get(case=make_case(cast.clinic, SPLIT))
        drawn += [False]
        by_rest = Decision.objects.get(case=make_case(cast.clinic, SPLIT))
        assert (by_canary.policy, by_canary.outcome) == (draft, Outcome.ACCEPT)
        assert by_canary.drawn_share == 0.25
        assert (by_rest.outcome, by_rest.drawn_share) == (Outcome.DEFER, 0.75)
        assert by_rest.policy == active_policy(cast.clinic, "wound") != draft

    def test_about_the_share_is_drawn(self, cast: Cast, draft: Policy, second: User) -> None:
        canary_of(draft, second, share=0.5)
        for _ in range(60):
            make_case(cast.clinic, SURE)
        share = Decision.objects.filter(policy=draft).count() / 60
        assert 0.2 < share < 0.8  # P < 1e-5 by chance

    def test_an_audit_keeps_the_probability_of_the_version_that_decided(
        self, cast: Cast, second: User, drawn: list[bool]
    ) -> None:
        make_policy(cast.clinic, threshold=5.0, audit_share=1.0)
        draft = make_policy(
            cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT, audit_share=1 / 4
        )
        canary_of(draft, second)
        for by_canary, truth in ((False, "Burns"), (True, "Cut")):
            drawn += [by_canary, True]  # the arm, then the audit
            answer(cast, make_case(cast.clinic, SURE), truth)
        found = live_numbers(decisions_of(cast.clinic)).error
        shares = set(Decision.objects.values_list("policy__version", "label_probability"))
        assert shares == {(1, 1.0), (2, 0.25)}
        assert found.estimate == pytest.approx(WEIGHT_OF_AN_AUDIT / (WEIGHT_OF_AN_AUDIT + 1))
        view = canary_view(fresh(draft))
        assert view is not None
        assert view.canary.live.error.estimate == 1.0 and view.rest.live.error.estimate == 0.0

    def test_a_broken_one_defers(
        self, cast: Cast, draft: Policy, second: User, drawn: list[bool]
    ) -> None:
        from triage.services.verdicts import judge

        canary_of(draft, second)

        def broken(run: object, policy: Policy, around: object) -> object:
            if policy.pk == draft.pk:
                raise ZeroDivisionError
            return judge(run, policy, around)  # type: ignore[arg-type]

        with patch("triage.services.decisions.judge", broken):
            drawn += [True]
            assert make_case(cast.clinic, SURE).status == CaseStatus.DEFERRED
            drawn += [False]
            assert make_case(cast.clinic, SURE).status == CaseStatus.ACCEPTED

    def test_both_arms_stand_side_by_side(
        self, cast: Cast, draft: Policy, second: User, drawn: list[bool]
    ) -> None:
        make_case(cast.clinic, SURE)  # before the canary: in neither arm
        canary_of(draft, second)
        for by_canary in (True, True, False, False):
            drawn += [by_canary]
            case = make_case(cast.clinic, SPLIT)
        answer(cast, case, "Cut")
        view = canary_view(fresh(draft))
        assert view is not None
        assert (view.canary.live.cases, view.rest.live.cases) == (2, 2)
        assert (view.canary.live.deferral, view.rest.live.deferral) == (0.0, 1.0)
        assert (view.rest.live.checked, view.rest.live.override_rate) == (1, 1.0)
        assert view.canary.live.override_rate is None

    def test_the_arms_are_those_of_the_present_step(
        self, cast: Cast, draft: Policy, second: User, drawn: list[bool], settings: Settings
    ) -> None:
        """The days at 10 % weigh otherwise on the two sides than those at 50 %."""
        settings.ALARM_STEP_CAP, settings.ALARM_PUBLISH_LABELS = 1.0, 0
        canary_of(draft, second, share=0.1)
        for by_canary in (True, False, False, False):
            drawn += [by_canary]
            make_case(cast.clinic, SPLIT)
        rollout.widen_canary(policy=fresh(draft), actor=second, share=0.5)
        widened = timezone.now()
        for by_canary in (True, False, True):
            drawn += [by_canary]
            make_case(cast.clinic, SURE)
        view = canary_view(fresh(draft))
        assert view is not None and view.since >= widened
        assert (view.canary.live.cases, view.rest.live.cases) == (2, 1)
        assert (view.canary.share, view.rest.live.deferral) == (0.5, 0.0)
        rollout.widen_canary(policy=fresh(draft), actor=second)
        make_case(cast.clinic, SPLIT)
        over = canary_view(fresh(draft))
        assert over is not None and not over.running
        assert (over.canary.live.cases, over.rest.live.cases) == (2, 1)

    def test_who_began_a_canary_is_kept_when_another_widens_it(
        self, cast: Cast, draft: Policy, second: User
    ) -> None:
        third = make_user(cast.clinic, Role.ADMINISTRATOR, "administrator3")
        canary_of(draft, second, share=0.1)
        began = fresh(draft).published_at
        rollout.widen_canary(policy=fresh(draft), actor=third)
        policy = fresh(draft)
        assert (policy.canary_by, policy.canary_at) == (second, began)
        assert policy.published_by == third and policy.published_at != began
        assert policy.canary_at is not None

    def test_widening_is_one_act(self, cast: Cast, draft: Policy, second: User) -> None:
        first = active_policy(cast.clinic, "wound")
        canary_of(draft, second)
        rollout.widen_canary(policy=fresh(draft), actor=second)
        assert active_policy(cast.clinic, "wound") == draft
        assert fresh(draft).before == first
        assert first is not None and fresh(first).status == PolicyStatus.RETIRED
        decision = Decision.objects.get(case=make_case(cast.clinic, SPLIT))
        assert (decision.policy, decision.drawn_share) == (draft, None)

    def test_ending_is_one_act_and_changes_nothing_else(
        self, cast: Cast, draft: Policy, second: User
    ) -> None:
        first = active_policy(cast.clinic, "wound")
        canary_of(draft, second)
        rollout.end_canary(policy=fresh(draft), actor=cast.administrator)
        assert active_policy(cast.clinic, "wound") == first
        assert fresh(draft).status == PolicyStatus.DROPPED
        assert make_case(cast.clinic, SPLIT).status == CaseStatus.DEFERRED

    def test_a_second_person_starts_and_widens_it(
        self, cast: Cast, draft: Policy, second: User
    ) -> None:
        with pytest.raises(Forbidden, match="another administrator"):
            canary_of(draft, cast.administrator)
        canary_of(draft, second)
        with pytest.raises(Forbidden, match="another administrator"):
            rollout.widen_canary(policy=fresh(draft), actor=cast.administrator)
        assert fresh(draft).status == PolicyStatus.CANARY

    def test_one_a_site_and_domain(self, cast: Cast, draft: Policy, second: User) -> None:
        canary_of(draft, second)
        other = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        with pytest.raises(Conflict, match="Version 2 is a canary"):
            canary_of(other, second)
        with pytest.raises(Conflict, match="Version 2 is a canary"):
            policies.publish_policy(policy=other, actor=second)
        with pytest.raises(IntegrityError), transaction.atomic():
            Policy.objects.filter(pk=other.pk).update(status=PolicyStatus.CANARY, canary_share=0.5)

    def test_a_canary_without_a_share_cannot_be(self, draft: Policy) -> None:
        for share in (None, 0.0, 1.0):
            with pytest.raises(IntegrityError), transaction.atomic():
                Policy.objects.filter(pk=draft.pk).update(
                    status=PolicyStatus.CANARY, canary_share=share
                )

    @pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
    def test_a_share_lies_between_none_and_all(
        self, draft: Policy, second: User, share: float
    ) -> None:
        with pytest.raises(Refused):
            canary_of(draft, second, share)

    def test_nothing_in_force_leaves_nobody_for_the_rest(self, cast: Cast, second: User) -> None:
        draft = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        with pytest.raises(Refused, match="No version is in force"):
            canary_of(draft, second)

    def test_the_emergency_switch_and_a_roll_back_end_it(
        self, cast: Cast, draft: Policy, second: User
    ) -> None:
        retired = make_policy(cast.clinic, status=PolicyStatus.RETIRED)
        steps: list[Callable[[], Policy]] = [
            lambda: policies.defer_everything(
                site=cast.clinic, domain="wound", actor=cast.administrator
            ),
            lambda: policies.roll_back(policy=fresh(retired), actor=cast.administrator),
        ]
        for step in steps:
            one = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT)
            canary_of(one, second, share=0.99)
            step()
            assert fresh(one).status == PolicyStatus.DROPPED
            decision = Decision.objects.get(case=make_case(cast.clinic, SPLIT))
            assert decision.policy == active_policy(cast.clinic, "wound")
            assert decision.outcome == Outcome.DEFER

    def test_it_may_lead_out_of_defer_everything(
        self, cast: Cast, draft: Policy, second: User, drawn: list[bool]
    ) -> None:
        policies.defer_everything(site=cast.clinic, domain="wound", actor=cast.administrator)
        canary_of(draft, second)
        drawn += [True]
        assert make_case(cast.clinic, SURE).status == CaseStatus.ACCEPTED
        drawn += [False]
        assert make_case(cast.clinic, SURE).status == CaseStatus.DEFERRED


def test_the_history_of_a_version_names_each_step(cast: Cast, draft: Policy, second: User) -> None:
    rollout.put_in_shadow(policy=draft, actor=cast.administrator)
    canary_of(fresh(draft), second, share=0.1)
    rollout.widen_canary(policy=fresh(draft), actor=second)
    said = [(one.what, one.who, one.why) for one in policy_history(fresh(draft))]
    assert said == [
        ("put in shadow", "administrator", ""),
        ("published as a canary", "administrator2", "for 10% of the cases"),
        ("widened", "administrator2", ""),
    ]


class TestPages:
    def test_shadow_to_force_by_the_pages(self, cast: Cast, draft: Policy, second: User) -> None:
        one, other = Client(), Client()
        one.force_login(cast.administrator)
        other.force_login(second)
        one.post(reverse("shadow", args=[draft.pk]))
        make_case(cast.clinic, SPLIT)
        page = one.get(reverse("policy", args=[draft.pk]))
        assert "Live cases that it would have decided differently" in page.content.decode()
        assert "On trial" in one.get(reverse("policies")).content.decode()
        other.post(reverse("publish", args=[draft.pk]), {"share": "25"})
        assert fresh(draft).canary_share == 0.25
        assert "Widen…" in other.get(reverse("policies")).content.decode()
        assert "Widen…" not in one.get(reverse("policies")).content.decode()
        other.post(reverse("widen-canary", args=[draft.pk]))
        assert active_policy(cast.clinic, "wound") == draft

    def test_a_share_that_is_none_is_refused(self, draft: Policy, second: User) -> None:
        client = Client()
        client.force_login(second)
        for share in ("120", "-1", "many"):
            client.post(reverse("publish", args=[draft.pk]), {"share": share})
        assert fresh(draft).status == PolicyStatus.DRAFT

    def test_the_page_asks_the_same_of_the_database_however_many_cases(
        self, cast: Cast, draft: Policy
    ) -> None:
        rollout.put_in_shadow(policy=draft, actor=cast.administrator)
        client, counts = Client(), []
        client.force_login(cast.administrator)
        for _ in range(2):
            for _ in range(4):
                make_case(cast.clinic, SPLIT)
            with CaptureQueriesContext(
                connection,
            ) as found:
                client.get(reverse("policy", args=[draft.pk]))
            counts.append(len(found))
        assert counts[0] == counts[1] <= 20

    def test_all_of_it_by_the_api(self, cast: Cast, draft: Policy, second: User) -> None:
        client = Client()
        client.force_login(second)

        def post(name: str, body: object = None) -> object:
            said = client.post(
                reverse(name, args=[draft.pk]), body or {}, content_type="application/json"
            )
            assert said.status_code == 200, said.content
            return said.json()["status"]

        assert post("api-shadow") == "shadow"
        make_case(cast.clinic, SPLIT)
        detail = client.get(reverse("api-policy", args=[draft.pk])).json()
        assert detail["shadow"]["cases"] == detail["shadow"]["different"] == 1
        assert detail["shadow"]["flips"][0]["label"] == "", "the case is open"
        assert post("api-end-shadow") == "draft"
        assert post("api-publish", {"share": 0.5}) == "canary"
        make_case(cast.clinic, SPLIT)
        detail = client.get(reverse("api-policy", args=[draft.pk])).json()
        arms = detail["canary"]
        assert arms["canary"]["live"]["cases"] + arms["rest"]["live"]["cases"] == 1
        assert [one["what"] for one in detail["history"]][-1] == "published as a canary"
        assert post("api-widen-canary") == "active"
        again = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        policies.publish_policy(policy=again, actor=second)
        assert post("api-roll-back") == "active"
        events = AuditEvent.objects.filter(verb="policy rolled back")
        assert events.count() == 1


def test_publishing_remembers_what_was_in_force_before(
    cast: Cast, draft: Policy, second: User
) -> None:
    first = active_policy(cast.clinic, "wound")
    policies.publish_policy(policy=draft, actor=second)
    assert fresh(draft).before == first
    policies.roll_back(policy=first, actor=second)  # type: ignore[arg-type]
    assert fresh(first).before is None  # type: ignore[arg-type]
    assert fresh(draft).mode == PolicyMode.PERCENTILE


def test_the_page_of_a_canary_follows_what_becomes_of_it(
    cast: Cast, draft: Policy, second: User
) -> None:
    canary_of(draft, second)
    client = Client()
    client.force_login(second)
    url = reverse("policy", args=[draft.pk])
    page = client.get(url).content.decode()
    assert reverse("widen-canary", args=[draft.pk]) in page
    live = ("version", "version-actions", "version-now", "version-history")
    assert all(
        f'id="{one}" class="part" data-live="policy" data-url="{url}"' in page for one in live
    )
    rollout.end_canary(policy=fresh(draft), actor=cast.administrator)
    part = client.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and all(f'id="{one}"' in part for one in live)
    assert reverse("widen-canary", args=[draft.pk]) not in part
