"""The answers beside the truth: votes, scores and P(error) of each case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inference.evaluation.asking import AskedCase
from inference.evaluation.folder import ABNORMAL, NORMAL
from inference.evaluation.measures import abnormality
from inference.uq.answers import Answers, Embed, vote
from inference.uq.ensemble import Calibration, label_free_scores
from inference.uq.types import Bools, Floats, Objects

PROBABILITY_OF = "cold_start"
NOVELTY = "novelty"
AGGREGATOR = "aggregator"


@dataclass(frozen=True)
class SideVotes:
    """What only a judgement of normal against abnormal has, for n cases.

    `labels` (n,): the label voted for, whose side is judged; `sides` (n,): the other way, the vote
    of the members' sides; `abnormality` (n,): P(abnormal) in [0, 1], see `measures.abnormality`.
    """

    labels: Objects
    sides: Objects
    abnormality: Floats


@dataclass(frozen=True)
class Judged:
    """n judged cases. A case that is not `sound` would always be deferred: its scores are NaN.

    `truth`, `predicted` (n,) and `by_member` (n, M) are labels; sides, normal or abnormal, if there
    are `side_votes`; "" where nothing was answered. `probability` (n,): P(error), 1 where unknown;
    `calibrated`: from a calibration, not the share of the vote. `novel` (n,): unlike what the
    reference holds; None without a reference. `own_labels`: the labels (n,) of scores that are
    about others than `predicted`.
    """

    members: tuple[str, ...]
    truth: Objects
    predicted: Objects
    by_member: Objects
    json_validity: float
    scores: dict[str, Floats]
    probability: Floats
    calibrated: bool
    groups: Sequence[str]
    sources: Objects
    side_votes: SideVotes | None
    novel: Bools | None
    own_labels: Mapping[str, Objects] = field(default_factory=dict)

    @property
    def wrong(self) -> Bools:
        wrong: Bools = self.predicted != self.truth
        return wrong

    def wrong_of(self, method: str) -> Bools:
        """The errors (n,) that a score is about: those of `predicted`, or of its own labels."""
        wrong: Bools = self.own_labels.get(method, self.predicted) != self.truth
        return wrong

    def __len__(self) -> int:
        return len(self.truth)


def judge(
    cases: Sequence[AskedCase],
    members: Sequence[str],
    calibration: Calibration | None,
    embed: Embed,
    *,
    sides: Mapping[str, str] | None = None,
    novel_above: float | None = None,
) -> Judged:
    """Vote on, score and compare the cases. `calibration` must be of the same members.

    `sides`: label -> normal or abnormal, if these are the truth: the label voted for says which.
    `novel_above`: the reference's threshold, if the cases' novelty was measured.
    """
    answers = Answers.collect(members, [case.answers for case in cases], embed)
    labels, shares = vote(answers)
    scores = calibration.scores(answers) if calibration else label_free_scores(answers)
    novelty = np.array([case.novelty for case in cases], dtype=np.float64)
    if novel_above is not None:
        scores = scores | {NOVELTY: novelty}
    sound = np.array([case.whole == set(members) for case in cases])
    scores = {method: np.where(sound, values, np.nan) for method, values in scores.items()}
    probability, calibrated = _probability(calibration, scores, shares)
    asked = [name in case.whole for case in cases if case.readable for name in members]
    return Judged(
        members=tuple(members),
        truth=np.array([case.truth for case in cases], dtype=object),
        predicted=labels if sides is None else _sides(labels, sides),
        by_member=answers.labels if sides is None else _sides(answers.labels, sides),
        json_validity=float(np.mean(asked)) if asked else 0.0,
        scores=scores,
        probability=np.where(sound, np.nan_to_num(probability, nan=1.0), 1.0),
        calibrated=calibrated,
        groups=[case.group for case in cases],
        sources=np.array([case.source for case in cases], dtype=object),
        side_votes=None if sides is None else _side_votes(answers, labels, sides),
        novel=None if novel_above is None else novelty > novel_above,
    )


def _sides(labels: Objects, sides: Mapping[str, str]) -> Objects:
    """The side of each label, of the same shape; "" stays what it is."""
    flat = np.array([sides.get(str(label), "") for label in labels.ravel()], dtype=object)
    return flat.reshape(labels.shape)


def _side_votes(answers: Answers, labels: Objects, sides: Mapping[str, str]) -> SideVotes:
    of_members = _sides(answers.labels, sides)
    together, _ = vote(replace(answers, labels=of_members))
    signs = (of_members == ABNORMAL).astype(np.float64) - (of_members == NORMAL)
    return SideVotes(labels, together, abnormality(signs, answers.logprobs))


def _probability(
    calibration: Calibration | None, scores: dict[str, Floats], shares: Floats
) -> tuple[Floats, bool]:
    if calibration is not None:
        probability = calibration.error_probability(PROBABILITY_OF, scores[PROBABILITY_OF])
        if np.isfinite(probability).any():
            return probability, True
    return 1 - shares, False
