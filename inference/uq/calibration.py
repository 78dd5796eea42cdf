"""From a score to P(error): a monotone curve fitted on labelled cases."""

from typing import Self, cast

import numpy as np
import scipy

from inference.uq.types import Floats, Ints, Json

MIN_LABELS = 30
_RIDGE = 0.01

Curve = dict[str, list[float]]


class ErrorCalibrator:
    """P(error) as a non-decreasing function of a score.

    Logistic, or isotonic where its Brier score in cross-validation is lower by more than a standard
    error: a curve of two numbers is steadier than one of many steps. With fewer than 30 labels, or
    fewer than two right or wrong, it is the overall rate. Probabilities stay 1 / (n + 2) away from
    0 and 1: n labels cannot show more. `kind` settles the choice beforehand.
    """

    def __init__(self, kind: str | None = None, *, folds: int = 5, seed: int = 0) -> None:
        self.kind = kind
        self.folds = folds
        self.seed = seed

    def fit(self, scores: Floats, wrong: Floats, weights: Floats | None = None) -> Self:
        """`scores` (n,), `wrong` (n,) 0 or 1, `weights` (n,) > 0 (1 / labelling probability).

        Cases with an unknown score, label or weight are left out. ValueError if none remains.
        """
        weights = np.ones(len(scores)) if weights is None else weights
        known = np.isfinite(scores) & np.isfinite(wrong) & np.isfinite(weights) & (weights > 0)
        if not known.any():
            raise ValueError("P(error) needs at least one labelled case with a known score")
        x, y, w = scores[known], wrong[known].astype(np.float64), weights[known]
        self.labels_ = len(x)
        self.kind_ = self.kind or self._choose(x, y, w)
        self.curve_ = _fit(self.kind_, x, y, w)
        return self

    def predict(self, scores: Floats) -> Floats:
        """P(error) (n,) in (0, 1), non-decreasing in the score; NaN stays NaN (-> defer)."""
        edge = 1 / (self.labels_ + 2)
        return np.clip(_evaluate(self.kind_, self.curve_, scores), edge, 1 - edge)

    def to_dict(self) -> Json:
        """Plain JSON, exact."""
        return {
            "asked": self.kind,
            "folds": self.folds,
            "seed": self.seed,
            "labels": self.labels_,
            "kind": self.kind_,
            "curve": self.curve_,
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        model = cls(
            cast(str | None, data["asked"]),
            folds=cast(int, data["folds"]),
            seed=cast(int, data["seed"]),
        )
        model.labels_ = cast(int, data["labels"])
        model.kind_ = cast(str, data["kind"])
        model.curve_ = cast(Curve, data["curve"])
        return model

    def _choose(self, x: Floats, y: Floats, w: Floats) -> str:
        from sklearn.model_selection import StratifiedKFold

        rarer = int(min(y.sum(), len(y) - y.sum()))
        if len(y) < MIN_LABELS or rarer < 2 or np.ptp(x) == 0:
            return "constant"
        splitter = StratifiedKFold(min(self.folds, rarer), shuffle=True, random_state=self.seed)
        folds = list(splitter.split(x, y))
        saved = w * (_losses("logistic", x, y, w, folds) - _losses("isotonic", x, y, w, folds))
        return "isotonic" if saved.mean() > saved.std() / np.sqrt(len(y)) else "logistic"


def _losses(kind: str, x: Floats, y: Floats, w: Floats, folds: list[tuple[Ints, Ints]]) -> Floats:
    """Squared errors (n,) of the held-out probabilities."""
    held_out = np.empty(len(y))
    for train, test in folds:
        held_out[test] = _evaluate(kind, _fit(kind, x[train], y[train], w[train]), x[test])
    return (held_out - y) ** 2


def _fit(kind: str, x: Floats, y: Floats, w: Floats) -> Curve:
    if kind == "isotonic":
        return _fit_isotonic(x, y, w)
    if kind == "logistic":
        return _fit_logistic(x, y, w)
    return {"rate": [float(np.average(y, weights=w))]}


def _evaluate(kind: str, curve: Curve, scores: Floats) -> Floats:
    if kind == "isotonic":
        return np.interp(scores, curve["knots"], curve["values"])
    if kind == "logistic":
        logistic: Floats = scipy.special.expit(curve["slope"][0] * scores + curve["intercept"][0])
        return logistic
    return np.where(np.isfinite(scores), curve["rate"][0], np.nan)


def _fit_isotonic(x: Floats, y: Floats, w: Floats) -> Curve:
    """Centred: linear between the middles of the steps, so that it keeps the scores' order.

    Oron & Flournoy 2017, doi 10.1080/19466315.2017.1286256.
    """
    distinct, place = np.unique(x, return_inverse=True)
    weight = np.bincount(place, w)
    steps = scipy.optimize.isotonic_regression(np.bincount(place, w * y) / weight, weights=weight)
    starts = steps.blocks[:-1]
    middles = np.add.reduceat(weight * distinct, starts) / np.add.reduceat(weight, starts)
    return {"knots": middles.tolist(), "values": steps.x[starts].tolist()}


def _fit_logistic(x: Floats, y: Floats, w: Floats) -> Curve:
    """Platt's curve by Newton's method; flat at the overall rate where it would fall."""
    rate = float(np.average(y, weights=w))
    flat: Curve = {
        "slope": [0.0],
        "intercept": [float(np.clip(scipy.special.logit(rate), -40, 40))],
    }
    centre, scale = float(x.mean()), float(x.std())
    if scale == 0 or np.ptp(y) == 0:
        return flat
    features = np.column_stack([(x - centre) / scale, np.ones(len(x))])
    slope, intercept = _newton(
        features, y, w / w.mean(), np.array([0.0, scipy.special.logit(rate)])
    )
    if slope <= 0:
        return flat
    return {"slope": [slope / scale], "intercept": [intercept - slope * centre / scale]}


def _newton(features: Floats, y: Floats, w: Floats, start: Floats) -> tuple[float, float]:
    """Slope and intercept; a slight ridge on the slope keeps separable cases finite."""
    ridge = np.array([_RIDGE, 0.0])
    beta = start
    for _ in range(100):
        p = scipy.special.expit(features @ beta)
        gradient = features.T @ (w * (p - y)) + ridge * beta
        curvature = (features.T * (w * p * (1 - p))) @ features + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        beta = beta - step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[0]), float(beta[1])
