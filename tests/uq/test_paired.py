"""A paired difference counts wins and losses, and never promises more than they show."""

import numpy as np
import pytest

from inference.uq.paired import deferral_for, difference, error_at
from inference.uq.thresholds import clopper_pearson_upper

ONES = np.ones(10)


def marks(*at: int, n: int = 10) -> np.ndarray:
    found = np.zeros(n, bool)
    found[list(at)] = True
    return found


def test_wins_and_losses_are_counted() -> None:
    found = difference(marks(0, 1, 2, 3), marks(3, 4), ONES)
    assert (found.cases, found.wins, found.losses) == (10, 3, 1)
    assert found.gain == pytest.approx(0.2)
    assert found.low < 0.2 < found.high


def test_two_that_never_differ_are_not_proven_equal() -> None:
    found = difference(marks(0), marks(0), ONES)
    bound = clopper_pearson_upper(0, 10, 0.0125)
    assert (found.gain, found.low, found.high) == (0, -bound, bound)
    assert difference(marks(n=0), marks(n=0), np.empty(0)).low == -1


def test_a_rare_label_counts_for_the_many_it_stands_for() -> None:
    weights = np.where(np.arange(10) < 5, 9.0, 1.0)
    found = difference(marks(0), marks(9), weights)
    assert found.gain == pytest.approx((9 - 1) / 50)


def test_the_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        kinds = rng.choice(4, size=120, p=[0.6, 0.2, 0.12, 0.08])
        first, second = np.isin(kinds, (1, 2)), np.isin(kinds, (1, 3))
        found = difference(first, second, np.ones(120))
        held += found.low <= 0.04 <= found.high
    assert held / 400 >= 0.95


def test_the_same_error_may_need_more_deferrals() -> None:
    scores = np.arange(10.0)
    assert error_at(scores, marks(8, 9), ONES, 0.2) == 0
    assert error_at(scores, marks(7, 9), ONES, 0.2) == pytest.approx(1 / 8)
    assert error_at(scores, marks(7), ONES, 1.0) is None
    assert deferral_for(scores, marks(8, 9), ONES, 0.0) == pytest.approx(0.2)
    assert deferral_for(scores, marks(4, 9), ONES, 0.0) == pytest.approx(0.6)
    assert deferral_for(scores, marks(0), ONES, 0.15) == pytest.approx(0.0)
    assert deferral_for(scores, marks(*range(10)), ONES, 0.5) == 1.0


def test_equal_scores_are_accepted_together_and_unknown_ones_never() -> None:
    scores = np.array([0, 0, 0, 1, 1, 1, 2, 2, np.nan, np.nan])
    assert deferral_for(scores, marks(5), ONES, 0.0) == pytest.approx(0.7)
    assert deferral_for(scores, marks(), ONES, 0.0) == pytest.approx(0.2)
