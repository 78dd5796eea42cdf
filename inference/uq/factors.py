"""The factor matrix V of the pairwise similarities, and what it leaves unexplained.

ALARM factorises the matrix of similarities (cases x pairs) by probabilistic matrix factorisation.
Without missing entries the best rank-K factors are the top eigenvectors of the J x J Gram matrix,
which costs microseconds; with missing entries, alternating least squares.
"""

import numpy as np

from inference.uq.types import Bools, Floats


def fit_factors(similarities: Floats, rank: int) -> Floats:
    """Best rank-K subspace of the complete rows of `similarities` (n, J): V (J, K).

    Its columns are orthonormal; not centred, as published. Each column's sign makes its sum
    positive. Raises ValueError for K >= J (every residual would be zero) and for fewer than K
    complete rows.
    """
    _check_rank(rank, similarities.shape[1])
    complete = similarities[np.isfinite(similarities).all(axis=1)]
    if len(complete) < rank:
        raise ValueError(f"{rank} factors need at least {rank} complete cases, got {len(complete)}")
    _, vectors = np.linalg.eigh(complete.T @ complete)
    top: Floats = vectors[:, ::-1][:, :rank]
    return top * np.where(top.sum(axis=0) < 0, -1.0, 1.0)


def fit_factors_als(
    similarities: Floats, rank: int, *, ridge: float = 0.1, rounds: int = 30, seed: int = 0
) -> Floats:
    """Factors V (J, K) when entries are missing (NaN): ridge-penalised alternating least squares.

    Deterministic for a seed. V spans the same kind of subspace as `fit_factors`; its columns are
    not orthonormal. Raises ValueError for K >= J.
    """
    _check_rank(rank, similarities.shape[1])
    observed = np.isfinite(similarities)
    values = np.where(observed, similarities, 0.0)
    mask = observed.astype(np.float64)
    start = np.random.default_rng(seed).normal(scale=1.0 / rank, size=(similarities.shape[1], rank))
    factors: Floats = start + 0.1
    for _ in range(rounds):
        cases = _solve_rows(values, mask, factors, ridge)
        factors = _solve_rows(values.T, mask.T, cases, ridge)
    return factors


def residual(similarities: Floats, factors: Floats) -> Floats:
    """Mean squared distance of each row of `similarities` (n, J) from the span of `factors` (J, K).

    Returns (n,) >= 0. A row with gaps is judged on its observed pairs; NaN when fewer than two are
    observed or when the factors explain any such row completely (no spare dimension).
    """
    observed = np.isfinite(similarities)
    out = np.full(len(similarities), np.nan)
    for pattern in _patterns(observed):
        basis = _orthonormal(factors[pattern])
        if pattern.sum() < 2 or basis.shape[1] >= pattern.sum():
            continue
        rows = (observed == pattern).all(axis=1)
        part = similarities[np.ix_(rows, pattern)]
        out[rows] = ((part - part @ basis @ basis.T) ** 2).mean(axis=1)
    return out


def _check_rank(rank: int, columns: int) -> None:
    if not 1 <= rank < columns:
        raise ValueError(
            f"the number of factors K must satisfy 1 <= K < J = {columns} pairs, got {rank}: "
            "with K >= J every residual is zero"
        )


def _solve_rows(values: Floats, mask: Floats, factors: Floats, ridge: float) -> Floats:
    """Ridge regression of each row's observed entries on the factors."""
    normal = np.einsum("nj,jk,jl->nkl", mask, factors, factors)
    normal += ridge * np.eye(factors.shape[1])
    solution: Floats = np.linalg.solve(normal, (values @ factors)[..., None])[..., 0]
    return solution


def _patterns(observed: Bools) -> Bools:
    """The distinct rows; the usual case, nothing missing, needs no sorting."""
    if observed.all():
        return observed[:1]
    patterns: Bools = np.unique(observed, axis=0)
    return patterns


def _orthonormal(vectors: Floats) -> Floats:
    """Orthonormal basis of the columns, of numerical rank."""
    left, singular, _ = np.linalg.svd(vectors, full_matrices=False)
    tolerance = singular.max(initial=0.0) * max(vectors.shape) * np.finfo(np.float64).eps
    basis: Floats = left[:, : int((singular > tolerance).sum())]
    return basis
