"""A sweep says of each threshold what counting anew would say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.audit import accepted_error
from inference.uq.sweep import Sweep
from inference.uq.types import Floats

CASES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, np.inf, np.nan]),
        st.sampled_from([0.0, 1.0, np.nan]),
        st.floats(0.02, 1.0),
    ),
    min_size=1,
    max_size=40,
)


def arrays(cases: list[tuple[float, float, float]]) -> tuple[Floats, Floats, Floats]:
    scores, wrong, probability = np.array(cases, dtype=np.float64).T
    return scores, wrong, probability


@given(CASES, st.sampled_from([None, -1.0, 0.1, 0.3, 0.9, 5.0]))
def test_it_agrees_with_the_estimate_that_is_made_anew(
    cases: list[tuple[float, float, float]], threshold: float | None
) -> None:
    scores, wrong, probability = arrays(cases)
    outlook = Sweep(scores, wrong, 1 - wrong, probability).at(threshold)
    limit = -np.inf if threshold is None else threshold
    accepted = np.isfinite(scores) & (scores <= limit)
    for marks, found in ((wrong, outlook.error), (1 - wrong, outlook.missed)):
        anew = accepted_error(np.nan_to_num(marks), accepted, np.isfinite(wrong), probability)
        assert (found.low, found.high) == pytest.approx((anew.low, anew.high), abs=1e-6)
        assert found.estimate == pytest.approx(anew.estimate, nan_ok=True)
        assert found.audited == anew.audited
    assert outlook.accepted == accepted.sum()
    assert outlook.deferral == pytest.approx(1 - accepted.mean())


@given(CASES, st.floats(0, 1))
def test_the_threshold_for_a_share_defers_at_least_that_and_no_tie_more(
    cases: list[tuple[float, float, float]], share: float
) -> None:
    scores, wrong, probability = arrays(cases)
    sweep = Sweep(scores, wrong, wrong, probability)
    found = sweep.at(sweep.threshold_for(share))
    assert found.deferral >= share - 1e-9
    higher = sweep.ranked[sweep.ranked > (-np.inf if found.threshold is None else found.threshold)]
    if len(higher):
        assert sweep.at(float(higher[0])).deferral < share + 1e-9


def test_a_random_audit_finds_the_error_that_is_there() -> None:
    rng = np.random.default_rng(5)
    scores = rng.random(40_000)
    wrong = (rng.random(40_000) < scores / 2).astype(float)
    accepted = scores <= 0.4
    drawn = ~accepted | (rng.random(40_000) < 0.1)
    probability = np.where(accepted, 0.1, 1.0)
    sweep = Sweep(scores, np.where(drawn, wrong, np.nan), wrong, probability)
    for threshold in (0.2, 0.4, 0.7):
        error = sweep.at(threshold).error
        assert error.low < wrong[scores <= threshold].mean() < error.high
        assert error.high - error.low < 0.04


def test_the_curve_runs_from_the_least_to_all_that_can_be_deferred() -> None:
    scores = np.array([0.1, 0.2, 0.2, 0.7, np.nan])
    nothing = np.full(5, np.nan)
    curve = Sweep(scores, nothing, nothing, np.ones(5)).curve()
    assert [one.threshold for one in curve] == [0.7, 0.2, 0.1, None]
    assert [one.deferral for one in curve] == pytest.approx([0.2, 0.4, 0.8, 1.0])


def test_of_no_case_at_all_nothing_is_said() -> None:
    nothing = np.empty(0)
    sweep = Sweep(nothing, nothing, nothing, nothing)
    assert sweep.at(0.5).deferral == 1.0
    assert sweep.threshold_for(0.0) is None
    assert np.isnan(sweep.at(0.5).error.estimate)
