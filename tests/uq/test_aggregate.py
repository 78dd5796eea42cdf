import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.aggregate import (
    AlarmScore,
    Standardiser,
    choose_weights,
    simplex_grid,
    smooth_weights,
)
from inference.uq.types import Floats


def noisy(n: int = 600) -> tuple[Floats, Floats]:
    """Three stage scores of which the second alone foretells an error."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(n, 3))
    wrong = rng.random(n) < 1 / (1 + np.exp(-3 * scores[:, 1]))
    return scores, (~wrong).astype(np.float64)


def test_standardised_scores_have_mean_zero_and_deviation_one() -> None:
    scores, _ = noisy()
    z = Standardiser().fit(scores * 7 + 3).transform(scores * 7 + 3)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0, ddof=1), 1)


def test_a_constant_score_becomes_zero_and_nan_stays() -> None:
    scores = np.array([[1.0, 5.0], [2.0, 5.0], [np.nan, 5.0]])
    z = Standardiser().fit(scores).transform(scores)
    np.testing.assert_allclose(z[:, 1], 0)
    assert np.isnan(z[2, 0])


def test_a_score_hardly_ever_known_cannot_be_standardised() -> None:
    with pytest.raises(ValueError, match="at least two known values"):
        Standardiser().fit(np.array([[1.0], [np.nan]]))


def test_moments_are_those_of_the_fit_not_of_what_is_scored() -> None:
    scores, _ = noisy()
    standardiser = Standardiser().fit(scores)
    shifted = standardiser.transform(scores + 10)
    assert shifted.mean() > 5


@given(st.integers(1, 4), st.sampled_from([0.1, 0.2, 0.25, 0.5]))
def test_simplex_grid_is_on_the_simplex_and_complete(size: int, step: float) -> None:
    grid = simplex_grid(size, step)
    np.testing.assert_allclose(grid.sum(axis=1), 1)
    assert grid.min() >= 0
    parts = round(1 / step)
    expected = np.prod([(parts + i) / i for i in range(1, size)])
    assert len(grid) == round(expected)


def test_weights_go_to_the_score_that_knows() -> None:
    scores, correct = noisy()
    weights = choose_weights(scores, correct)
    assert (weights[:, 1] > 0.6).all()


def test_equally_good_weights_are_averaged() -> None:
    z, correct = np.zeros((20, 3)), np.ones(20)
    np.testing.assert_allclose(choose_weights(z, correct), np.full((8, 3), 1 / 3))


def test_smoothing_keeps_the_simplex_and_the_constant() -> None:
    rough = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    smooth = smooth_weights(rough, sigma=1.3)
    np.testing.assert_allclose(smooth.sum(axis=1), 1)
    assert np.ptp(smooth[:, 0]) < 0.6
    flat = np.full((8, 2), 0.5)
    np.testing.assert_allclose(smooth_weights(flat), flat)


def test_alarm_score_prefers_the_wrong_cases() -> None:
    scores, correct = noisy()
    combined = AlarmScore().fit(scores, correct).predict(scores)
    assert combined[correct == 0].mean() > combined[correct == 1].mean() + 1


def test_alarm_score_takes_the_weights_of_its_percentage() -> None:
    scores, correct = noisy()
    model = AlarmScore(deferral=33).fit(scores, correct)
    np.testing.assert_array_equal(model.alpha_, model.weights_[model.percentages.index(35)])


@pytest.mark.parametrize("labels", [np.nan, 1.0, 0.0])
def test_without_both_kinds_of_labels_the_stages_weigh_the_same(labels: float) -> None:
    scores, _ = noisy()
    model = AlarmScore().fit(scores, np.full(len(scores), labels))
    np.testing.assert_allclose(model.alpha_, 1 / 3)


def test_an_unknown_stage_leaves_the_combination_unknown() -> None:
    scores, correct = noisy()
    model = AlarmScore().fit(scores, correct)
    assert np.isnan(model.predict(np.array([[0.0, 0.0, np.nan]]))).all()


@pytest.mark.parametrize("deferral", [0, 4, 41, 100])
def test_a_percentage_outside_the_grid_is_refused(deferral: float) -> None:
    with pytest.raises(ValueError, match="outside the percentages"):
        AlarmScore(deferral)


def test_alarm_score_survives_json_exactly() -> None:
    scores, correct = noisy()
    model = AlarmScore().fit(scores, correct)
    again = AlarmScore.from_dict(json.loads(json.dumps(model.to_dict())))
    np.testing.assert_array_equal(again.predict(scores), model.predict(scores))
    assert again.to_dict() == model.to_dict()
