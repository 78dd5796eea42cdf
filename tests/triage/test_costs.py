"""The expected cost in full, and which modes can be had."""

import pytest
from django.test import Client
from django.urls import reverse

from inference.uq.costs import Costs
from tests.factories import LABELS, make_case, make_policy
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, PolicyMode, PolicyStatus, ReviewAction
from triage.errors import Refused
from triage.forms import CostsForm
from triage.models import Calibration, Case, Policy, Review
from triage.selectors import experts, modes
from triage.selectors.costs import costs_page, domain_costs
from triage.selectors.modes import mode_rows
from triage.selectors.policies import in_a_sentence
from triage.services import costs as service
from triage.services import queue, reviews
from triage.services.costs import CostsAsked, price_of_review, propose_by_costs

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


def answered(cast: Cast, count: int, truth: str) -> None:
    for _ in range(count):
        case = make_case(cast.clinic, SPLIT)
        lease = queue.claim(case=case, user=cast.clinician)
        case.refresh_from_db()
        reviews.submit_review(
            case=case, token=lease.token, user=cast.clinician, label=truth, version=case.version
        )


def propose(cast: Cast, costs: Costs, **asked: float) -> Policy:
    said = {"review_cost": 0.25, "expert_error": 0.0} | asked
    return propose_by_costs(
        site=cast.clinic,
        domain="wound",
        method="vote_entropy",
        asked=CostsAsked(costs, **said, said={}),
        actor=cast.administrator,
    )


