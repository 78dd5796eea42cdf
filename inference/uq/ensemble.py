"""The way in: label-free scores of an ensemble's answers, and a `Calibration` fitted on labels."""

from collections.abc import Mapping
from typing import Self, cast

import numpy as np
from threadpoolctl import threadpool_limits

from inference.uq import scores as score
from inference.uq.aggregate import AlarmScore
from inference.uq.answers import Answers, encode, label_set, vote
from inference.uq.calibration import MIN_LABELS, ErrorCalibrator
from inference.uq.crossfit import Scores, Window, assign_folds, out_of_fold
from inference.uq.similarity import lexical_similarity, similarity_matrix
from inference.uq.stages import StageScores
from inference.uq.types import Bools, Floats, Ints, Json, Objects

STAGE_METHODS = {"comprehension": "s1", "analysis": "s2", "reflection": "s3"}
MIN_CASES = 10
_FORMAT = 1
_LEVEL_QUANTILES = (0.5, 0.8)


def label_free_scores(answers: Answers) -> Scores:
    """Every score that needs neither labels nor a calibration: method -> (n,).

    vote_entropy and von_neumann [0, log M], the second of the reasonings; cold_start, the first
    plus a tenth of the second; semantic_entropy [0, log M], of the reasonings' meanings;
    comprehension_level and analysis_level [0, 2], 1 - mean cosine of the descriptions and of the
    reasonings; eigv >= 1, eccentricity >= 0 and degree [0, 1), graph scores of the reasonings;
    lexical [0, 1], 1 - mean ROUGE-L of the reasonings; reflection_flips [0, 1], share of members
    that changed their label; sampling [0, log S], how much members disagree with themselves;
    logprob >= 0, minus the mean log-probability a token. Higher = less certain, NaN = nothing to
    go by.
    """
    classes = label_set(answers.labels)
    labels = encode(answers.labels, classes)
    alike = similarity_matrix(answers.reasonings)
    told = np.asarray(np.isfinite(answers.reasonings).all(axis=2))
    both = (answers.labels != "") & (answers.reflected != "")
    flips = answers.labels != answers.reflected
    entropy, spectral = score.vote_entropy(labels), score.von_neumann_entropy(alike)
    return {
        "vote_entropy": entropy,
        "von_neumann": spectral,
        "cold_start": score.cold_start(entropy, spectral),
        "comprehension_level": score.disagreement_level(answers.descriptions),
        "analysis_level": score.disagreement_level(answers.reasonings),
        "eigv": score.eigenvalue_sum(alike),
        "eccentricity": score.eccentricity(alike),
        "degree": score.degree(alike),
        "semantic_entropy": score.semantic_entropy(alike, told),
        "lexical": 1 - lexical_similarity(answers.reasoning_texts),
        "sampling": score.sampling_entropy(encode(answers.samples, classes)),
        "reflection_flips": score.mean_known(np.where(both, flips, np.nan)),
        "logprob": -score.mean_known(answers.logprobs),
    }


