import numpy as np
import pytest

from inference.uq.audit import accepted_error, audits_needed, policy_error
from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from inference.uq.types import Bools, Floats


def decided(n: int, seed: int) -> tuple[Floats, Floats, Bools, Floats, Bools]:
    """Scores, errors, accepted, audit probability, audited; riskier cases are audited more."""
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    wrong = (rng.random(n) < scores / 2).astype(np.float64)
    chance = 0.05 + 0.2 * scores
    return scores, wrong, scores <= 0.6, chance, rng.random(n) < chance


def test_audit_estimate_is_right_on_average_and_deferred_labels_are_not() -> None:
    audits, reviews = [], []
    for seed in range(200):
        _, wrong, accepted, chance, audited = decided(2000, seed)
        truth = wrong[accepted].mean()
        audits.append(accepted_error(wrong, accepted, audited, chance).estimate - truth)
        reviews.append(wrong[~accepted].mean() - truth)
    assert abs(np.mean(audits)) < 3 * np.std(audits) / np.sqrt(200)
    assert abs(np.mean(audits)) < 0.01
    assert np.mean(reviews) > 0.2


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        _, wrong, accepted, chance, audited = decided(2000, seed)
        found = accepted_error(wrong, accepted, audited, chance, delta=0.1)
        covered += found.low <= 0.15 <= found.high
    assert covered / 200 >= 0.9


def test_unaudited_errors_are_never_read() -> None:
    _, wrong, accepted, chance, audited = decided(500, 0)
    hidden = np.where(accepted & audited, wrong, np.nan)
    assert accepted_error(hidden, accepted, audited, chance) == accepted_error(
        wrong, accepted, audited, chance
    )


def test_without_an_audit_nothing_is_claimed() -> None:
    none = np.zeros(5, dtype=bool)
    found = accepted_error(np.zeros(5), ~none, none, np.full(5, 0.1))
    assert np.isnan(found.estimate)
    assert (found.low, found.high, found.audited) == (0, 1, 0)


def test_no_error_among_a_few_audits_is_not_no_error() -> None:
    every = np.ones(20, dtype=bool)
    found = accepted_error(np.zeros(20), every, every, np.full(20, 0.05))
    assert (found.estimate, found.low, found.audited) == (0, 0, 20)
    assert found.high == pytest.approx(0.168, abs=0.001)


def test_error_at_another_threshold_from_todays_logs() -> None:
    differences = []
    for seed in range(200):
        scores, wrong, accepted, chance, audited = decided(2000, seed)
        labelled = ~accepted | audited
        hidden = np.where(labelled, wrong, np.nan)
        for threshold in (0.4, 0.8):
            estimate = policy_error(hidden, scores, threshold, labelled, chance, accepted)
            differences.append(estimate - wrong[scores <= threshold].mean())
    assert abs(np.mean(differences)) < 0.01


def test_a_threshold_that_accepts_no_label_has_no_estimate() -> None:
    scores, wrong, accepted, chance, audited = decided(50, 0)
    assert np.isnan(policy_error(wrong, scores, -1, audited, chance, accepted))


def test_probability_zero_is_refused() -> None:
    every = np.ones(3, dtype=bool)
    with pytest.raises(ValueError, match="probability in"):
        accepted_error(np.zeros(3), every, every, np.zeros(3))


@pytest.mark.parametrize(("error", "half_width"), [(0.05, 0.03), (0.1, 0.05), (0.0, 0.02)])
def test_audits_needed_are_just_enough(error: float, half_width: float) -> None:
    n = audits_needed(error, half_width)
    for audits, enough in ((n, True), (n - 1, False)):
        upper = clopper_pearson_upper(error * audits, audits, 0.025)
        lower = clopper_pearson_lower(error * audits, audits, 0.025)
        assert (upper - lower <= 2 * half_width) == enough


def test_more_precision_needs_more_audits() -> None:
    needed = [audits_needed(0.05, width) for width in (0.1, 0.05, 0.03, 0.02, 0.01)]
    assert needed == sorted(needed)
    assert 150 < audits_needed(0.05, 0.035) < 200
    with pytest.raises(ValueError, match="half width"):
        audits_needed(0.05, 0)
