import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController

from inference.uq.thresholds import (
    ThresholdChoice,
    by_cost,
    by_percentile,
    clopper_pearson_lower,
    clopper_pearson_upper,
    conformal_risk,
    expected_cost,
    guaranteed_risk,
    selection_with_guaranteed_risk,
    spread_ties,
)
from inference.uq.types import Bools, Floats


def world(n: int, seed: int) -> tuple[Floats, Floats]:
    """Scores, and errors drawn with P(error | score) = score ** 2 / 2: 1 case in 6 is wrong."""
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    return scores, (rng.random(n) < scores**2 / 2).astype(np.float64)


def true_risk(threshold: float) -> float:
    """Of world(), among the accepted: the mean of s ** 2 / 2 over s <= threshold."""
    return min(threshold, 1.0) ** 2 / 6 if threshold > 0 else 0.0


def test_exact_bounds_cover_what_they_promise() -> None:
    upper = clopper_pearson_upper(3, 100, 0.1)
    assert (np.random.default_rng(0).binomial(100, upper, 40_000) <= 3).mean() == pytest.approx(
        0.1, abs=0.006
    )
    assert clopper_pearson_lower(97, 100, 0.1) == pytest.approx(1 - upper)
    assert clopper_pearson_upper(5, 5, 0.1) == 1
    assert clopper_pearson_lower(0, 5, 0.1) == 0


@given(st.integers(2, 200), st.integers(0, 99))
def test_percentile_defers_about_what_was_asked(n: int, deferral: int) -> None:
    scores = np.random.default_rng(n).random(n)
    choice = by_percentile(scores, deferral)
    assert choice.coverage == pytest.approx(1 - deferral / 100, abs=1.01 / n)
    assert choice.bound is None


def test_percentile_threshold_falls_as_more_is_deferred() -> None:
    scores = np.random.default_rng(0).normal(size=300)
    limits = [by_percentile(scores, deferral).threshold for deferral in range(0, 100, 5)]
    assert limits == sorted(limits, reverse=True)


def test_unknown_scores_are_never_accepted() -> None:
    scores = np.array([0.1, np.nan, -np.inf, np.inf, 0.3])
    choice = ThresholdChoice(0.2, "percentile", None, 0.2, True, 5)
    assert choice.accept(scores).tolist() == [True, False, False, False, False]
    assert by_percentile(scores, 0).coverage < 1
    assert not by_percentile(np.array([np.nan]), 20).qualifies


@pytest.mark.parametrize("target", [0.05, 0.1])
@pytest.mark.parametrize("method", [guaranteed_risk, selection_with_guaranteed_risk])
def test_guarantee_is_broken_at_most_in_delta_of_the_draws(target: float, method: object) -> None:
    broken = qualified = 0
    for seed in range(300):
        choice: ThresholdChoice = method(*world(400, seed), target, 0.1)  # type: ignore[operator]
        qualified += choice.qualifies
        broken += choice.qualifies and true_risk(choice.threshold) > target
    assert broken / 300 <= 0.1
    assert qualified > 100


def test_a_percentile_with_the_same_coverage_promises_nothing() -> None:
    broken = 0
    for seed in range(300):
        scores, wrong = world(400, seed)
        seen = np.cumsum(wrong[np.argsort(scores)]) / np.arange(1, 401)
        deferral = 100 * (1 - (np.flatnonzero(seen <= 0.1)[-1] + 1) / 400)
        broken += true_risk(by_percentile(scores, deferral).threshold) > 0.1
    assert broken / 300 > 0.2


def test_guarantee_holds_on_audited_labels_with_weights() -> None:
    broken = qualified = 0
    for seed in range(300):
        scores, wrong = world(1500, seed)
        chance = np.where(scores <= 0.5, 0.2, 1.0)
        labelled = np.random.default_rng(seed + 10_000).random(1500) < chance
        choice = guaranteed_risk(
            scores[labelled], wrong[labelled], 0.1, 0.1, weights=1 / chance[labelled]
        )
        qualified += choice.qualifies
        broken += choice.qualifies and true_risk(choice.threshold) > 0.1
    assert broken / 300 <= 0.1
    assert qualified > 200


def test_equal_weights_change_nothing() -> None:
    scores, wrong = world(500, 1)
    weighted = guaranteed_risk(scores, wrong, 0.1, weights=np.full(500, 20.0))
    assert weighted == guaranteed_risk(scores, wrong, 0.1)


@given(st.integers(0, 200))
@settings(max_examples=25)
def test_a_laxer_target_never_accepts_less(seed: int) -> None:
    sample = world(400, seed)
    for method in (guaranteed_risk, selection_with_guaranteed_risk):
        strict, lax = (method(*sample, target, 0.1) for target in (0.05, 0.1))
        assert lax.coverage >= strict.coverage
    strict, lax = (conformal_risk(*sample, target) for target in (0.05, 0.1))
    assert lax.threshold >= strict.threshold


def test_bound_is_what_the_accepted_labels_show() -> None:
    scores, wrong = world(500, 3)
    choice = guaranteed_risk(scores, wrong, 0.1, 0.1)
    accepted = choice.accept(scores)
    errors = wrong[accepted].sum()
    assert choice.bound == pytest.approx(clopper_pearson_upper(errors, accepted.sum(), 0.1))
    assert choice.coverage == accepted.mean()
    assert (choice.labels_needed, choice.target, choice.delta) == (0, 0.1, 0.1)


