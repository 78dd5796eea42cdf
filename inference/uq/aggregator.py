"""The learned aggregator: a better label than the vote's, and P(error), from all that was said.

A logistic regression on the members' votes, the signals of their disagreement, and their texts; it
learns from experts' labels. It beats the vote where it has learned and can fall below it elsewhere:
`inference.uq.promotion` says where it may decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from inference.uq.answers import Answers, encode, label_set
from inference.uq.calibration import ErrorCalibrator
from inference.uq.crossfit import assign_folds, out_of_fold
from inference.uq.features import CaseFeatures
from inference.uq.types import Bools, Floats, Ints, Json, Objects

MIN_LABELS = 30
_SIGNAL_SCALE = 0.2  # of votes and signals in standard deviations, beside texts of length 1
_BLENDS = np.linspace(0, 1, 11)


@dataclass(frozen=True)
class Opinion:
    """What an aggregator makes of n cases: labels (n,), and P(error) (n,) in (0, 1).

    Without any vote the label is "" and P(error) NaN: the case is deferred.
    """

    labels: Objects
    error: Floats

    def take(self, rows: Ints | Bools) -> "Opinion":
        """The cases at `rows` (indices or mask)."""
        return Opinion(self.labels[rows], self.error[rows])


class LearnedAggregator:
    """Label and P(error) by logistic regression, blended with the shares of the vote.

    `penalty`: C of scikit-learn. `most`: labelled cases that are learned from at the most, drawn
    with the seed. After `fit` nothing changes any more, and `to_dict` rebuilds every opinion.

    Fitted attributes:
        classes_: the labels that it can give: experts' and members'.
        blend_: the share in [0, 1] that the vote has in the chances of the labels: the largest
            whose held-out log loss is within one standard error of the least.
        held_out_: Opinion on the labelled cases `rows_` (indices into those that `fit` was given),
            each by a model that had not seen it, P(error) cross-fitted too.
    """

    def __init__(
        self, *, penalty: float = 1.0, most: int = 5000, folds: int = 5, seed: int = 0
    ) -> None:
        self.penalty = penalty
        self.most = most
        self.folds = folds
        self.seed = seed

    def fit(self, answers: Answers, truth: Objects, weights: Floats | None = None) -> Self:
        """`truth` (n,): what experts said, "" or None = unlabelled.

        `weights` (n,) > 0 of the labels in the regression, such as `experts.capped_weights`; 1 by
        default. How likely a label was belongs not into them: which cases got one may depend on the
        answers, which the regression sees. ValueError below 30 labelled cases, or if all have one
        label.
        """
        self.rows_ = self._labelled(truth)
        answers, truth = answers.take(self.rows_), truth[self.rows_]
        weights = np.ones(len(truth)) if weights is None else weights[self.rows_]
        self.members_ = answers.members
        self.classes_ = label_set(truth, answers.labels)
        known, shares = encode(truth, self.classes_), vote_shares(answers, self.classes_)
        with threadpool_limits(1):
            self.features_ = CaseFeatures(self.classes_).fit(answers)
            seen = self.features_.transform(answers).matrix()
            self.regression_ = self._regress(seen, known, weights)
            self._judge(seen, shares, known, weights)
        return self

    def _judge(
        self, seen: "scipy.sparse.csr_matrix", shares: Floats, known: Ints, weights: Floats
    ) -> None:
        """Chooses the blend and calibrates P(error) on held-out chances."""

        def regress(train: Bools, test: Bools) -> Floats:
            model = self._regress(seen[train], known[train], weights[train])
            return model.chances(seen[test] @ model.weights_.T)

        def calibrate(train: Bools, test: Bools) -> Floats:
            model = ErrorCalibrator(kind=self.error_.kind_)
            return model.fit(doubt[train], wrong[train]).predict(doubt[test])

        numbers = assign_folds(known.astype(np.float64), self.folds, self.seed)
        learned = out_of_fold(numbers, regress)
        self.blend_ = _choose_blend(learned, shares, known)
        chances = _mix(learned, shares, self.blend_)
        doubt, wrong = _doubt(chances, shares), (chances.argmax(axis=1) != known).astype(np.float64)
        self.error_ = ErrorCalibrator(seed=self.seed).fit(doubt, wrong)
        error = out_of_fold(numbers, calibrate)
        self.held_out_ = Opinion(_named(chances, self.classes_), error)

    def _regress(
        self, seen: "scipy.sparse.csr_matrix", known: Ints, weights: Floats
    ) -> "_Regression":
        return _Regression(len(self.classes_), self.penalty).fit(seen, known, weights)

    def predict(self, answers: Answers) -> Opinion:
        """Label and P(error) of n cases; the members may come in any order."""
        shares = vote_shares(answers, self.classes_)
        chances = self._mixed(answers.ordered(self.members_), shares)
        error = self.error_.predict(_doubt(chances, shares))
        return Opinion(np.where(np.isfinite(error), _named(chances, self.classes_), ""), error)

    def chances(self, answers: Answers) -> Floats:
        """The labels' chances (n, classes), rows summing to 1, before P(error) is calibrated."""
        return self._mixed(answers.ordered(self.members_), vote_shares(answers, self.classes_))

    def _mixed(self, answers: Answers, shares: Floats) -> Floats:
        seen = self.features_.transform(answers)
        learned = self.regression_.chances(seen.times(self.regression_.weights_))
        return _mix(learned, shares, self.blend_)

    def to_dict(self, *, held_out: bool = True) -> Json:
        """Plain JSON, exact; `held_out=False` leaves the opinions on the learned cases out."""
        return {
            "penalty": self.penalty,
            "most": self.most,
            "folds": self.folds,
            "seed": self.seed,
            "members": list(self.members_),
            "classes": list(self.classes_),
            "blend": self.blend_,
            "features": self.features_.to_dict(),
            "regression": self.regression_.to_dict(),
            "error": self.error_.to_dict(),
            "rows": self.rows_.tolist() if held_out else [],
            "held_out": {
                "labels": self.held_out_.labels.tolist() if held_out else [],
                "error": self.held_out_.error.tolist() if held_out else [],
            },
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        model = cls(
            penalty=cast(float, data["penalty"]),
            most=cast(int, data["most"]),
            folds=cast(int, data["folds"]),
            seed=cast(int, data["seed"]),
        )
        model.members_ = tuple(cast(list[str], data["members"]))
        model.classes_ = tuple(cast(list[str], data["classes"]))
        model.blend_ = cast(float, data["blend"])
        model.features_ = CaseFeatures.from_dict(cast(Json, data["features"]), model.classes_)
        model.regression_ = _Regression.from_dict(cast(Json, data["regression"]))
        model.error_ = ErrorCalibrator.from_dict(cast(Json, data["error"]))
        model.rows_ = np.array(data["rows"], dtype=np.int64)
        held_out = cast(Json, data["held_out"])
        model.held_out_ = Opinion(
            np.array(held_out["labels"], dtype=object), np.array(held_out["error"], np.float64)
        )
        return model

    def _labelled(self, truth: Objects) -> Ints:
        rows = np.flatnonzero([bool(label) for label in truth])
        if len(rows) < MIN_LABELS:
            raise ValueError(f"{len(rows)} labelled cases; {MIN_LABELS} are needed to learn from")
        if len(set(truth[rows])) < 2:
            raise ValueError("experts gave all cases one label: there is nothing to learn")
        if len(rows) > self.most:
            rows = np.random.default_rng(self.seed).choice(rows, self.most, replace=False)
        return np.sort(rows)


def vote_shares(answers: Answers, classes: Sequence[str]) -> Floats:
    """The labels' shares of the votes cast (n, classes); a row of zeros without any vote."""
    votes = answers.labels[:, :, None] == np.array(classes, dtype=object)
    cast_votes = (answers.labels != "").sum(axis=1)[:, None]
    shares: Floats = votes.sum(axis=1) / np.maximum(cast_votes, 1)
    return shares


def _doubt(chances: Floats, shares: Floats) -> Floats:
    """Logit of 1 - the best label's chance (n,): Platt's curve then can leave it as it is.

    NaN without any vote.
    """
    doubt = np.clip(1 - chances.max(axis=1), 1e-6, 1 - 1e-6)
    return np.where(shares.any(axis=1), scipy.special.logit(doubt), np.nan)


def _named(chances: Floats, classes: Sequence[str]) -> Objects:
    labels: Objects = np.array(classes, dtype=object)[chances.argmax(axis=1)]
    return labels


def _mix(learned: Floats, shares: Floats, blend: float) -> Floats:
    return (1 - blend) * learned + blend * shares


def _choose_blend(learned: Floats, shares: Floats, known: Ints) -> float:
    rows = np.arange(len(known))
    losses = np.array(
        [-np.log(np.maximum(_mix(learned, shares, b)[rows, known], 1e-6)) for b in _BLENDS]
    )
    means = losses.mean(axis=1)
    best = int(means.argmin())
    errors = (losses - losses[best]).std(axis=1) / np.sqrt(len(known))
    return float(_BLENDS[means <= means[best] + errors].max())


class _Regression:
    """Multinomial logistic regression; a class that it never saw has no chance."""

    def __init__(self, classes: int, penalty: float) -> None:
        self.classes = classes
        self.penalty = penalty

    def fit(self, features: "scipy.sparse.csr_matrix", known: Ints, weights: Floats) -> Self:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=self.penalty, max_iter=500, tol=1e-3)
        model.fit(features, known, sample_weight=weights)
        self.weights_ = np.zeros((self.classes, features.shape[1]))
        self.offsets_ = np.full(self.classes, -np.inf)
        two = len(model.classes_) == 2  # scikit-learn then gives the second against the first
        halves = np.array([[-0.5], [0.5]])
        self.weights_[model.classes_] = halves * model.coef_ if two else model.coef_
        self.offsets_[model.classes_] = halves[:, 0] * model.intercept_ if two else model.intercept_
        return self

    def chances(self, products: Floats) -> Floats:
        """Chances (n, classes) from features times `weights_` (n, classes)."""
        chances: Floats = scipy.special.softmax(products + self.offsets_, axis=1)
        return chances

    def to_dict(self) -> Json:
        return {
            "penalty": self.penalty,
            "weights": self.weights_.tolist(),
            "offsets": [one if np.isfinite(one) else None for one in self.offsets_.tolist()],
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        offsets = cast(list[float | None], data["offsets"])
        model = cls(len(offsets), cast(float, data["penalty"]))
        model.weights_ = np.array(data["weights"], dtype=np.float64)
        model.offsets_ = np.array([-np.inf if one is None else one for one in offsets])
        return model
