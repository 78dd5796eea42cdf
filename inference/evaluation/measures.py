"""Numbers about answers against the truth that `inference.uq.metrics` does not have."""

from collections.abc import Callable, Sequence

import numpy as np

from inference.uq import metrics
from inference.uq.types import Floats, Ints, Objects

DRAWS = 1000


def macro_f1(truth: Objects, predicted: Objects) -> float:
    """Mean F1 in [0, 1] over the labels that truly occur."""
    scores = []
    for label in sorted(set(truth)):
        hits = int(((truth == label) & (predicted == label)).sum())
        scores.append(2 * hits / int((truth == label).sum() + (predicted == label).sum()))
    return float(np.mean(scores))


def balanced_accuracy(truth: Objects, predicted: Objects) -> float:
    """Mean recall in [0, 1] over the labels that truly occur; NaN if that is only one."""
    labels = sorted(set(truth))
    if len(labels) < 2:
        return float("nan")
    right = truth == predicted
    return float(np.mean([right[truth == label].mean() for label in labels]))


def abnormality(sides: Floats, logprobs: Floats) -> Floats:
    """P(abnormal) (n,) in [0, 1] as the members' answers tell it, each weighed by its certainty.

    The mean over the members of (1 + s c) / 2, where s is 1 for a label on the abnormal side, -1
    for one on the normal side and 0 for none, and c = exp(mean log-probability a token of the
    answer), 1 where that is unknown. `sides` (n, M): s; `logprobs` (n, M) <= 0 or NaN.
    """
    certainty = np.exp(np.nan_to_num(logprobs, nan=0.0))
    mean: Floats = ((1 + sides * certainty) / 2).mean(axis=1)
    return mean


def deferred_shares(scores: Floats, deferral: float) -> Floats:
    """The chance (n,) of each case to be among the `deferral` in [0, 1) least certain.

    It is 1 or 0, except inside the group of equal scores through which the line goes: there it is
    the expected value over random tie-breaks. A score that is not finite is the least certain.
    """
    ranked = np.where(np.isfinite(scores), scores, np.inf)
    deferred = len(scores) - max(round((1 - deferral) * len(scores)), 1)
    shares = np.zeros(len(scores))
    for value in np.unique(ranked)[::-1]:
        tied = ranked == value
        shares[tied] = min(deferred / tied.sum(), 1)
        deferred -= int(min(deferred, tied.sum()))
    return shares


def clustered_interval(
    statistic: Callable[[Ints], float], groups: Sequence[str]
) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of `statistic`, a function of row indices.

    Whole groups are drawn with replacement, seeded; a row without a group ("") is one of its own.
    None below two groups, or where the statistic of all rows is NaN.
    """
    clusters = _clusters(groups)
    if len(clusters) < 2 or np.isnan(statistic(np.arange(len(groups)))):
        return None

    def of_drawn(drawn: Ints) -> float:
        return statistic(np.concatenate([clusters[index] for index in drawn]))

    return metrics.bootstrap_interval(of_drawn, len(clusters), draws=DRAWS)


def _clusters(groups: Sequence[str]) -> list[Ints]:
    names = np.array([group or f"\0{row}" for row, group in enumerate(groups)], dtype=object)
    _, places = np.unique(names, return_inverse=True)
    order = np.argsort(places, kind="stable")
    return np.split(order, np.cumsum(np.bincount(places))[:-1])
