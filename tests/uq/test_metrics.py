import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.uq import metrics
from inference.uq.types import Floats

tied_scores = arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.5, 1.0, np.nan]))
errors = arrays(np.float64, 12, elements=st.sampled_from([0.0, 1.0]))


@given(tied_scores, errors, st.permutations(range(12)))
def test_no_metric_depends_on_the_order_of_the_cases(
    scores: Floats, wrong: Floats, order: list[int]
) -> None:
    np.testing.assert_allclose(
        metrics.rc_curve(scores[order], wrong[order]), metrics.rc_curve(scores, wrong)
    )
    np.testing.assert_allclose(
        metrics.auroc(scores[order], wrong[order]), metrics.auroc(scores, wrong)
    )


@given(tied_scores, errors)
def test_full_coverage_is_the_error_rate(scores: Floats, wrong: Floats) -> None:
    curve = metrics.rc_curve(scores, wrong)
    assert curve[-1] == pytest.approx(wrong.mean())
    assert ((curve >= 0) & (curve <= 1)).all()
    assert metrics.kept_accuracy(scores, wrong, 0) == pytest.approx(1 - wrong.mean())


def test_ties_count_as_their_average_over_tie_breaks() -> None:
    rng = np.random.default_rng(0)
    scores, wrong = rng.integers(0, 3, 30).astype(float), (rng.random(30) < 0.4).astype(float)
    broken = [metrics.aurc(scores + 1e-6 * rng.random(30), wrong) for _ in range(3000)]
    assert metrics.aurc(scores, wrong) == pytest.approx(np.mean(broken), abs=0.003)


def test_a_perfect_score_keeps_only_right_cases() -> None:
    wrong = np.array([0.0, 0, 0, 1, 0, 0, 1, 0, 0, 0])
    assert metrics.kept_accuracy(wrong, wrong, 0.2) == 1
    assert metrics.auroc(wrong, wrong) == 1
    assert metrics.auroc(-wrong, wrong) == 0
    assert metrics.aurc(wrong, wrong) < metrics.aurc(-wrong, wrong)


def test_an_unknown_score_is_the_most_uncertain() -> None:
    scores, wrong = np.array([0.0, np.nan, 9.0]), np.array([0.0, 1.0, 0.0])
    assert metrics.kept_accuracy(scores, wrong, 1 / 3) == 1
    assert metrics.auroc(scores, wrong) == 1


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(1)
    scores, wrong = rng.integers(0, 5, 40).astype(float), (rng.random(40) < 0.4).astype(float)
    bad, good = scores[wrong == 1], scores[wrong == 0]
    pairs = (bad[:, None] > good) + 0.5 * (bad[:, None] == good)
    assert metrics.auroc(scores, wrong) == pytest.approx(pairs.mean())
    assert np.isnan(metrics.auroc(scores, np.zeros(40)))


def test_calibration_error_of_an_honest_and_a_boastful_probability() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    happened = (rng.random(20_000) < probability).astype(float)
    assert metrics.ece(probability, happened) < 0.015
    assert metrics.ece(probability / 2, happened) == pytest.approx(0.25, abs=0.02)
    assert metrics.brier(probability, happened) < metrics.brier(probability / 2, happened)


def test_reliability_bins_hold_every_case_once() -> None:
    bins = metrics.reliability_bins(np.random.default_rng(0).random(25), 10)
    assert sorted(np.concatenate(bins)) == list(range(25))
    assert len(metrics.reliability_bins(np.zeros(3), 10)) == 3


def test_bootstrap_interval_covers_the_mean() -> None:
    values = np.random.default_rng(0).normal(5, 1, 400)
    low, high = metrics.bootstrap_interval(lambda rows: float(values[rows].mean()), 400)
    assert low < 5 < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    again = metrics.bootstrap_interval(lambda rows: float(values[rows].mean()), 400)
    assert again == (low, high)
