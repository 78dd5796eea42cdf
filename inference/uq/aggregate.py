"""ALARM's combination (arXiv 2512.03101): stage scores, weighed for a deferral percentage."""

from collections.abc import Sequence
from itertools import product
from typing import Self, cast

import numpy as np
import scipy

from inference.uq.types import Floats, Json

PERCENTAGES = (5, 10, 15, 20, 25, 30, 35, 40)
MIN_LABELS = 30


class Standardiser:
    """z = (x - mean) / standard deviation (n - 1), with the moments of the cases it was fitted on.

    A column that never varied becomes 0; NaN stays NaN.
    """

    def fit(self, scores: Floats) -> Self:
        """`scores` (n, q), NaN ignored. Raises ValueError if a column has fewer than two values."""
        if (np.isfinite(scores).sum(axis=0) < 2).any():
            raise ValueError("each score needs at least two known values to be standardised")
        self.mean_: Floats = np.nanmean(scores, axis=0)
        self.std_: Floats = np.nanstd(scores, axis=0, ddof=1)
        return self

    def transform(self, scores: Floats) -> Floats:
        """z scores (n, q)."""
        z: Floats = (scores - self.mean_) / np.where(self.std_ > 1e-12, self.std_, np.inf)
        return z


def simplex_grid(scores: int, step: float = 0.1) -> Floats:
    """Every weight vector (g, scores) >= 0 that sums to 1 in multiples of `step`."""
    parts = round(1 / step)
    grid = [c for c in product(range(parts + 1), repeat=scores) if sum(c) == parts]
    return np.array(grid, dtype=np.float64) / parts


def choose_weights(
    z: Floats, correct: Floats, percentages: Sequence[float] = PERCENTAGES, step: float = 0.1
) -> Floats:
    """The simplex weights that keep most accuracy, for each deferral percentage: (len, q).

    `z` (n, q) standardised, finite; `correct` (n,) 0 or 1. Kept are the scores up to the percentile
    100 - P, ties included (the published rule). Equally good weights are averaged.
    """
    grid = simplex_grid(z.shape[1], step)
    kept = np.array([_kept_accuracy(z @ weights, correct, percentages) for weights in grid])
    best = kept >= kept.max(axis=0) - 1e-12
    return np.array([grid[column].mean(axis=0) for column in best.T])


def smooth_weights(weights: Floats, sigma: float = 1.3) -> Floats:
    """Gaussian smoothing over the percentages (rows); each row sums to 1 again."""
    smooth: Floats = scipy.ndimage.gaussian_filter1d(weights, sigma=sigma, axis=0)
    rows: Floats = smooth / smooth.sum(axis=1, keepdims=True)
    return rows


def _kept_accuracy(score: Floats, correct: Floats, percentages: Sequence[float]) -> list[float]:
    limits = np.percentile(score, [100 - p for p in percentages])
    return [float(correct[score <= limit].mean()) for limit in limits]


class AlarmScore:
    """S = alpha . z over the stages' scores, alpha chosen for a deferral percentage.

    Give `fit` out-of-fold scores: in-sample ones make the weights and moments too optimistic.
    With fewer than 30 labelled cases, or none right or none wrong, the weights are equal.
    """

    def __init__(
        self, deferral: float = 20, percentages: Sequence[float] = PERCENTAGES, sigma: float = 1.3
    ) -> None:
        if not min(percentages) <= deferral <= max(percentages):
            raise ValueError(f"deferral {deferral} % lies outside the percentages {percentages}")
        self.deferral = deferral
        self.percentages = tuple(percentages)
        self.sigma = sigma

    def fit(self, scores: Floats, correct: Floats) -> Self:
        """`scores` (n, q), `correct` (n,): 1 right, 0 wrong, NaN unlabelled."""
        self.standardiser_ = Standardiser().fit(scores)
        self.raw_weights_ = self._weights(scores, correct)
        self.weights_ = smooth_weights(self.raw_weights_, self.sigma)
        nearest = np.abs(np.array(self.percentages) - self.deferral).argmin()
        self.alpha_: Floats = self.weights_[nearest]
        return self

    def predict(self, scores: Floats) -> Floats:
        """The combined score (n,), in standard deviations; NaN where a stage is unknown."""
        combined: Floats = self.standardiser_.transform(scores) @ self.alpha_
        return combined

    def to_dict(self) -> Json:
        """Plain JSON, exact."""
        return {
            "deferral": self.deferral,
            "percentages": list(self.percentages),
            "sigma": self.sigma,
            "mean": self.standardiser_.mean_.tolist(),
            "std": self.standardiser_.std_.tolist(),
            "raw_weights": self.raw_weights_.tolist(),
            "weights": self.weights_.tolist(),
            "alpha": self.alpha_.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        percentages = cast(list[float], data["percentages"])
        score = cls(cast(float, data["deferral"]), percentages, cast(float, data["sigma"]))
        score.standardiser_ = Standardiser()
        score.standardiser_.mean_ = np.array(data["mean"], dtype=np.float64)
        score.standardiser_.std_ = np.array(data["std"], dtype=np.float64)
        score.raw_weights_ = np.array(data["raw_weights"], dtype=np.float64)
        score.weights_ = np.array(data["weights"], dtype=np.float64)
        score.alpha_ = np.array(data["alpha"], dtype=np.float64)
        return score

    def _weights(self, scores: Floats, correct: Floats) -> Floats:
        known = np.isfinite(scores).all(axis=1) & np.isfinite(correct)
        if known.sum() < MIN_LABELS or len(np.unique(correct[known])) < 2:
            return np.full((len(self.percentages), scores.shape[1]), 1 / scores.shape[1])
        z = self.standardiser_.transform(scores[known])
        return choose_weights(z, correct[known], self.percentages)