@pytest.fixture
def burns_missed(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """7 split cases called burns: 6 are, one is a cut."""
    monkeypatch.setattr(service, "FEWEST_FOR_PAIRS", 7)
    monkeypatch.setattr("triage.services.calibration.PRIOR_CASES", 0.001)
    make_policy(cast.clinic, threshold=0.2)
    answered(cast, 6, "Burns")
    answered(cast, 1, "Cut")
    return cast


def with_cost(truth: str, decided: str, cost: float) -> Costs:
    table = Costs.uniform(LABELS).table.copy()
    table[LABELS.index(truth), LABELS.index(decided)] = cost
    return Costs(tuple(LABELS), table)


class TestProposing:
    def test_a_dearer_error_defers_what_a_cheap_one_accepts(self, burns_missed: Cast) -> None:
        split_score = 0.64  # - (2 log 2/3 + log 1/3) / 3
        cheap = propose(burns_missed, Costs.uniform(LABELS))
        assert cheap.threshold is not None and cheap.threshold > split_score - 0.01
        dear = propose(burns_missed, with_cost("Cut", "Burns", 10))
        assert dear.threshold is not None and dear.threshold < split_score - 0.01
        other = propose(burns_missed, with_cost("Burns", "Cut", 10))
        assert other.threshold == cheap.threshold, "no burn was called a cut"

    def test_what_was_asked_is_kept_and_said(self, burns_missed: Cast) -> None:
        policy = propose(burns_missed, with_cost("Cut", "Burns", 4), expert_error=0.02)
        assert policy.mode == PolicyMode.COST and policy.status == PolicyStatus.DRAFT
        assert policy.choice["value"] == 0.25
        assert in_a_sentence(policy) == (
            "The least cost when a review costs 25.0% of an ordinary error. The dearest, Cut "
            "taken for Burn, counts 4. Reviewers are taken to be wrong on 2.0%. "
            "No error rate is promised."
        )

    def test_reviewers_who_err_make_deferring_dearer(self, burns_missed: Cast) -> None:
        careful = propose(burns_missed, with_cost("Cut", "Burns", 3))
        doubtful = propose(burns_missed, with_cost("Cut", "Burns", 3), expert_error=0.5)
        assert careful.threshold is not None and doubtful.threshold is not None
        assert doubtful.threshold > careful.threshold

    def test_costs_by_label_need_labels(self, cast: Cast) -> None:
        make_policy(cast.clinic)
        answered(cast, 2, "Burns")
        with pytest.raises(Refused, match="need 28 more labels of this site's own"):
            propose(cast, with_cost("Cut", "Burns", 4))
        assert propose(cast, Costs.uniform(LABELS)).mode == PolicyMode.COST

    def test_without_a_calibration_there_is_none(self, cast: Cast) -> None:
        with pytest.raises(Refused, match="no calibration"):
            propose(cast, Costs.uniform(LABELS))

    def test_where_nothing_pays_it_says_so(self, burns_missed: Cast) -> None:
        with pytest.raises(Refused, match="No threshold qualifies"):
            propose(burns_missed, Costs.uniform(LABELS), review_cost=0.0)

    def test_own_stages_keep_the_truth_of_their_window(
        self, burns_missed: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tests.factories import SIGNATURE
        from triage.services import calibration

        monkeypatch.setattr(calibration, "current_signature", lambda _domain: SIGNATURE)
        monkeypatch.setattr(calibration, "OWN_LABELS", 10)
        answered(burns_missed, 14, "Cut")
        calibration.refit(site=burns_missed.clinic, domain="wound")
        newest = Calibration.objects.order_by("-pk").first()
        assert newest is not None and newest.window["own"]
        rows = calibration.rows_of(newest, "vote_entropy", None, 1)
        assert sorted(rows.truth.tolist()) == ["Burns"] * 6 + ["Cut"] * 15


def test_a_review_is_priced_in_errors() -> None:
    assert price_of_review(minutes=3, hourly=80, error_price=40) == pytest.approx(0.1)


def test_the_form_takes_the_time_that_it_suggests(cast: Cast, client: Client) -> None:
    answered(cast, 1, "Burns")
    page = costs_page(site=cast.clinic, costs=domain_costs(cast.clinic))
    form = CostsForm({"minutes": page.minutes}, labels=())
    form.is_valid()
    assert page.measured and "minutes" not in form.errors


class TestReaders:
    def settled(self, cast: Cast, first: str, second: str, final: str) -> None:
        case = make_case(cast.clinic, SPLIT)
        for reader, label in ((cast.clinician, first), (cast.colleague, second)):
            Review.objects.create(
                case=case, reviewer=reader, action=ReviewAction.ANSWER, label=label
            )
        Case.objects.filter(pk=case.pk).update(
            readings=2, status=CaseStatus.RESOLVED, label=final, waiting_due_at=None
        )

    def test_measured_by_what_the_third_person_said(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(experts, "FEWEST_READ", 4)
        make_policy(cast.clinic)
        for _ in range(3):
            self.settled(cast, "Burns", "Burns", "Burns")
        assert experts.reader_error(cast.clinic) is None
        self.settled(cast, "Burns", "Cut", "Cut")
        found = experts.reader_error(cast.clinic)
        assert found is not None and (found.rate, found.readings) == (1 / 8, 8)
        page = costs_page(site=cast.clinic, costs=domain_costs(cast.clinic))
        assert page.reader == found


class TestModes:
    def test_a_promise_says_how_many_labels_it_lacks(self, cast: Cast) -> None:
        make_policy(cast.clinic)
        before = {row.mode: row for row in mode_rows(cast.clinic)}
        assert "at least 40 more labels" in before[PolicyMode.GUARANTEED].why_not
        assert before[PolicyMode.COST].why_not == before[PolicyMode.PERCENTILE].why_not == ""
        answered(cast, 2, "Burns")
        after = {row.mode: row for row in mode_rows(cast.clinic)}
        assert "at least 38 more labels" in after[PolicyMode.GUARANTEED].why_not

    def test_with_enough_it_can_be_had(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        make_policy(cast.clinic)
        monkeypatch.setattr(modes, "own_labels", lambda _site: 40)
        assert not any(row.why_not for row in mode_rows(cast.clinic))

    def test_without_a_calibration_none_can(self, cast: Cast) -> None:
        assert all(row.why_not for row in mode_rows(cast.clinic))


def fields(**changed: str) -> dict[str, str]:
    size = len(LABELS)
    table = {f"cost-{i}-{j}": "1" for i in range(size) for j in range(size) if i != j}
    return table | {"method": "vote_entropy", "review": "25", "expert_error": "0"} | changed


class TestPage:
    @pytest.fixture
    def client(self, burns_missed: Cast) -> Client:
        client = Client()
        client.force_login(burns_missed.administrator)
        return client

    def test_the_table_becomes_a_draft(self, client: Client) -> None:
        pair = f"cost-{LABELS.index('Cut')}-{LABELS.index('Burns')}"
        said = client.post(reverse("costs"), fields(**{pair: "10"}))
        policy = Policy.objects.order_by("-pk")[0]
        assert said["Location"] == reverse("policy", args=[policy.pk])
        assert Costs.from_dict(policy.choice["costs"]).dearest() == ("Cut", "Burns", 10.0)

    def test_money_counts_instead_of_the_percentage(self, client: Client) -> None:
        client.post(
            reverse("costs"), fields(minutes="3", hourly="80", error_price="40", expert_error="2")
        )
        choice = Policy.objects.order_by("-pk")[0].choice
        assert choice["value"] == pytest.approx(0.1) and choice["expert_error"] == 0.02
        assert choice["review"] == {"minutes": 3.0, "hourly": 80.0, "error_price": 40.0}

    @pytest.mark.parametrize(
        "wrong", [{"cost-0-1": "-1"}, {"cost-0-1": "nan"}, {"review": ""}, {"cost-0-1": ""}]
    )
    def test_what_makes_no_sense_is_said_with_all_that_was_typed(
        self, client: Client, wrong: dict[str, str]
    ) -> None:
        said = client.post(reverse("costs"), fields(**{"cost-1-2": "7"} | wrong))
        assert said.status_code == 422
        assert "Costs are numbers from 0 on" in said.content.decode()
        assert 'name="cost-1-2" min="0" max="1000" step="any" value="7"' in said.content.decode()
        assert Policy.objects.count() == 1

    def test_severity_is_suggested(self, client: Client) -> None:
        page = client.get(reverse("costs"), {"severity": ""}).content.decode()
        missed = f"cost-{LABELS.index('Burns')}-{LABELS.index('Bruises')}"
        assert f'name="{missed}" min="0" max="1000" step="any" value="3"' in page

    def test_the_modes_explain_themselves(self, client: Client) -> None:
        page = client.get(reverse("policies")).content.decode()
        assert "errors and reviews cost least together" in page and "Not yet: for 10%" in page

    def test_all_of_it_by_the_api(self, client: Client) -> None:
        known = client.get(reverse("api-costs")).json()
        assert known["by_severity"]["Burns"]["Bruises"] == 3.0
        assert (known["measured"], known["expert_error"]) == (True, None)
        body = {
            "method": "vote_entropy",
            "review_cost": 0.25,
            "costs": {"Cut": {"Burns": 10}},
        }
        said = client.post(reverse("api-costs"), body, content_type="application/json")
        assert said.status_code == 201 and said.json()["mode"] == "cost"
        body["costs"] = {"Cut": {"Cut": 10}}
        said = client.post(reverse("api-costs"), body, content_type="application/json")
        assert said.status_code == 400
        asked = {"mode": "percentile", "value": 0.3, "method": "vote_entropy"}
        said = client.post(reverse("api-propose"), asked, content_type="application/json")
        assert said.status_code == 201
        modes = client.get(reverse("api-propose")).json()
        assert [row["mode"] for row in modes] == ["guaranteed", "cost", "percentile"]


def test_the_form_reads_what_it_shows() -> None:
    form = CostsForm(fields(**{"cost-0-1": "2.5"}), labels=LABELS)
    assert form.is_valid() and form.table().table[0, 1] == 2.5
