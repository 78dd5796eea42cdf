"""Everything fitted on some labelled cases and judged on others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inference.uq.aggregator import LearnedAggregator
from inference.uq.answers import Answers, vote
from inference.uq.crossfit import Scores, assign_folds
from inference.uq.drift import DriftSignal, embedding_drift
from inference.uq.ensemble import Calibration
from inference.uq.features import spoken_mean
from inference.uq.promotion import LEARNED, VOTE, Choice, Comparison, choose, compare
from inference.uq.types import Bools, Floats, Ints, Objects

FOLDS = 5


@dataclass(frozen=True)
class Labelled:
    """n answered cases with their truth (n,). One that is not `sound` (n,) is always deferred."""

    answers: Answers
    truth: Objects
    sound: Bools

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: Ints | Bools) -> "Labelled":
        """The cases at `rows` (indices or mask)."""
        return Labelled(self.answers.take(rows), self.truth[rows], self.sound[rows])


@dataclass(frozen=True)
class Fitted:
    """What was learned from labelled cases; `learned` and `comparison` None with too few."""

    calibration: Calibration
    learned: LearnedAggregator | None
    comparison: Comparison | None
    texts: Floats


@dataclass(frozen=True)
class Judgement:
    """What the fitted says of n other cases.

    Attributes:
        labels: VOTE, and LEARNED if there is one -> (n,).
        scores: method -> (n,), NaN where a case is not sound; P(error) of the aggregator is one.
        error: method -> P(error) (n,), 1 where unknown.
        decides: (n,) VOTE or LEARNED: who decided on each case.
        choices: why, one for each group of cases that was judged together.
    """

    labels: dict[str, Objects]
    scores: Scores
    error: Scores
    decides: Objects
    choices: tuple[Choice, ...]

    def label_of(self, method: str) -> Objects:
        """The label (n,) that goes with a score."""
        return self.labels[LEARNED if method == LEARNED else VOTE]

    @property
    def decided(self) -> Objects:
        """The label (n,) of whoever decides."""
        return np.where(
            self.decides == LEARNED, self.labels.get(LEARNED, self.labels[VOTE]), self.labels[VOTE]
        )

    @property
    def decided_error(self) -> Floats:
        """P(error) (n,) of the label decided on."""
        return np.where(
            self.decides == LEARNED,
            self.error.get(LEARNED, self.error[BY_VOTE]),
            self.error[BY_VOTE],
        )


BY_VOTE = "cold_start"
"""The score that decides where the vote does."""


def fit(labelled: Labelled, seed: int = 0, *, learn: bool = True) -> Fitted:
    """Learn all that there is to learn, or only the scores; unsound cases teach nothing."""
    labelled = labelled.take(labelled.sound)
    answers, truth = labelled.answers, labelled.truth
    wrong = (vote(answers)[0] != truth).astype(np.float64)
    calibration = Calibration(seed=seed).fit(answers, 1 - wrong)
    texts = spoken_mean(answers.descriptions)
    if not learn:
        return Fitted(calibration, None, None, texts)
    try:
        learned = LearnedAggregator(seed=seed).fit(answers, truth)
    except ValueError:
        return Fitted(calibration, None, None, texts)
    rows = learned.rows_
    comparison = compare(wrong[rows], learned.held_out_.labels != truth[rows])
    return Fitted(calibration, learned, comparison, texts)


def judge(fitted: Fitted, answers: Answers, sound: Bools) -> Judgement:
    """Apply what was fitted to new cases that arrive together."""
    scores = fitted.calibration.scores(answers)
    labels = {VOTE: vote(answers)[0]}
    error = {m: fitted.calibration.error_probability(m, values) for m, values in scores.items()}
    if fitted.learned:
        opinion = fitted.learned.predict(answers)
        labels[LEARNED] = opinion.labels
        scores[LEARNED] = error[LEARNED] = opinion.error
    choice = choose(fitted.comparison, texts_drift(fitted, answers))
    return Judgement(
        labels=labels,
        scores={m: np.where(sound, values, np.nan) for m, values in scores.items()},
        error={m: np.nan_to_num(p, nan=1.0) for m, p in error.items()},
        decides=np.full(len(answers), choice.chosen, dtype=object),
        choices=(choice,),
    )


def texts_drift(fitted: Fitted, answers: Answers) -> DriftSignal:
    """Whether new cases are described as those were that all was learned from."""
    return embedding_drift(fitted.texts, spoken_mean(answers.descriptions))


def nested(labelled: Labelled, seed: int = 0) -> Judgement:
    """Each case judged by what was fitted on the other folds, which fit out of fold themselves."""
    folds = folds_of(labelled, seed)
    parts = []
    for fold in range(FOLDS):
        test = labelled.take(folds == fold)
        parts.append(judge(fit(labelled.take(folds != fold), seed), test.answers, test.sound))
    order = np.argsort(np.concatenate([np.flatnonzero(folds == fold) for fold in range(FOLDS)]))
    return together(parts, order)


def folds_of(labelled: Labelled, seed: int) -> Ints:
    """A fold (n,) for each case, the truths evenly spread."""
    _, codes = np.unique(labelled.truth.astype(str), return_inverse=True)
    return assign_folds(codes.astype(np.float64), FOLDS, seed)


def together(parts: Sequence[Judgement], order: Ints) -> Judgement:
    """Several judgements as one; what one of them lacks, all lack. `order` (n,) sorts the cases."""

    def joined(name: str) -> dict[str, Any]:
        dictionaries = [getattr(part, name) for part in parts]
        shared = set.intersection(*(set(one) for one in dictionaries))
        first = dictionaries[0]
        return {
            key: np.concatenate([one[key] for one in dictionaries])[order]
            for key in first
            if key in shared
        }

    return replace(
        parts[0],
        labels=joined("labels"),
        scores=joined("scores"),
        error=joined("error"),
        decides=np.concatenate([part.decides for part in parts])[order],
        choices=tuple(choice for part in parts for choice in part.choices),
    )
