import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from inference.uq.calibration import ErrorCalibrator
from inference.uq.metrics import ece
from inference.uq.types import Floats


def drawn(n: int, *, stepped: bool = False, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Scores, errors, and the true P(error): a logistic curve or one step."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    chance = np.where(scores > 0.8, 0.6, 0.1) if stepped else 1 / (1 + np.exp(2 - 1.5 * scores))
    return scores, (rng.random(n) < chance).astype(np.float64), chance


@pytest.mark.parametrize("stepped", [True, False])
def test_probabilities_come_near_the_truth(stepped: bool) -> None:
    scores, wrong, _ = drawn(2000, stepped=stepped)
    model = ErrorCalibrator().fit(scores, wrong)
    fresh, errors, chance = drawn(5000, stepped=stepped, seed=1)
    probability = model.predict(fresh)
    assert np.abs(probability - chance).mean() < 0.04
    assert ece(probability, errors) < 0.04


def test_the_curve_is_chosen_by_what_it_predicts() -> None:
    assert ErrorCalibrator().fit(*drawn(2000, stepped=True)[:2]).kind_ == "isotonic"
    assert ErrorCalibrator().fit(*drawn(300)[:2]).kind_ == "logistic"


@given(st.integers(0, 10_000), st.sampled_from(["isotonic", "logistic", None]))
@settings(max_examples=40)
def test_probability_never_falls_with_the_score(seed: int, kind: str | None) -> None:
    rng = np.random.default_rng(seed)
    scores, wrong = rng.normal(size=60).round(1), (rng.random(60) < 0.3).astype(np.float64)
    grid = np.linspace(-5, 5, 101)
    probability = ErrorCalibrator(kind).fit(scores, wrong).predict(grid)
    assert (np.diff(probability) >= 0).all()
    assert ((probability > 0) & (probability < 1)).all()


def test_isotonic_keeps_the_order_between_its_steps() -> None:
    scores, wrong, _ = drawn(500)
    model = ErrorCalibrator("isotonic").fit(scores, wrong)
    inner = np.linspace(model.curve_["knots"][0], model.curve_["knots"][-1], 50)
    assert (np.diff(model.predict(inner)[1:-1]) > 0).all()


def test_a_score_of_the_wrong_sign_says_nothing() -> None:
    scores, wrong, _ = drawn(500)
    model = ErrorCalibrator("logistic").fit(-scores, wrong)
    np.testing.assert_allclose(model.predict(np.array([-3.0, 3.0])), wrong.mean())


@pytest.mark.parametrize("spread", [0.01, 1.0, 300.0])
def test_logistic_curve_is_that_of_scikit_learn(spread: float) -> None:
    scores, wrong, _ = drawn(400)
    weights = np.random.default_rng(3).uniform(0.5, 1.5, 400)
    weights /= weights.mean()
    model = ErrorCalibrator("logistic").fit(spread * scores + 7, wrong, weights)
    z = (scores - scores.mean()) / scores.std()
    other = LogisticRegression(C=100, tol=1e-10).fit(z[:, None], wrong, weights)
    expected = np.clip(other.predict_proba(z[:, None])[:, 1], 1 / 402, 401 / 402)
    np.testing.assert_allclose(model.predict(spread * scores + 7), expected, atol=1e-6)


def test_separable_cases_stay_finite() -> None:
    scores = np.linspace(0, 1, 200)
    model = ErrorCalibrator("logistic").fit(scores, (scores > 0.5).astype(np.float64))
    probability = model.predict(scores)
    assert np.isfinite(probability).all()
    assert probability[0] < 0.01 < 0.99 < probability[-1]


def test_few_labels_give_the_rate_alone() -> None:
    model = ErrorCalibrator().fit(np.arange(20.0), np.array([1.0] * 5 + [0.0] * 15))
    assert model.kind_ == "constant"
    np.testing.assert_allclose(model.predict(np.array([0.0, 99.0])), 0.25)


def test_no_error_seen_is_not_no_error() -> None:
    model = ErrorCalibrator().fit(np.arange(98.0), np.zeros(98))
    np.testing.assert_allclose(model.predict(np.array([0.0])), 0.01)


def test_weights_undo_an_uneven_choice_of_labels() -> None:
    scores, wrong, chance = drawn(20_000)
    probability = np.where(scores > 0, 1.0, 0.1)
    kept = np.random.default_rng(9).random(len(scores)) < probability
    model = ErrorCalibrator("logistic").fit(scores[kept], wrong[kept], 1 / probability[kept])
    assert np.abs(model.predict(scores) - chance).mean() < 0.02
    doubled = ErrorCalibrator().fit(scores[:10], wrong[:10], np.repeat([3.0, 1.0], 5))
    expected = (3 * wrong[:5].sum() + wrong[5:10].sum()) / 20
    np.testing.assert_allclose(doubled.predict(np.zeros(1)), np.clip(expected, 1 / 12, 11 / 12))


def test_unlabelled_and_unknown_cases_are_left_out() -> None:
    scores, wrong, _ = drawn(200)
    more = np.append(scores, [np.nan, 0.0])
    model = ErrorCalibrator().fit(more, np.append(wrong, [1.0, np.nan]))
    assert model.labels_ == 200
    assert np.isnan(model.predict(np.array([np.nan]))).all()
    with pytest.raises(ValueError, match="at least one labelled case"):
        ErrorCalibrator().fit(scores, np.full(200, np.nan))


@pytest.mark.parametrize("kind", ["isotonic", "logistic", "constant", None])
def test_calibrator_survives_json_exactly(kind: str | None) -> None:
    scores, wrong, _ = drawn(300)
    model = ErrorCalibrator(kind).fit(scores, wrong)
    again = ErrorCalibrator.from_dict(json.loads(json.dumps(model.to_dict())))
    np.testing.assert_array_equal(again.predict(scores), model.predict(scores))
    assert again.to_dict() == model.to_dict()
