"""What any threshold would do: totals run once over the sorted scores, then it is a look-up."""

from dataclasses import dataclass

import numpy as np

from inference.uq.audit import AcceptedError, ErrorSums, error_terms
from inference.uq.types import Bools, Floats


@dataclass(frozen=True)
class Outlook:
    """A threshold on past cases; None accepts nothing.

    Attributes:
        cases, accepted: how many there are, and how many of them it accepts.
        error: the share of the accepted whose label is wrong.
        missed: the share of the accepted that are abnormal and were called normal.
    """

    threshold: float | None
    cases: int
    accepted: int
    error: AcceptedError
    missed: AcceptedError

    @property
    def deferral(self) -> float:
        """The share of cases that go to a person."""
        return 1 - self.accepted / self.cases if self.cases else 1.0


class Sweep:
    """n past cases, ready to be asked about any threshold in O(log n).

    Its estimates are those of `audit.accepted_error`.
    """

    def __init__(self, scores: Floats, wrong: Floats, missed: Floats, probability: Floats) -> None:
        """All (n,).

        Args:
            scores: not finite where a case is never to be accepted.
            wrong, missed: 0 or 1, NaN where no expert has labelled the case.
            probability: in (0, 1], with which it was to be labelled.
        """
        acceptable = np.where(np.isfinite(scores), scores, np.inf)
        order = np.argsort(acceptable, kind="stable")
        known = int(np.isfinite(acceptable).sum())
        self.cases = len(scores)
        self.ranked: Floats = acceptable[order][:known]
        rows = order[:known]
        self._wrong = _totals(wrong[rows], probability[rows])
        self._missed = _totals(missed[rows], probability[rows])

    def at(self, threshold: float | None) -> Outlook:
        """What accepting up to `threshold` would have done."""
        count = 0
        if threshold is not None:
            count = int(np.searchsorted(self.ranked, threshold, side="right"))
        error, missed = self._wrong[count].tolist(), self._missed[count].tolist()
        return Outlook(
            threshold=threshold,
            cases=self.cases,
            accepted=count,
            error=ErrorSums(count, *error).estimate(),
            missed=ErrorSums(count, *missed).estimate(),
        )

    def threshold_for(self, deferral: float) -> float | None:
        """The threshold that defers at least the share `deferral` in [0, 1] of all cases.

        Ties are deferred together. None where it accepts nothing.
        """
        count = min(len(self.ranked), int((1 - deferral) * self.cases + 1e-9))
        if count and count < len(self.ranked) and self.ranked[count] == self.ranked[count - 1]:
            count = int(np.searchsorted(self.ranked, self.ranked[count], side="left"))
        return float(self.ranked[count - 1]) if count else None

    def curve(self, points: int = 60) -> list[Outlook]:
        """From the least that can be deferred to all of it; each threshold once."""
        least = 1 - len(self.ranked) / self.cases if self.cases else 1.0
        shares = np.linspace(least, 1, points)
        thresholds = dict.fromkeys(self.threshold_for(float(share)) for share in shares)
        return [self.at(threshold) for threshold in thresholds]


def _totals(marks: Floats, probability: Floats) -> Floats:
    """Running totals (n + 1, 6): row k is over the first k cases."""
    terms = np.zeros((len(marks) + 1, 6))
    labelled: Bools = np.isfinite(marks)
    terms[1:][labelled] = error_terms(marks[labelled], probability[labelled])
    totals: Floats = terms.cumsum(axis=0)
    return totals
