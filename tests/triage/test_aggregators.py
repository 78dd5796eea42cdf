"""The learned aggregator decides where labels show that it beats the vote, and only there."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from unittest.mock import patch

import pytest
from django.test import Client, override_settings
from django.utils.translation import override
from pytest_django import DjangoDbBlocker

from inference.uq.promotion import LEARNED
from tests.factories import SIGNATURE, make_case, make_policy, make_site, rewrite
from tests.triage.conftest import Cast, make_cast
from triage import tasks
from triage.choices import CaseStatus, Outcome, PolicyMode, Role
from triage.errors import Refused
from triage.models import AuditEvent, Calibration, Case, Decision, Membership, Policy, Withdrawal
from triage.selectors import aggregators as reading
from triage.selectors.evidence import gather
from triage.selectors.fitted import learned_of
from triage.selectors.policies import policies_page
from triage.services import aggregators, calibration, policies, queue, reviews, verdicts
from triage.services.monitoring import check

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")
TELLS = {"Burns": "blisters that peel", "Cut": "one clean line"}


@pytest.fixture(scope="module", autouse=True)
def this_ensemble() -> Iterator[None]:
    """The members that the factories' runs are of are configured, audits are as good as off, and
    these few cases are all accepted at once."""
    with (
        override_settings(ALARM_AUDIT_SHARE=0.000001, ALARM_STEP_CAP=1.0),
        patch.object(calibration, "current_signature", lambda _domain: SIGNATURE),
    ):
        yield


@dataclass(frozen=True)
class World:
    """A clinic whose answers show a gain, and what a refit proposes there."""

    cast: Cast
    draft: Policy


@pytest.fixture(scope="module")
def world(this_ensemble: None, module_rows: None, django_db_blocker: DjangoDbBlocker) -> World:
    """What most of these tests begin from: taught once, for it takes 66 answers and a fit."""
    with django_db_blocker.unblock():
        cast = make_cast()
        make_policy(cast.clinic, threshold=0.2)
        tell(cast, 66)
        return World(cast, calibration.refit(site=cast.clinic, domain="wound"))


@pytest.fixture
def cast(world: World, db: None) -> Cast:
    """The same people at a clinic that has learned nothing yet."""
    cast = copy.deepcopy(world.cast)
    clinic = make_site("Untaught")
    for user, role in (
        (cast.clinician, Role.CLINICIAN),
        (cast.administrator, Role.ADMINISTRATOR),
    ):
        Membership.objects.create(user=user, site=clinic, role=role)
    return replace(cast, clinic=clinic)


@pytest.fixture
def taught(world: World, db: None) -> World:
    return copy.deepcopy(world)


def answer(cast: Cast, case: Case, label: str) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label=label, version=case.version
    )


def tell(cast: Cast, count: int, *, truths: str = "CCB", seen: dict[str, str] = TELLS) -> None:
    """Deferred cases, all voted Burns, of which the descriptions tell the truth; answered."""
    for at in range(count):
        truth = "Cut" if truths[at % len(truths)] == "C" else "Burns"
        answer(cast, make_case(cast.clinic, SPLIT, described=seen[truth]), truth)


def promoted(taught: World) -> tuple[Cast, Policy]:
    """A clinic where the learned aggregator decides."""
    cast = taught.cast
    return cast, policies.publish_policy(policy=taught.draft, actor=cast.administrator)


def last() -> Decision:
    return Decision.objects.select_related("run", "case").latest("pk")


def test_labels_that_show_a_gain_propose_the_learned_aggregator(taught: World) -> None:
    draft = taught.draft
    assert draft.method == LEARNED
    assert draft.mode == PolicyMode.COST
    assert draft.fallback["method"] == "vote_entropy"
    window = Calibration.objects.latest("pk").window
    assert window["learned"]["chosen"] == LEARNED
    assert window["learned"]["comparison"]["gained"] == pytest.approx(44)
    assert draft.replay["proposed"]["kept_accuracy"] > 0.95
    assert draft.replay["proposed"]["deferral"] < 0.2


def test_it_decides_on_the_label_once_a_person_has_published_it(taught: World) -> None:
    cast, policy = promoted(taught)
    case = make_case(cast.clinic, SPLIT, described=TELLS["Cut"])
    decision = last()
    assert (decision.method, decision.outcome) == (LEARNED, Outcome.ACCEPT)
    assert (decision.label, decision.run.prediction) == ("Cut", "Burns")
    assert (case.status, case.label) == (CaseStatus.ACCEPTED, "Cut")
    assert decision.score == decision.learned_error == decision.explanation["error_probability"]
    assert decision.threshold == policy.threshold
    assert decision.explanation["levels"]["overall"] == "low"


@pytest.mark.any_database
def test_a_threshold_is_not_chosen_on_what_it_has_seen(taught: World) -> None:
    cast, _policy = promoted(taught)
    evidence = gather(site=cast.clinic, domain="wound", ensemble=SIGNATURE)
    assert evidence is not None
    learned = calibration.learn(evidence)
    assert learned is not None
    rows = learned.rows(look=1)
    assert sorted(rows.scores) == sorted(learned.model.held_out_.error)
    assert sorted(rows.scores) != sorted(learned.model.predict(evidence.answers).error)
    assert not rows.provable


def test_before_that_it_decides_nothing_but_its_opinion_is_kept(taught: World) -> None:
    cast, draft = taught.cast, taught.draft
    rewrite(Policy.objects.filter(pk=draft.pk), method="vote_entropy", threshold=0.1)
    policies.publish_policy(policy=Policy.objects.get(pk=draft.pk), actor=cast.administrator)
    make_case(cast.clinic, SPLIT, described=TELLS["Cut"])
    decision = last()
    assert (decision.method, decision.label) == ("vote_entropy", "Burns")
    assert decision.learned_label == "Cut"
    assert 0 < decision.learned_error < 0.5  # type: ignore[operator]


@pytest.mark.any_database
def test_without_a_gain_the_vote_goes_on(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    tell(cast, 60, truths="BBBBBC", seen={"Burns": "something red", "Cut": "something red"})
    draft = calibration.refit(site=cast.clinic, domain="wound")
    assert (draft.method, draft.fallback) == ("vote_entropy", {})
    assert Calibration.objects.latest("pk").window["learned"]["code"] == "no_gain"
    with pytest.raises(Refused, match="shows no gain"):
        calibration.propose_by_hand(
            site=cast.clinic,
            domain="wound",
            mode=PolicyMode.COST,
            value=0.2,
            method=LEARNED,
            actor=cast.administrator,
        )


@pytest.mark.any_database
def test_with_too_few_labels_there_is_none(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    tell(cast, 12)
    draft = calibration.refit(site=cast.clinic, domain="wound")
    assert draft.method == "vote_entropy"
    assert learned_of(Calibration.objects.latest("pk")) is None
    with pytest.raises(Refused, match="too few labels to learn from"):
        calibration.propose_by_hand(
            site=cast.clinic,
            domain="wound",
            mode=PolicyMode.COST,
            value=0.2,
            method=LEARNED,
            actor=cast.administrator,
        )


@pytest.mark.any_database
def test_it_proves_an_error_rate_only_on_labels_that_it_never_saw(taught: World) -> None:
    cast, _policy = promoted(taught)
    wanted = {
        "site": cast.clinic,
        "domain": "wound",
        "mode": PolicyMode.GUARANTEED,
        "value": 0.1,
        "method": LEARNED,
        "actor": cast.administrator,
    }
    with pytest.raises(Refused, match="cannot prove an error rate"):
        calibration.propose_by_hand(**wanted)  # type: ignore[arg-type]
    rewrite(Policy.objects.all(), threshold=0.0)
    with patch.object(calibration, "OWN_LABELS", 60):
        tell(cast, 60)
        draft = calibration.propose_by_hand(**wanted)  # type: ignore[arg-type]
    assert (draft.method, draft.mode) == (LEARNED, PolicyMode.GUARANTEED)
    assert draft.choice["labels"] == 60
    assert draft.fallback["method"] == "cold_start"


def lose(cast: Cast) -> None:
    """From now on the words mean the opposite; everything is deferred, so people answer it."""
    rewrite(Policy.objects.all(), threshold=0.0)
    tell(cast, 36, truths="BBC", seen={"Burns": TELLS["Cut"], "Cut": TELLS["Burns"]})


def test_it_is_withdrawn_when_it_stops_beating_the_vote(taught: World) -> None:
    cast, policy = promoted(taught)
    lose(cast)
    assert Withdrawal.objects.count() == 0
    tasks.learn_from_answer(cast.clinic.pk, "wound")
    withdrawal = Withdrawal.objects.get()
    assert withdrawal.policy == policy
    assert withdrawal.evidence["why"] == "behind" and withdrawal.reason == ""
    said = reading.withdrawal_in_words(withdrawal.evidence, withdrawal.reason)
    assert "right 0 times where the vote was wrong" in said
    with override("de"):
        assert "0-mal" in reading.withdrawal_in_words(withdrawal.evidence, "")
    assert AuditEvent.objects.filter(verb="aggregator withdrawn").count() == 1
    tasks.learn_from_answer(cast.clinic.pk, "wound")
    assert Withdrawal.objects.count() == 1


@pytest.mark.any_database
def test_after_a_withdrawal_the_vote_decides_by_the_fallback(taught: World) -> None:
    cast, policy = promoted(taught)
    lose(cast)
    aggregators.withdraw_where_lost(site=cast.clinic, domain="wound")
    rewrite(
        Policy.objects.filter(pk=policy.pk),
        threshold=0.9,
        fallback={"method": "vote_entropy", "threshold": 0.2},
    )
    make_case(cast.clinic, SPLIT, described=TELLS["Cut"])
    split = last()
    assert (split.method, split.threshold, split.outcome) == ("vote_entropy", 0.2, Outcome.DEFER)
    make_case(cast.clinic, ("Burns", "Burns", "Burns"), described=TELLS["Cut"])
    sure = last()
    assert (sure.method, sure.label, sure.outcome) == ("vote_entropy", "Burns", Outcome.ACCEPT)
    assert split.learned_label == "Cut"


@pytest.mark.any_database
def test_a_policy_without_a_fallback_then_accepts_nothing(taught: World) -> None:
    cast, policy = promoted(taught)
    rewrite(Policy.objects.filter(pk=policy.pk), fallback={})
    Withdrawal.objects.create(policy=policy, reason="it fell behind")
    make_case(cast.clinic, ("Burns", "Burns", "Burns"), described=TELLS["Burns"])
    assert last().outcome == Outcome.DEFER
    assert last().reasons == ["policy_accepts_nothing"]


def night(cast: Cast) -> None:
    """Cases that are described as none was before."""
    for at in range(24):
        make_case(cast.clinic, SPLIT, described=f"a garden at night {at}")


def test_cases_that_are_described_otherwise_withdraw_it_before_anybody_answers(
    taught: World,
) -> None:
    cast, _policy = promoted(taught)
    night(cast)
    check(site=cast.clinic)
    found = aggregators.withdraw_where_lost(site=cast.clinic, domain="wound")
    assert found is not None and found.evidence["why"] == "texts_apart"
    sentence = reading.aggregator_view(cast.clinic).sentence
    assert "unlike those of calibration" in sentence
    with override("de"):
        assert (
            "gleichen denen der Kalibrierung nicht" in reading.aggregator_view(cast.clinic).sentence
        )


@pytest.mark.any_database
def test_one_test_of_the_texts_is_not_enough_to_withdraw_it(taught: World) -> None:
    cast, policy = promoted(taught)
    night(cast)
    drift = reading.texts_drift(policy)
    assert drift is not None and drift.drifted
    assert aggregators.withdraw_where_lost(site=cast.clinic, domain="wound") is None


@pytest.mark.any_database
def test_what_a_refit_kept_in_words_is_still_read() -> None:
    assert reading.choice_in_words({"chosen": "vote", "why": "It was so."}) == "It was so."
    assert reading.choice_in_words({}) == ""
    drifted = {"code": "texts_apart", "values": {"ratio": 3.0, "p": 0.001}}
    said = reading.choice_in_words({"code": "drifted", "drift": drifted, "comparison": {"n": 1}})
    assert said.startswith("The vote decides: The texts are unlike those of calibration: 3.0 times")


@pytest.mark.any_database
def test_a_withdrawal_that_was_kept_in_words_is_still_read(taught: World) -> None:
    cast, policy = promoted(taught)
    Withdrawal.objects.create(policy=policy, reason="It fell behind.", evidence={"n": 1})
    assert reading.aggregator_view(cast.clinic).sentence.startswith("It fell behind.")


def test_while_it_is_ahead_it_stays(taught: World) -> None:
    cast, policy = promoted(taught)
    rewrite(Policy.objects.all(), threshold=0.0)
    tell(cast, 36)
    found = reading.since_fit(policy)
    assert (found.cases, found.lost) == (36, 0)
    assert found.gained == pytest.approx(24)
    assert aggregators.withdraw_where_lost(site=cast.clinic, domain="wound") is None


@pytest.mark.any_database
def test_the_vote_is_never_withdrawn(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    tell(cast, 36)
    assert aggregators.withdraw_where_lost(site=cast.clinic, domain="wound") is None


def test_every_answer_looks_whether_it_still_holds(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    case = make_case(cast.clinic, SPLIT)
    with (
        patch("triage.services.reviews.dispatch.hint") as hint,
        django_capture_on_commit_callbacks(execute=True),  # type: ignore[operator]
    ):
        answer(cast, case, "Cut")
    assert reviews.LEARN in [call.args[0] for call in hint.call_args_list]


def test_the_page_says_that_the_vote_decides(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    page = policies_page(site=cast.clinic, user=cast.administrator)
    assert page.aggregator.sentence == "The vote decides."


def test_the_page_says_who_decides_and_why(taught: World) -> None:
    cast, _policy = promoted(taught)
    page = policies_page(site=cast.clinic, user=cast.administrator)
    assert page.aggregator.learned
    assert "It has shown its worth: on 66 labelled cases" in page.aggregator.sentence
    with override("de"):
        assert "66 beurteilten Fällen" in reading.aggregator_view(cast.clinic).sentence
    assert page.active is not None
    assert page.active.sentence.startswith("The learned aggregator decides on the label.")
    lose(cast)
    aggregators.withdraw_where_lost(site=cast.clinic, domain="wound")
    page = policies_page(site=cast.clinic, user=cast.administrator)
    assert page.aggregator.withdrawn
    assert "was withdrawn, the vote decides" in page.aggregator.sentence
    assert "Of 36 cases checked since it was fitted" in page.aggregator.shadow


def test_pages_show_it(taught: World, client: Client) -> None:
    cast, _policy = promoted(taught)
    case = make_case(cast.clinic, SPLIT, described=TELLS["Cut"])
    client.force_login(cast.administrator)
    assert "It has shown its worth" in client.get("/policies/").content.decode()
    client.force_login(cast.clinician)
    assert "the learned aggregator" in client.get(f"/cases/{case.pk}/").content.decode()


@pytest.mark.any_database
def test_an_aggregator_without_any_doubt_accepts(
    taught: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, _policy = promoted(taught)
    monkeypatch.setattr(verdicts, "_learned", lambda *_: verdicts.Learned("Cut", 0.0))
    make_case(cast.clinic, SPLIT, described=TELLS["Cut"])
    assert (last().outcome, last().label, last().score) == (Outcome.ACCEPT, "Cut", 0.0)


@pytest.mark.any_database
def test_an_aggregator_without_an_opinion_defers(
    taught: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, _policy = promoted(taught)
    monkeypatch.setattr(verdicts, "_learned", lambda *_: verdicts.Learned())
    make_case(cast.clinic, SPLIT, described=TELLS["Cut"])
    assert last().outcome == Outcome.DEFER
    assert "no_score" in last().reasons
