"""The answers against the truth: what the vote is worth, and what each score knows of errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.evaluation.asking import AskedCase
from inference.uq import metrics
from inference.uq.answers import Answers, Embed, vote
from inference.uq.ensemble import Calibration, label_free_scores
from inference.uq.types import Bools, Floats, Objects

DEFERRALS = (0, 10, 20, 30, 40)
PROBABILITY_OF = "cold_start"


@dataclass(frozen=True)
class Judged:
    """n judged cases. A case that is not `sound` would always be deferred: its scores are NaN.

    `probability` (n,): P(error), 1 where unknown; `calibrated`: from a calibration, not the share
    of the vote.
    """

    members: tuple[str, ...]
    truth: Objects
    predicted: Objects
    by_member: Objects
    json_validity: float
    scores: dict[str, Floats]
    probability: Floats
    calibrated: bool

    @property
    def wrong(self) -> Bools:
        wrong: Bools = self.predicted != self.truth
        return wrong

    def __len__(self) -> int:
        return len(self.truth)


def judge(
    cases: Sequence[AskedCase],
    members: Sequence[str],
    calibration: Calibration | None,
    embed: Embed,
) -> Judged:
    """Vote on, score and compare the cases. `calibration` must be of the same members."""
    answers = Answers.collect(members, [case.answers for case in cases], embed)
    predicted, shares = vote(answers)
    scores = calibration.scores(answers) if calibration else label_free_scores(answers)
    sound = np.array([case.whole == set(members) for case in cases])
    scores = {method: np.where(sound, values, np.nan) for method, values in scores.items()}
    probability, calibrated = _probability(calibration, scores, shares)
    asked = [name in case.whole for case in cases if case.readable for name in members]
    return Judged(
        members=tuple(members),
        truth=np.array([case.truth for case in cases], dtype=object),
        predicted=predicted,
        by_member=answers.labels,
        json_validity=float(np.mean(asked)) if asked else 0.0,
        scores=scores,
        probability=np.where(sound, np.nan_to_num(probability, nan=1.0), 1.0),
        calibrated=calibrated,
    )


def summarise(judged: Judged, seconds_per_case: float) -> dict[str, object]:
    """The numbers of the report, plain JSON; AUROC is None if all cases are right, or all wrong."""
    wrong = judged.wrong
    return {
        "n": len(judged),
        "accuracy": _rounded(1 - wrong.mean()),
        "macro_f1": _rounded(macro_f1(judged.truth, judged.predicted)),
        "json_validity": _rounded(judged.json_validity),
        "members": {
            name: _rounded((judged.by_member[:, index] == judged.truth).mean())
            for index, name in enumerate(judged.members)
        },
        "kept_accuracy": {
            method: {
                str(percent): _rounded(metrics.kept_accuracy(values, wrong, percent / 100))
                for percent in DEFERRALS
            }
            for method, values in judged.scores.items()
        },
        "aurc": {
            method: _rounded(metrics.aurc(values, wrong))
            for method, values in judged.scores.items()
        },
        "auroc": {
            method: _rounded(metrics.auroc(values, wrong))
            for method, values in judged.scores.items()
        },
        "ece": _rounded(metrics.ece(judged.probability, wrong)),
        "seconds_per_case": _rounded(seconds_per_case),
    }


def macro_f1(truth: Objects, predicted: Objects) -> float:
    """Mean F1 in [0, 1] over the labels that truly occur."""
    scores = []
    for label in sorted(set(truth)):
        hits = int(((truth == label) & (predicted == label)).sum())
        scores.append(2 * hits / int((truth == label).sum() + (predicted == label).sum()))
    return float(np.mean(scores))


def _probability(
    calibration: Calibration | None, scores: dict[str, Floats], shares: Floats
) -> tuple[Floats, bool]:
    if calibration is not None:
        probability = calibration.error_probability(PROBABILITY_OF, scores[PROBABILITY_OF])
        if np.isfinite(probability).any():
            return probability, True
    return 1 - shares, False


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
