"""What experts say becomes a draft; a person puts it in force; one step takes it back."""

from unittest.mock import patch

import pytest
from django.test import Client
from django.urls import reverse

from inference.models import Run
from tests.factories import SIGNATURE, make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, Outcome, PolicyMode, PolicyStatus
from triage.errors import Conflict, Forbidden, Refused
from triage.models import AuditEvent, Calibration, Case, Decision, Policy
from triage.selectors import policies as selector
from triage.selectors.evidence import gather
from triage.selectors.fitted import fitted_of
from triage.selectors.live import live_numbers
from triage.selectors.policies import policy_page
from triage.selectors.policy_state import active_policy
from triage.selectors.promises import DEFAULT_DELTA, spent
from triage.selectors.replays import shown_replay
from triage.selectors.weeks import decisions_of
from triage.services import calibration, policies, queue, reviews

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")


@pytest.fixture(autouse=True)
def this_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    """The members that the factories' runs are of are configured."""
    monkeypatch.setattr(calibration, "current_signature", lambda _domain: SIGNATURE)


def answer(cast: Cast, case: Case, label: str) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label=label, version=case.version
    )


def answered(cast: Cast, count: int, truth: str = "Burns") -> None:
    for _ in range(count):
        answer(cast, make_case(cast.clinic, SPLIT), truth)


