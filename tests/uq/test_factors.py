import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.uq.factors import fit_factors, fit_factors_als, residual
from inference.uq.types import Floats


def ratings(n: int = 40, pairs: int = 6, rank: int = 2, noise: float = 0.0) -> Floats:
    rng = np.random.default_rng(5)
    exact: Floats = rng.random((n, rank)) @ rng.random((rank, pairs))
    return exact + noise * rng.normal(size=exact.shape)


def span(factors: Floats) -> Floats:
    basis = np.linalg.qr(factors)[0]
    projector: Floats = basis @ basis.T
    return projector


def test_exact_low_rank_leaves_no_residual() -> None:
    values = ratings()
    assert residual(values, fit_factors(values, 2)).max() < 1e-25


def test_no_other_subspace_explains_more() -> None:
    values = ratings(noise=0.2)
    best = residual(values, fit_factors(values, 2)).sum()
    rng = np.random.default_rng(1)
    for _ in range(50):
        other = fit_factors(values, 2) + 0.1 * rng.normal(size=(6, 2))
        assert residual(values, other).sum() >= best


@pytest.mark.parametrize("rank", [0, 6, 7])
@pytest.mark.parametrize("fit", [fit_factors, fit_factors_als])
def test_as_many_factors_as_pairs_are_refused(fit: object, rank: int) -> None:
    with pytest.raises(ValueError, match="K >= J every residual is zero"):
        fit(ratings(), rank)  # type: ignore[operator]


def test_too_few_complete_cases_are_refused() -> None:
    values = ratings()
    values[1:, 0] = np.nan
    with pytest.raises(ValueError, match="at least 2 complete cases, got 1"):
        fit_factors(values, 2)


def test_incomplete_cases_do_not_change_the_exact_factors() -> None:
    values = ratings(noise=0.1)
    gaps = np.vstack([values, np.where(np.eye(6), np.nan, values[:6])])
    np.testing.assert_array_equal(fit_factors(gaps, 2), fit_factors(values, 2))


def test_least_squares_finds_the_same_span_when_nothing_is_missing() -> None:
    values = ratings(n=400, noise=0.02)
    als = span(fit_factors_als(values, 2, ridge=1e-6, rounds=200))
    np.testing.assert_allclose(als, span(fit_factors(values, 2)), atol=0.01)


def test_least_squares_recovers_the_span_with_a_third_missing() -> None:
    values = ratings(n=400)
    mask = np.random.default_rng(2).random(values.shape) < 1 / 3
    als = span(fit_factors_als(np.where(mask, np.nan, values), 2, ridge=1e-3, rounds=300))
    np.testing.assert_allclose(als, span(fit_factors(values, 2)), atol=0.05)


def test_residual_of_a_case_with_gaps_uses_what_is_there() -> None:
    factors = np.ones((3, 1))
    values = np.array([[1.0, 3.0, np.nan], [1.0, np.nan, np.nan], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(residual(values, factors), [1.0, np.nan, 0.0], atol=1e-12)


def test_residual_is_unknown_without_a_spare_dimension() -> None:
    factors = fit_factors(ratings(), 2)
    values = ratings()[:1]
    values[0, 2:] = np.nan
    assert np.isnan(residual(values, factors)).all()


@given(st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=30)
def test_more_factors_never_explain_less(rank: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((30, 6))
    fewer = residual(values, fit_factors(values, rank - 1)) if rank > 1 else (values**2).mean(1)
    assert (residual(values, fit_factors(values, rank)) <= fewer + 1e-12).all()
    assert (residual(values, fit_factors(values, rank)) >= 0).all()
