"""How well a score orders cases by error, and how honest a probability is.

A score that is not finite counts as the most uncertain of all. Inside a group of tied scores errors
are spread evenly: the expected value over random tie-breaks, so no metric depends on the row order.
"""

from collections.abc import Callable

import numpy as np

from inference.uq.types import Floats, Ints, Marks


def rc_curve(scores: Floats, wrong: Marks) -> Floats:
    """Error rate among the accepted (n,) at coverage 1/n, 2/n, ..., 1 (Geifman & El-Yaniv 2017)."""
    order, groups = _ranked(scores)
    count = np.bincount(groups)
    spread = np.bincount(groups, wrong[order]) / count
    risk: Floats = np.cumsum(spread[groups]) / np.arange(1, len(scores) + 1)
    return risk


def aurc(scores: Floats, wrong: Marks) -> float:
    """Area under the risk-coverage curve, in [0, 1], lower is better."""
    return float(rc_curve(scores, wrong).mean())


def kept_accuracy(scores: Floats, wrong: Marks, deferral: float) -> float:
    """Accuracy among the accepted once the `deferral` in [0, 1) least certain are deferred."""
    kept = max(round((1 - deferral) * len(scores)), 1)
    return float(1 - rc_curve(scores, wrong)[kept - 1])


def auroc(scores: Floats, wrong: Marks) -> float:
    """P(a wrong case scores above a right one), ties half; NaN if all are right or all wrong."""
    from scipy.stats import rankdata

    ranks = rankdata(np.where(np.isfinite(scores), scores, np.inf))
    bad = np.asarray(wrong, dtype=bool)
    pairs = bad.sum() * (~bad).sum()
    if pairs == 0:
        return float("nan")
    return float((ranks[bad].sum() - bad.sum() * (bad.sum() + 1) / 2) / pairs)


def ece(probability: Floats, happened: Marks, bins: int = 10) -> float:
    """Expected calibration error in [0, 1] over `bins` of equal size (Naeini et al. 2015)."""
    return float(
        sum(
            len(rows) * abs(probability[rows].mean() - happened[rows].mean())
            for rows in reliability_bins(probability, bins)
        )
        / len(probability)
    )


def reliability_bins(probability: Floats, bins: int = 10) -> list[Ints]:
    """Row indices of each bin of about equal size, by rising probability; empty bins left out."""
    order = np.argsort(probability, kind="stable")
    return [rows for rows in np.array_split(order, bins) if len(rows)]


def brier(probability: Floats, happened: Marks) -> float:
    """Mean squared error of a probability, in [0, 1]."""
    return float(((probability - happened) ** 2).mean())


def bootstrap_interval(
    statistic: Callable[[Ints], float],
    n: int,
    *,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `statistic`, a function of row indices drawn with replacement."""
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(n, size=n)) for _ in range(draws)]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _ranked(scores: Floats) -> tuple[Ints, Ints]:
    """Order of the scores, and the tie group of each place in that order."""
    ranked = np.where(np.isfinite(scores), scores, np.inf)
    order = np.argsort(ranked, kind="stable")
    _, groups = np.unique(ranked[order], return_inverse=True)
    return order, groups
