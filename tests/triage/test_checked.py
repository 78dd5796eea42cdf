"""The machine beside people: by label, by source, and whether its stated P(error) holds."""

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from tests.factories import make_camera, make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from tests.triage.test_monitoring import SPLIT, SURE, answer, audits, deferred, in_force
from triage.choices import PolicyMode, PolicyStatus
from triage.models import Alert, Calibration, Checkup, Decision, Policy
from triage.selectors.checked import Pairs, checked, reliability
from triage.selectors.checkup import found_at, look
from triage.selectors.drift import drift_sentences, drift_stands
from triage.selectors.monitoring import confusion_of
from triage.selectors.policies import in_a_sentence
from triage.services.monitoring import check

pytestmark = pytest.mark.django_db


def test_pairs_count_what_was_said_and_what_was_true(cast: Cast) -> None:
    deferred(cast, 3, 2)
    audits(cast, 1, 1)
    make_case(cast.clinic, SURE)  # drawn, but nobody has answered
    in_force(cast.clinic, 0.000001)
    by_hand = make_case(cast.clinic, SURE)
    answer(by_hand, "Cut", cast.clinician)  # opened by hand: no evidence
    found = checked(cast.clinic)
    assert found.n == 7
    assert found.pairs == [Pairs("Burns", "Burns", 4), Pairs("Burns", "Cut", 3)]


def test_the_table_has_a_row_and_a_column_a_label() -> None:
    titles = {"a": "A", "b": "B", "c": "C", "never": "Never"}
    table = confusion_of([Pairs("a", "b", 3), Pairs("a", "a", 1), Pairs("c", "gone", 2)], titles)
    assert table.titles == ["A", "B", "C", "gone"]
    assert [row.title for row in table.rows] == table.titles
    assert [cell.n for cell in table.rows[0].cells] == [1, 3, 0, 0]
    assert table.rows[0].share == pytest.approx(0.25)
    assert table.rows[1].share is None
    assert [[cell.same for cell in row.cells].index(True) for row in table.rows] == [0, 1, 2, 3]


def test_sources_are_told_apart_and_few_labels_are_said(cast: Cast, client: Client) -> None:
    door = make_camera(cast.clinic, "Door")
    deferred(cast, 2, 1)
    answer(make_case(cast.clinic, SPLIT, camera=door), "Cut", cast.clinician)
    in_force(cast.clinic, 1.0)
    for label in ("Burns", "Burns", "Cut"):
        answer(make_case(cast.clinic, SURE, camera=door), label, cast.clinician)
    here, people = checked(cast.clinic).sources
    assert (here.name, here.answered, here.overridden, here.error.n) == ("Door", 1, 1, 3)
    assert here.error.estimate == pytest.approx(1 / 3)
    assert (people.name, people.answered, people.overridden) == ("", 3, 1)
    assert people.error.n == 0 and people.error.estimate is None
    assert here.few_audits and people.few_answers
    client.force_login(cast.administrator)
    html = client.get(reverse("monitoring")).content.decode()
    assert "Door" in html and "sent by people" in html


def test_an_audit_counts_by_how_unlikely_it_was(cast: Cast) -> None:
    cases = audits(cast, 3, 1)
    rewrite(Decision.objects.filter(case=cases[-1]), label_probability=0.1)
    [people] = checked(cast.clinic).sources
    assert people.error.estimate == pytest.approx(10 / 13)


def test_an_honest_statement_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    stated = rng.uniform(0, 0.5, 4000)
    wrong = (rng.random(4000) < stated).astype(float)
    found = reliability(stated, wrong, np.ones(4000))
    assert len(found.bins) == 10 and sum(one.n for one in found.bins) == 4000
    assert found.gap is not None and found.gap < 0.03
    assert sum(one.honest for one in found.bins) >= 8
    off = reliability(stated / 3, wrong, np.ones(4000))
    assert off.gap is not None and off.gap > 0.1
    assert not off.bins[-1].honest


def test_deferred_labels_do_not_pass_for_all_cases() -> None:
    """Audits of a tenth stand for ten times as many, also in one bin with deferred cases."""
    stated = np.full(40, 0.2)
    wrong = np.array([1.0] * 10 + [0.0] * 10 + [0.0] * 20)
    probability = np.array([1.0] * 20 + [0.1] * 20)
    found = reliability(stated, wrong, probability)
    assert sum(one.happened * one.n for one in found.bins) / 40 < 0.3
    assert found.bins[0].happened == pytest.approx(0.5)
    assert found.gap == pytest.approx(20 / 220 * 0.3 + 200 / 220 * 0.2)