def test_labels_become_a_draft_with_a_replay(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    make_case(cast.clinic, SURE)
    answered(cast, 6)
    draft = calibration.refit(site=cast.clinic, domain="wound")
    assert (draft.status, draft.version) == (PolicyStatus.DRAFT, 2)
    assert draft.replay["n"] == 7
    assert draft.replay["labelled"] == 6
    assert draft.replay["current"]["deferral"] == pytest.approx(6 / 7)
    assert active_policy(cast.clinic, "wound").version == 1  # type: ignore[union-attr]


def test_right_answers_on_deferred_cases_raise_the_threshold(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    answered(cast, 40, truth="Burns")
    generous = calibration.refit(site=cast.clinic, domain="wound")
    assert generous.threshold is not None and generous.threshold > 0.2
    assert generous.replay["flip_count"] == 40
    assert {flip["to"] for flip in generous.replay["flips"]} == {"accept"}


def test_wrong_answers_keep_it_low(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=2.0)
    rewrite(Policy.objects.all(), threshold=0.2)
    answered(cast, 40, truth="Cut")
    careful = calibration.refit(site=cast.clinic, domain="wound")
    assert careful.threshold is None or careful.threshold < 0.6
    assert careful.replay["flip_count"] == 0


def test_too_few_labels_are_said_in_words(cast: Cast) -> None:
    make_policy(cast.clinic)
    answered(cast, 2)
    with pytest.raises(Refused, match="There are 2 expert labels; 5 are needed"):
        calibration.refit(site=cast.clinic, domain="wound")


def test_a_refit_is_due_after_every_n_resolutions(cast: Cast, settings: object) -> None:
    settings.ALARM_REFIT_EVERY = 6  # type: ignore[attr-defined]
    make_policy(cast.clinic)
    answered(cast, 5)
    assert calibration.refit_when_due(site=cast.clinic, domain="wound") is None
    answered(cast, 1)
    assert calibration.refit_when_due(site=cast.clinic, domain="wound") is not None
    assert calibration.refit_when_due(site=cast.clinic, domain="wound") is None


def test_a_new_draft_replaces_the_systems_old_one(cast: Cast) -> None:
    make_policy(cast.clinic)
    answered(cast, 5)
    first = calibration.refit(site=cast.clinic, domain="wound")
    second = calibration.refit(site=cast.clinic, domain="wound")
    first.refresh_from_db()
    assert (first.status, second.status) == (PolicyStatus.DROPPED, PolicyStatus.DRAFT)


def test_the_next_case_is_decided_by_what_was_published(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    assert make_case(cast.clinic, SPLIT).status == CaseStatus.DEFERRED
    draft = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT)
    policies.publish_policy(policy=draft, actor=cast.administrator)
    after = make_case(cast.clinic, SPLIT)
    assert Decision.objects.get(case=after).policy == draft
    assert Decision.objects.get(case=after).outcome == Outcome.ACCEPT


def test_rolling_back_is_one_step(cast: Cast) -> None:
    first = make_policy(cast.clinic, threshold=0.2)
    draft = make_policy(cast.clinic, threshold=5.0, status=PolicyStatus.DRAFT)
    policies.publish_policy(policy=draft, actor=cast.administrator)
    first.refresh_from_db()
    policies.roll_back(policy=first, actor=cast.administrator)
    assert active_policy(cast.clinic, "wound") == first
    assert make_case(cast.clinic, SPLIT).status == CaseStatus.DEFERRED
    verbs = list(AuditEvent.objects.filter(case=None).values_list("verb", flat=True))
    assert verbs == ["policy published", "policy rolled back"]


def test_there_is_one_policy_in_force(cast: Cast) -> None:
    make_policy(cast.clinic)
    for _ in range(3):
        draft = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
        policies.publish_policy(policy=draft, actor=cast.administrator)
    assert Policy.objects.filter(status=PolicyStatus.ACTIVE).count() == 1


def test_nobody_publishes_what_they_proposed(cast: Cast) -> None:
    draft = make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    rewrite(Policy.objects.filter(pk=draft.pk), proposed_by=cast.administrator)
    draft.refresh_from_db()
    with pytest.raises(Forbidden, match="another administrator"):
        policies.publish_policy(policy=draft, actor=cast.administrator)
    cast.clinic.two_person_rule = False
    cast.clinic.save()
    draft = Policy.objects.get(pk=draft.pk)
    assert policies.publish_policy(policy=draft, actor=cast.administrator).status == "active"
    event = AuditEvent.objects.get(verb="policy published")
    assert event.details["two_person_rule"] is False


def test_only_a_draft_is_published(cast: Cast) -> None:
    policy = make_policy(cast.clinic)
    with pytest.raises(Conflict):
        policies.publish_policy(policy=policy, actor=cast.administrator)


def test_defer_everything_works_at_once_and_ends_by_rolling_back(cast: Cast) -> None:
    first = make_policy(cast.clinic, threshold=5.0)
    policies.defer_everything(site=cast.clinic, domain="wound", actor=cast.administrator)
    assert make_case(cast.clinic, SURE).status == CaseStatus.DEFERRED
    policies.roll_back(policy=Policy.objects.get(pk=first.pk), actor=cast.administrator)
    assert make_case(cast.clinic, SURE).status == CaseStatus.ACCEPTED


def test_a_policy_cannot_be_rewritten(cast: Cast) -> None:
    policy = make_policy(cast.clinic)
    policy.threshold = 9.0
    with pytest.raises(TypeError):
        policy.save()
    with pytest.raises(TypeError):
        policy.save(update_fields=["threshold"])


def test_a_policy_by_hand_is_replayed(cast: Cast) -> None:
    make_policy(cast.clinic)
    answered(cast, 5)
    draft = calibration.propose_by_hand(
        site=cast.clinic,
        domain="wound",
        mode=PolicyMode.PERCENTILE,
        value=0.2,
        method="cold_start",
        actor=cast.administrator,
    )
    assert draft.threshold is not None
    assert draft.proposed_by == cast.administrator
    assert draft.replay["n"] == 5


def test_a_guarantee_that_cannot_be_had_says_what_is_missing(cast: Cast) -> None:
    make_policy(cast.clinic)
    answered(cast, 5)
    with pytest.raises(Refused, match=r"about \d+ more of this site's own labels"):
        calibration.propose_by_hand(
            site=cast.clinic,
            domain="wound",
            mode=PolicyMode.GUARANTEED,
            value=0.05,
            method="cold_start",
            actor=cast.administrator,
        )


def test_with_many_own_labels_the_stages_are_fitted_anew(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "OWN_LABELS", 40)
    make_policy(cast.clinic)
    answered(cast, 30, truth="Burns")
    answered(cast, 12, truth="Cut")
    draft = calibration.refit(site=cast.clinic, domain="wound")
    newest = Calibration.objects.order_by("-pk").first()
    assert newest is not None and newest.window["own"] is True
    assert draft.calibration == newest
    assert len(newest.parameters["window"]["correct"]) == 42


def test_the_audit_estimate_corrects_for_which_cases_get_labelled(cast: Cast) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    for truth in ("Burns", "Burns", "Burns", "Cut"):
        answer(cast, make_case(cast.clinic, SURE), truth)
    answer(cast, make_case(cast.clinic, SPLIT), "Cut")
    found = live_numbers(decisions_of(cast.clinic))
    assert (found.error.estimate, found.error.audited, found.accepted) == (0.25, 4, 4)
    assert found.error.low < 0.25 < found.error.high


def test_an_audit_counts_by_how_unlikely_it_was_to_be_drawn(cast: Cast) -> None:
    for share, truth in ((1.0, "Cut"), (0.25, "Burns")):
        Policy.objects.update(status=PolicyStatus.RETIRED)
        make_policy(cast.clinic, audit_share=share)
        with patch("triage.services.decisions.random.SystemRandom.random", return_value=0.0):
            case = make_case(cast.clinic, SURE)
        answer(cast, case, truth)
    estimate = live_numbers(decisions_of(cast.clinic)).error.estimate
    assert estimate == pytest.approx(1 / (1 + 4))


def test_an_audit_that_is_still_open_is_told(cast: Cast) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    make_case(cast.clinic, SURE)
    found = live_numbers(decisions_of(cast.clinic))
    assert (found.open, found.error.audited) == (1, 0)


def test_a_replay_keeps_the_label_of_what_still_waits(cast: Cast, client: Client) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    audit, blind = make_case(cast.clinic, SURE), make_case(cast.clinic, SURE)
    rewrite(Case.objects.filter(pk=blind.pk), status=CaseStatus.DEFERRED, blind=True)
    answered(cast, 6)
    rewrite(Policy.objects.filter(status=PolicyStatus.ACTIVE), threshold=-1.0)
    draft = calibration.refit(site=cast.clinic, domain="wound")
    client.force_login(cast.administrator)
    api = client.get(reverse("api-policy", args=[draft.pk])).json()["policy"]["replay"]
    page = policy_page(policy=draft, user=cast.administrator)
    for flips in (api["flips"], page.flips):
        said = {flip["case"]: flip["label"] for flip in flips}
        assert said[str(audit.pk)] == said[str(blind.pk)] == ""
    answer(cast, audit, "Cut")
    said = {flip["case"]: flip["label"] for flip in shown_replay(draft)["flips"]}
    assert said[str(audit.pk)] == "Burns"


def test_looking_often_spends_the_confidence_only_once() -> None:
    looks = [spent(look) for look in range(1, 2000)]
    assert sum(looks) <= DEFAULT_DELTA
    assert looks[0] > looks[1] > looks[2] > 0


def test_a_guarantee_is_proposed_once_the_sites_own_labels_carry_it(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "DEFAULT_RISK", 0.30)
    make_policy(cast.clinic, threshold=0.0, audit_share=1.0)
    for _ in range(24):
        answer(cast, make_case(cast.clinic, SURE), "Burns")
    draft = calibration.refit(site=cast.clinic, domain="wound")
    assert draft.mode == PolicyMode.GUARANTEED
    assert draft.choice["bound"] <= 0.30
    assert draft.choice["delta"] < DEFAULT_DELTA


def test_labels_that_shaped_a_score_prove_nothing_on_it(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "OWN_LABELS", 30)
    make_policy(cast.clinic)
    answered(cast, 20, truth="Burns")
    answered(cast, 12, truth="Cut")
    calibration.refit(site=cast.clinic, domain="wound")
    with pytest.raises(Refused, match="have shaped this score"):
        calibration.propose_by_hand(
            site=cast.clinic,
            domain="wound",
            mode=PolicyMode.GUARANTEED,
            value=0.5,
            method="alarm",
            actor=cast.administrator,
        )


def test_the_shipped_cases_count_for_fifty_however_many_they_are(cast: Cast) -> None:
    make_policy(cast.clinic)
    answered(cast, 5)
    fitted = fitted_of(Calibration.objects.get())
    evidence = gather(site=cast.clinic, domain="wound", ensemble=SIGNATURE)
    rows = calibration.labelled_rows(fitted, "cold_start", evidence, own=False)
    assert rows.weights[~rows.own].sum() == pytest.approx(calibration.PRIOR_CASES)
    assert rows.weights[rows.own].tolist() == [1.0] * 5


def test_another_ensembles_cases_are_no_evidence(cast: Cast) -> None:
    make_policy(cast.clinic)
    answered(cast, 6)
    Run.objects.update(ensemble="f" * 64)
    with pytest.raises(Refused, match="There are 0 expert labels"):
        calibration.refit(site=cast.clinic, domain="wound")


def test_an_accepted_case_opened_out_of_curiosity_is_no_audit(cast: Cast) -> None:
    make_policy(cast.clinic)
    answer(cast, make_case(cast.clinic, SURE), "Cut")
    assert live_numbers(decisions_of(cast.clinic)).error.audited == 0


def test_the_page_counts_the_labels_that_a_refit_learns_from(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selector, "current_signature", lambda _domain: SIGNATURE)
    make_policy(cast.clinic)
    answered(cast, 5)
    answer(cast, make_case(cast.clinic, SURE), "Cut")  # opened by hand: no label in this sense
    foreign = make_case(cast.clinic, SPLIT)
    answer(cast, foreign, "Cut")
    Run.objects.filter(observation=foreign.observation).update(ensemble="1" * 64)
    elsewhere = make_case(cast.clinic, SPLIT)
    answer(cast, elsewhere, "Cut")
    Case.objects.filter(pk=elsewhere.pk).update(domain="home")
    page = selector.policies_page(site=cast.clinic, user=cast.administrator)
    draft = calibration.refit(site=cast.clinic, domain="wound")
    assert page.labels == draft.choice["labels"] == 5