class Calibration:
    """All that is learned about one ensemble in one domain: stage scores, combination, P(error).

    `rank`: factors K in 1 .. J - 1 (three members: J = 3). `deferral`: percentage in 5 .. 40 that
    the combination is tuned for. Deterministic for a `seed`; after `fit` nothing changes any more,
    and `to_dict` rebuilds every decision exactly.
    """

    def __init__(
        self,
        rank: int = 1,
        deferral: float = 20,
        *,
        folds: int = 5,
        seed: int = 0,
        most: int = 20_000,
    ) -> None:
        self.rank = rank
        self.deferral = deferral
        self.folds = folds
        self.seed = seed
        self.most = most

    def fit(
        self, answers: Answers, correct: Floats | None = None, weights: Floats | None = None
    ) -> Self:
        """`correct` (n,): is the vote right? 1, 0, or NaN = unlabelled; None = no labels at all.

        `weights` (n,): 1 / probability with which a case was labelled; they enter P(error), not
        the combination. Below 30 labels, or with none right or none wrong, the stages weigh the
        same and P(error) stays unknown. Raises ValueError for fewer than 10 cases, K >= J, or odd
        input. Of more than `most` cases that many are drawn with the seed.
        """
        n = len(answers)
        correct = np.full(n, np.nan) if correct is None else np.asarray(correct, np.float64)
        weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
        _check(n, correct, weights)
        if n > self.most:
            drawn = np.random.default_rng(self.seed).choice(n, self.most, replace=False)
            rows = np.sort(drawn)
            answers, correct, weights = answers.take(rows), correct[rows], weights[rows]
        # Thousands of small products: threads would only wait for one another.
        with threadpool_limits(1):
            return self._fit(answers, correct, weights)

    def scores(self, answers: Answers) -> Scores:
        """Every score: the label-free ones, s1, s2, s3 and alarm; method -> (n,).

        Higher = less certain; NaN where a missing member or text leaves a score unknown. The
        members may come in any order; other members raise ValueError.
        """
        answers = answers.ordered(self.members_)
        stages = self.stages_.predict(answers)
        return label_free_scores(answers) | _named(stages, self.alarm_.predict(stages))

    def error_probability(self, method: str, scores: Floats) -> Floats:
        """P(error) (n,) of these scores of `method`; NaN if unknown, or without enough labels."""
        if method not in self.cuts_:
            raise ValueError(f"no score is called {method!r}; there are {sorted(self.cuts_)}")
        if method not in self.errors_:
            return np.full(len(scores), np.nan)
        return self.errors_[method].predict(scores)

    def levels(self, scores: Mapping[str, Floats]) -> dict[str, Objects]:
        """method -> (n,) of "low", "medium", "high"; "unknown" where the score is.

        Low is up to the calibration's median, medium up to its 80 % quantile.
        """
        return {method: _levels(values, self.cuts_[method]) for method, values in scores.items()}

    def stage_levels(self, scores: Mapping[str, Floats]) -> dict[str, Objects]:
        """The same for the stages by their names: comprehension, analysis, reflection."""
        levels = self.levels({method: scores[method] for method in STAGE_METHODS.values()})
        return {stage: levels[method] for stage, method in STAGE_METHODS.items()}

    def least_sure_stage(self, scores: Mapping[str, Floats]) -> Objects:
        """The stage (n,) that stands out most, in standard deviations; "" if one is unknown."""
        stages = np.column_stack([scores[method] for method in STAGE_METHODS.values()])
        z = self.alarm_.standardiser_.transform(stages)
        names = np.array(list(STAGE_METHODS), dtype=object)[np.nan_to_num(z).argmax(axis=1)]
        return np.where(np.isfinite(z).all(axis=1), names, "")

    def to_dict(self, *, window: bool = True) -> Json:
        """Plain JSON, exact; `window=False` leaves the fitted cases' scores out."""
        kept = self.window_.to_dict() if window and self.window_ else None
        return {
            "format": _FORMAT,
            "rank": self.rank,
            "deferral": self.deferral,
            "folds": self.folds,
            "seed": self.seed,
            "members": list(self.members_),
            "stages": self.stages_.to_dict(),
            "alarm": self.alarm_.to_dict(),
            "cuts": {method: list(cuts) for method, cuts in self.cuts_.items()},
            "errors": {method: model.to_dict() for method, model in self.errors_.items()},
            "window": kept,
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`. Raises ValueError for a format this version does not read."""
        if data.get("format") != _FORMAT:
            raise ValueError(f"a calibration of format {data.get('format')} cannot be read")
        model = cls(
            cast(int, data["rank"]),
            cast(float, data["deferral"]),
            folds=cast(int, data["folds"]),
            seed=cast(int, data["seed"]),
        )
        model.members_ = tuple(cast(list[str], data["members"]))
        model.stages_ = StageScores.from_dict(cast(Json, data["stages"]))
        model.classes_ = model.stages_.classes
        model.alarm_ = AlarmScore.from_dict(cast(Json, data["alarm"]))
        cuts = cast(dict[str, list[float]], data["cuts"])
        model.cuts_ = {method: (low, high) for method, (low, high) in cuts.items()}
        errors = cast(dict[str, Json], data["errors"])
        model.errors_ = {m: ErrorCalibrator.from_dict(one) for m, one in errors.items()}
        window = cast(Json | None, data["window"])
        model.window_ = Window.from_dict(window) if window else None
        return model

    def _fit(self, answers: Answers, correct: Floats, weights: Floats) -> Self:
        folds = assign_folds(correct, self.folds, self.seed)
        self.members_ = answers.members
        self.classes_ = label_set(answers.labels, answers.reflected)
        self.stages_ = StageScores(self.classes_, self.rank).fit(answers)
        scored = self._fit_scores(answers, correct, folds)
        self.cuts_ = {method: _cuts(values) for method, values in scored.items()}
        probabilities = self._fit_errors(scored, correct, weights, folds)
        labels = tuple(vote(answers)[0].tolist())
        self.window_: Window | None = Window(scored, probabilities, correct, weights, labels)
        return self

    def _fit_scores(self, answers: Answers, correct: Floats, folds: Ints) -> Scores:
        """Fits the combination on out-of-fold stage scores; returns every score, out of fold."""

        def stages_of(train: Bools, test: Bools) -> Floats:
            model = StageScores(self.classes_, self.rank).fit(answers.take(train))
            return model.predict(answers.take(test))

        def alarm_of(train: Bools, test: Bools) -> Floats:
            model = AlarmScore(self.deferral).fit(stages[train], correct[train])
            return model.predict(stages[test])

        stages = out_of_fold(folds, stages_of)
        self.alarm_ = AlarmScore(self.deferral).fit(stages, correct)
        return label_free_scores(answers) | _named(stages, out_of_fold(folds, alarm_of))

    def _fit_errors(self, scored: Scores, correct: Floats, weights: Floats, folds: Ints) -> Scores:
        """Fits P(error) for every score with enough labels; returns the out-of-fold P(error)."""
        wrong = 1 - correct
        self.errors_: dict[str, ErrorCalibrator] = {}
        probabilities: Scores = {}
        for method, values in scored.items():
            known = np.isfinite(values) & np.isfinite(wrong)
            if known.sum() < MIN_LABELS or np.ptp(wrong[known]) == 0:
                continue
            model = ErrorCalibrator(seed=self.seed).fit(values, wrong, weights)
            self.errors_[method] = model
            probabilities[method] = _cross_fitted(model, values, wrong, weights, folds)
        return probabilities


def _cross_fitted(
    model: ErrorCalibrator, values: Floats, wrong: Floats, weights: Floats, folds: Ints
) -> Floats:
    def predict(train: Bools, test: Bools) -> Floats:
        again = ErrorCalibrator(kind=model.kind_)
        return again.fit(values[train], wrong[train], weights[train]).predict(values[test])

    return out_of_fold(folds, predict)


def _check(n: int, correct: Floats, weights: Floats) -> None:
    if n < MIN_CASES:
        raise ValueError(f"a calibration needs at least {MIN_CASES} cases, got {n}")
    if correct.shape != (n,) or weights.shape != (n,):
        raise ValueError(f"{n} cases, but {correct.shape} labels and {weights.shape} weights")
    if not np.isin(correct[np.isfinite(correct)], (0, 1)).all():
        raise ValueError("correct must be 1, 0 or NaN (unlabelled)")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("weights must be finite and above zero")


def _named(stages: Floats, alarm: Floats) -> Scores:
    return dict(zip(STAGE_METHODS.values(), stages.T, strict=True)) | {"alarm": alarm}


def _cuts(values: Floats) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 0.0  # never seen: whatever comes is high
    low, high = np.quantile(known, _LEVEL_QUANTILES)
    return float(low), float(high)


def _levels(values: Floats, cuts: tuple[float, float]) -> Objects:
    low, high = cuts
    level = np.where(values <= low, "low", np.where(values <= high, "medium", "high"))
    return np.where(np.isfinite(values), level.astype(object), "unknown")