def test_without_twenty_stated_chances_there_is_no_diagram() -> None:
    stated = np.array([0.1] * 19 + [np.nan] * 30)
    found = reliability(stated, np.zeros(49), np.ones(49))
    assert (found.n, found.bins, found.gap) == (19, [], None)


def test_the_stated_chance_is_that_of_the_decision(cast: Cast) -> None:
    deferred(cast, 10, 10)
    rewrite(Decision.objects.all(), explanation={"error_probability": 0.25})
    [one] = look(cast.clinic).checked.reliability.bins
    assert (one.n, one.stated, one.happened) == pytest.approx((20, 0.25, 0.5))
    assert not one.honest
    check(site=cast.clinic)
    assert found_at(cast.clinic).checked.reliability.bins == [one]


def test_drift_is_the_sentence_of_the_policies_page(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2)
    for _ in range(25):
        make_case(cast.clinic, SURE)
    calibration = cast.clinic.policies.get().calibration
    assert calibration is not None
    rewrite(type(calibration).objects.all(), created_at=timezone.now())
    assert look(cast.clinic).drift.p_value is None
    for _ in range(25):
        make_case(cast.clinic, SPLIT)
    found = look(cast.clinic).drift
    assert found.sentences == drift_sentences(cast.clinic) != []
    assert found.p_value is not None and found.p_value < 0.01


def drifted(cast: Cast) -> Policy:
    """A promise is in force, and cases are others than when it was made."""
    policy = make_policy(cast.clinic, threshold=0.2, mode=PolicyMode.GUARANTEED)
    for _ in range(25):
        make_case(cast.clinic, SURE)
    rewrite(Policy.objects.filter(pk=policy.pk), choice={"value": 0.1, "confidence": 0.9})
    rewrite(Calibration.objects.all(), created_at=timezone.now())
    for _ in range(25):
        make_case(cast.clinic, SPLIT)
    return Policy.objects.get(pk=policy.pk)


@pytest.mark.any_database
def test_drift_is_told_in_the_readers_language(cast: Cast) -> None:
    drifted(cast)
    with override("de"):
        check(site=cast.clinic)
    assert any("of the cases are deferred" in one for one in found_at(cast.clinic).drift.sentences)
    with override("de"):
        said = found_at(cast.clinic).drift.sentences
    assert any("der Fälle werden vorgelegt" in one for one in said)


@pytest.mark.any_database
def test_what_a_checkup_kept_in_words_is_found_anew(cast: Cast) -> None:
    drifted(cast)
    check(site=cast.clinic)
    row = Checkup.objects.get(site=cast.clinic)
    row.found["drift"] = {"sentences": ["Old words."], "p_value": 0.001}
    row.save()
    assert found_at(cast.clinic).drift.drifted != []


def test_a_promise_is_void_wherever_it_stands_while_the_alert_does(
    cast: Cast, client: Client
) -> None:
    policy, draft = drifted(cast), make_policy(cast.clinic, status=PolicyStatus.DRAFT)
    assert in_a_sentence(policy).startswith("At most 10%"), "one look is no alert"
    check(site=cast.clinic)
    client.force_login(cast.administrator)
    pages = [
        reverse("policies"),
        reverse("policy", args=[policy.pk]),
        reverse("compare-versions") + f"?left={policy.version}&right={draft.version}",
        reverse("api-policy", args=[policy.pk]),
    ]
    for page in pages:
        said = client.get(page).content.decode()
        assert "Its promise is void at present" in said, page
        assert "At most 10%" not in said, page
    Alert.objects.update(ended_at=timezone.now())
    assert in_a_sentence(policy).startswith("At most 10%")


def test_an_alert_on_another_version_voids_nothing(cast: Cast) -> None:
    policy = make_policy(cast.clinic, mode=PolicyMode.GUARANTEED)
    other = make_policy(cast.clinic, status=PolicyStatus.RETIRED)
    Alert.objects.create(site=cast.clinic, kind="drift", value=3, limit=2, policy=other)
    assert not drift_stands(policy)
    Alert.objects.update(policy=policy)
    assert drift_stands(policy)


def test_a_household_has_no_readings_to_compare(cast: Cast) -> None:
    assert look(cast.household).reading is None
    assert look(cast.clinic).reading is not None
