"""Bounds that hold at every look: rarely wrong when nothing is, quick when something is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from inference.uq.watch import bounds_at_all_times, log_evidence

DELTA = 0.05
HORIZON = 600


def alarms(rate: float, limit: float, worlds: int, horizon: int = HORIZON) -> int:
    """In how many worlds with that rate the lower bound is above the limit at any look."""
    hits = (np.random.default_rng(7).random((worlds, horizon)) < rate).cumsum(axis=1)
    n = np.arange(1, horizon + 1)
    above = (log_evidence(hits, n, limit) > -np.log(DELTA)) & (hits / n > limit)
    return int(above.any(axis=1).sum())


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.001, 0.5))
def test_it_holds_the_observed_rate_and_is_wider_than_one_look(
    hits: int, misses: int, delta: float
) -> None:
    n = hits + misses
    low, high = bounds_at_all_times(hits, n, delta)
    if n == 0:
        assert (low, high) == (0.0, 1.0)
        return
    assert 0 <= low <= hits / n <= high <= 1
    assert low <= clopper_pearson_lower(hits, n, delta / 2) + 1e-6
    assert high >= clopper_pearson_upper(hits, n, delta / 2) - 1e-6


@given(st.integers(0, 300), st.integers(0, 300))
def test_what_is_a_hit_is_a_matter_of_naming(hits: int, misses: int) -> None:
    low, high = bounds_at_all_times(hits, hits + misses, DELTA)
    other_low, other_high = bounds_at_all_times(misses, hits + misses, DELTA)
    assert low == pytest.approx(1 - other_high, abs=1e-6)
    assert high == pytest.approx(1 - other_low, abs=1e-6)


@given(st.integers(1, 200), st.integers(1, 200))
def test_one_more_error_never_lowers_the_bound(hits: int, misses: int) -> None:
    n = hits + misses
    assert bounds_at_all_times(hits, n, DELTA)[0] <= bounds_at_all_times(hits + 1, n, DELTA)[0]


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 0.99))
def test_the_bound_is_where_the_evidence_is_enough(hits: int, misses: int, limit: float) -> None:
    """What the simulations below count is what the bounds say."""
    n = hits + misses
    low, high = bounds_at_all_times(hits, n, DELTA)
    enough = bool(log_evidence(hits, n, limit) > -np.log(DELTA))
    if min(abs(limit - low), abs(limit - high)) > 1e-6:
        assert enough == (n > 0 and not low < limit < high)


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.25, 0.5])
def test_looking_after_each_answer_it_is_seldom_ever_wrong(rate: float) -> None:
    """At the very limit, the hardest case: 50 of 1,000 worlds may raise an alarm, ever."""
    assert alarms(rate, rate, worlds=1000) <= 50


def test_below_the_limit_it_is_wrong_less_often_still() -> None:
    assert alarms(0.08, 0.1, worlds=1000) <= 15 < alarms(0.1, 0.1, worlds=1000)


def test_one_look_at_a_time_would_be_wrong_far_more_often() -> None:
    """What the correction is for: the same rule with a plain bound raises false alarms."""
    found = 0
    for seed in range(60):
        hits = (np.random.default_rng(seed).random(HORIZON) < 0.1).cumsum()
        plain = [clopper_pearson_lower(int(k), n, DELTA) for n, k in enumerate(hits, 1)]
        found += max(plain) > 0.1
    assert found > 9


@pytest.mark.parametrize(("limit", "within"), [(0.05, 800), (0.1, 400), (0.2, 200)])
def test_a_doubled_risk_is_found(limit: float, within: int) -> None:
    assert alarms(2 * limit, limit, worlds=200, horizon=within) >= 190


def test_what_cannot_be_counted_is_refused() -> None:
    for hits, n, delta in ((3, 2, 0.1), (-1, 2, 0.1), (1, 2, 0.0), (1, 2, 1.0)):
        with pytest.raises(ValueError, match="no bounds"):
            bounds_at_all_times(hits, n, delta)
