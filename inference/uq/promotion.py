"""May the learned aggregator decide in place of the vote? Only where experts' labels show it."""

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from inference.uq.drift import DriftSignal
from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from inference.uq.types import Floats, Json, Marks

VOTE, LEARNED = "vote", "learned"
DELTA = 0.1
FEWEST = 50  # labelled cases before anything is compared


@dataclass(frozen=True)
class Comparison:
    """The learned aggregator beside the vote on the same labelled cases.

    Attributes:
        cases: labelled cases that both gave an opinion on.
        wins: in how many of them the aggregator was right and the vote wrong; losses the other way
            round.
        gained, lost: the same by weight, as so many equally likely cases.
        low, high: the aggregator's share of the cases that they differ on, each bound with
            confidence 1 - DELTA (Clopper-Pearson): a sign test, McNemar's.
        gain: accuracy of the aggregator minus accuracy of the vote, estimated for all cases.
    """

    cases: int
    wins: int
    losses: int
    gained: float
    lost: float
    low: float
    high: float
    gain: float

    @property
    def better(self) -> bool:
        """The aggregator beats the vote here, with confidence 1 - DELTA."""
        return self.cases >= FEWEST and self.low > 0.5

    @property
    def ahead(self) -> bool:
        """It wins more than it loses, proven or not."""
        return self.gained > self.lost

    @property
    def worse(self) -> bool:
        """The vote beats the aggregator, with confidence 1 - DELTA."""
        return self.high < 0.5

    def to_dict(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`; what was stored before cases were counted has them by weight."""
        gained, lost = (round(float(str(data[name]))) for name in ("gained", "lost"))
        return cls(**({"wins": gained, "losses": lost} | data))  # type: ignore[arg-type]


_TOLD = (
    "on {cases} labelled cases the learned aggregator was right {wins} times where the vote was "
    "wrong, and wrong {losses} times where the vote was right"
)
WHY = {
    "few_labels": "There are too few labels to learn from: the vote decides.",
    "no_gain": f"The vote decides: {_TOLD}; that shows no gain.",
    "drifted": "The vote decides: {drift} What was learned may not hold.",
    "worth": f"It has shown its worth: {_TOLD}.",
}
"""The words for each code of a Choice."""


@dataclass(frozen=True)
class Choice:
    """Which aggregator decides, VOTE or LEARNED, and why: WHY has the words for the code."""

    chosen: str
    code: str
    comparison: Comparison | None = None
    drift: DriftSignal | None = None

    @property
    def why(self) -> str:
        """In English."""
        return WHY[self.code].format(
            **counts_of(self.comparison), drift=self.drift.sentence if self.drift else ""
        )


def counts_of(comparison: Comparison | None) -> dict[str, int]:
    """The numbers that stand in the words for a Choice."""
    if comparison is None:
        return {}
    return {"cases": comparison.cases, "wins": comparison.wins, "losses": comparison.losses}


def choose(comparison: Comparison | None, drift: DriftSignal | None = None) -> Choice:
    """The learned aggregator where it beats the vote and the texts resemble those it learned from.

    `comparison`: None where there were too few labels to learn from. `drift`: of the new texts
    against those learned from; None where there are no new ones.
    """
    if comparison is None:
        return Choice(VOTE, "few_labels")
    if not comparison.better:
        return Choice(VOTE, "no_gain", comparison)
    if drift is not None and drift.drifted:
        return Choice(VOTE, "drifted", comparison, drift)
    return Choice(LEARNED, "worth", comparison)


def compare(vote_wrong: Marks, learned_wrong: Marks, weights: Floats | None = None) -> Comparison:
    """Compare two decisions on n cases, each 1 or True where wrong; NaN rows are left out.

    `weights` (n,): 1 / probability with which a case was labelled. Unequal ones count as so many
    equal ones as give the same variance (Kish).
    """
    vote_wrong, learned_wrong = np.asarray(vote_wrong, float), np.asarray(learned_wrong, float)
    weights = np.ones(len(vote_wrong)) if weights is None else weights
    known = np.isfinite(vote_wrong) & np.isfinite(learned_wrong)
    difference, weights = (vote_wrong - learned_wrong)[known], weights[known]
    if not len(difference):
        return Comparison(0, 0, 0, 0.0, 0.0, 0.0, 1.0, 0.0)
    apart = weights[difference != 0]
    effective = float(apart.sum() ** 2 / (apart**2).sum()) if len(apart) else 0.0
    share = float(weights[difference > 0].sum() / apart.sum()) if len(apart) else 0.5
    return Comparison(
        cases=len(difference),
        wins=int((difference > 0).sum()),
        losses=int((difference < 0).sum()),
        gained=share * effective,
        lost=(1 - share) * effective,
        low=clopper_pearson_lower(share * effective, effective, DELTA),
        high=clopper_pearson_upper(share * effective, effective, DELTA),
        gain=float(np.average(difference, weights=weights)),
    )
