"""What has come of a version's decisions, in numbers."""

from dataclasses import dataclass

import numpy as np
from django.db.models import QuerySet

from inference.uq.audit import AcceptedError, accepted_error
from triage.choices import CaseStatus, Outcome
from triage.models import Decision

NEWEST = 5000


@dataclass(frozen=True)
class Live:
    """The newest NEWEST of some decisions.

    Attributes:
        cases, deferred: how many were decided, and how many of them went to a person.
        checked, overridden: how many of those that people were meant to answer have been, and how
            often they gave another label than the machine.
        error: the error rate among the accepted, from the audits, with its 95 % interval.
        open: audits that nobody has answered yet. They count as not drawn, which is right only if
            they are open for reasons that have nothing to do with the picture: watch their number.
    """

    cases: int
    deferred: int
    checked: int
    overridden: int
    error: AcceptedError
    open: int

    @property
    def accepted(self) -> int:
        return self.cases - self.deferred

    @property
    def deferral(self) -> float | None:
        """The share that went to a person."""
        return self.deferred / self.cases if self.cases else None

    @property
    def override_rate(self) -> float | None:
        """How often people said otherwise; on the hard cases and the audits together."""
        return self.overridden / self.checked if self.checked else None


def live_numbers(decisions: QuerySet[Decision]) -> Live:
    """Count the newest of them. An accepted case opened by hand counts as neither."""
    rows = list(
        decisions.order_by("-pk").values_list(
            "outcome", "audited", "label_probability", "label", "case__label", "case__status"
        )[:NEWEST]
    )
    accepted = np.array([row[0] == Outcome.ACCEPT for row in rows], dtype=bool)
    audited = np.array([row[1] for row in rows], dtype=bool)
    resolved = np.array([row[5] == CaseStatus.RESOLVED for row in rows], dtype=bool)
    said = np.array([row[3] != "" for row in rows], dtype=bool)
    wrong = np.array([float(row[3] != row[4]) for row in rows])
    probability = np.array([row[2] for row in rows], dtype=np.float64)
    checked = resolved & said & (audited | ~accepted)
    return Live(
        cases=len(rows),
        deferred=int((~accepted).sum()),
        checked=int(checked.sum()),
        overridden=int(wrong[checked].sum()),
        error=accepted_error(wrong, accepted, audited & resolved, probability),
        open=int((audited & ~resolved).sum()),
    )