def test_too_few_labels_say_about_how_many_more() -> None:
    few = guaranteed_risk(*world(30, 0), 0.1, 0.1)
    assert not few.qualifies
    assert few.threshold == -np.inf
    assert few.labels_needed is not None
    assert few.labels_needed > 0
    for more, share in ((few.labels_needed, 0.3), (10 * few.labels_needed, 0.8)):
        passing = [guaranteed_risk(*world(30 + more, s), 0.1, 0.1).qualifies for s in range(40)]
        assert np.mean(passing) > share


def test_no_label_at_all_still_gives_a_number() -> None:
    choice = guaranteed_risk(np.empty(0), np.empty(0), 0.1, 0.1)
    assert not choice.qualifies
    assert choice.labels_needed is not None
    assert 21 < choice.labels_needed < 1000


def test_a_score_that_cannot_help_asks_for_no_labels() -> None:
    rng = np.random.default_rng(0)
    wrong = (rng.random(2000) < 0.4).astype(np.float64)
    assert guaranteed_risk(rng.random(2000), wrong, 0.1, 0.1).labels_needed is None


def test_unlabelled_cases_do_not_count() -> None:
    scores, wrong = world(500, 3)
    more = guaranteed_risk(np.append(scores, 0.0), np.append(wrong, np.nan), 0.1)
    assert more == guaranteed_risk(scores, wrong, 0.1)


def test_a_case_without_a_score_is_covered_by_no_threshold() -> None:
    scores, wrong = np.zeros(100), np.zeros(100)
    scores[:50] = np.nan
    for choice in (
        guaranteed_risk(scores, wrong, 0.1),
        selection_with_guaranteed_risk(scores, wrong, 0.1),
        conformal_risk(scores, wrong, 0.1),
        by_cost(scores, wrong),
    ):
        assert (choice.threshold, choice.coverage) == (0.0, 0.5), choice.mode


def test_conformal_risk_bounds_accepted_errors_among_all_cases() -> None:
    risks = []
    for seed in range(300):
        threshold = conformal_risk(*world(200, seed), 0.05).threshold
        risks.append(threshold * true_risk(threshold))
    assert 0.04 < np.mean(risks) <= 0.051


def test_conformal_risk_needs_a_least_number_of_labels() -> None:
    choice = conformal_risk(np.zeros(5), np.zeros(5), 0.05)
    assert not choice.qualifies
    assert choice.labels_needed == 14
    assert conformal_risk(np.zeros(19), np.zeros(19), 0.05).qualifies


def test_cost_threshold_is_the_cheapest_of_all() -> None:
    scores, wrong = world(300, 0)

    def cost(accepted: Bools) -> float:
        return expected_cost(wrong, accepted, error_cost=2, review_cost=0.2, expert_error=0.05)

    choice = by_cost(scores, wrong, error_cost=2, review_cost=0.2, expert_error=0.05)
    limits = np.append(scores, -np.inf)
    assert cost(choice.accept(scores)) == pytest.approx(min(cost(scores <= x) for x in limits))


def test_cheap_reviews_accept_nothing() -> None:
    scores, wrong = np.zeros(50), np.ones(50)
    choice = by_cost(scores, wrong, review_cost=0.1)
    assert not choice.qualifies
    assert not choice.accept(scores).any()


def test_weights_count_in_the_cost() -> None:
    scores, wrong = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.0])
    assert by_cost(scores, wrong, review_cost=0.3).threshold == 0
    weighted = by_cost(scores, wrong, review_cost=0.3, weights=np.array([1.0, 1.0, 9.0]))
    assert weighted.threshold == 2


@pytest.mark.parametrize(("target", "delta"), [(0, 0.1), (1, 0.1), (0.1, 0), (0.1, 1)])
def test_impossible_promises_are_refused(target: float, delta: float) -> None:
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        guaranteed_risk(*world(50, 0), target, delta)


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="weight above zero"):
        guaranteed_risk(*world(50, 0), 0.1, weights=np.zeros(50))


def test_ties_fall_on_both_sides_and_always_the_same_way() -> None:
    keys = [f"case {index}" for index in range(1000)]
    scores = np.repeat([0.0, 0.5], 500)
    spread = spread_ties(scores, keys, seed=4)
    choice = by_percentile(spread, 30)
    assert choice.accept(spread).sum() == 700
    np.testing.assert_array_equal(spread_ties(scores[::-1], keys[::-1], seed=4), spread[::-1])
    assert (spread_ties(scores, keys, seed=5) != spread).all()
    assert (spread[:500] < spread[500:]).all()


@pytest.mark.parametrize("n", [30, 500])
def test_choice_survives_json(n: int) -> None:
    choice = guaranteed_risk(*world(n, 0), 0.1)
    text = json.dumps(choice.to_dict(), allow_nan=False)
    assert ThresholdChoice.from_dict(json.loads(text)) == choice


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("ignore:Fixed sequence testing requires a monotonic risk")
def test_the_guarantee_is_the_one_that_mapie_gives(seed: int) -> None:
    """MAPIE bounds the precision of "right", tested in the same order, from strict to lax."""
    scores, wrong = world(1000, seed)
    strict_to_lax = np.quantile(scores, np.linspace(0.05, 1, 20), method="higher")
    reference = BinaryClassificationController(
        lambda rows: np.column_stack([rows[:, 0], 1 - rows[:, 0]]),
        risk="precision",
        target_level=0.9,
        confidence_level=0.9,
        list_predict_params=1 - strict_to_lax,
        fwer_method="fixed_sequence",
        best_predict_param_choice="recall",
    )
    reference.calibrate(scores[:, None], 1 - wrong)
    ours = guaranteed_risk(scores, wrong, target=0.1, delta=0.1)
    assert ours.qualifies
    assert ours.threshold == pytest.approx(1 - reference.best_predict_param)
