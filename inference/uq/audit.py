"""What the accepted cases hide: error rates from a random audit, weighted by 1 / probability."""

from dataclasses import dataclass

import numpy as np
import scipy

from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from inference.uq.types import Bools, Floats, Marks


@dataclass(frozen=True)
class AcceptedError:
    """Error rate among the accepted with its interval; NaN and [0, 1] without an audit."""

    estimate: float
    low: float
    high: float
    audited: int


@dataclass(frozen=True)
class ErrorSums:
    """What an estimate needs of the accepted cases, so that it can be had from running totals.

    Attributes:
        accepted, audited: how many cases, and how many of them an expert has labelled.
        weight, squares, doubt: sums over the labelled of w = 1 / probability, of w^2, and of
            (1 - probability) w^2.
        wrong, wrong_doubt: sums of the first and of the last over the wrong ones alone.
    """

    accepted: float
    audited: float
    weight: float
    squares: float
    doubt: float
    wrong: float
    wrong_doubt: float

    def estimate(self, delta: float = 0.05) -> AcceptedError:
        """Hajek's estimate with the wider of the linearised and the Clopper-Pearson interval."""
        if not self.audited:
            return AcceptedError(float("nan"), 0.0, 1.0, 0)
        rate = self.wrong / self.weight
        spread = self.wrong_doubt * (1 - 2 * rate) + self.doubt * rate**2
        variance = max(0.0, spread) / self.weight**2 + rate * (1 - rate) / self.accepted
        reach = float(scipy.special.ndtri(1 - delta / 2) * np.sqrt(variance))
        effective = self.weight**2 / self.squares
        low = clopper_pearson_lower(rate * effective, effective, delta / 2)
        high = clopper_pearson_upper(rate * effective, effective, delta / 2)
        return AcceptedError(
            rate,
            max(0.0, min(low, rate - reach)),
            min(1.0, max(high, rate + reach)),
            int(self.audited),
        )


def accepted_error(
    wrong: Marks, accepted: Bools, audited: Bools, probability: Floats, delta: float = 0.05
) -> AcceptedError:
    """Hajek estimate of the error rate among the accepted, with a 1 - delta interval.

    All (n,). `wrong` (0 or 1) is read only where accepted and audited; `probability` in (0, 1] is
    the one with which the case was drawn, stored when the decision was taken. The interval is the
    wider of the linearised normal one and Clopper-Pearson on the effective number of audits.
    """
    rows = accepted & audited
    drawn, y = _checked(probability[rows]), wrong[rows].astype(np.float64)
    sums = error_terms(y, drawn).sum(axis=0)
    return ErrorSums(float(accepted.sum()), *sums.tolist()).estimate(delta)


def error_terms(wrong: Floats, probability: Floats) -> Floats:
    """Each labelled case's part (n, 6) in the fields of ErrorSums, from `audited` on."""
    weight = 1 / _checked(probability)
    doubt = (1 - probability) * weight**2
    ones = np.ones(len(weight))
    return np.stack([ones, weight, weight**2, doubt, weight * wrong, doubt * wrong], axis=1)


def policy_error(
    wrong: Marks,
    scores: Floats,
    threshold: float,
    labelled: Bools,
    probability: Floats,
    accepted: Bools,
) -> float:
    """Error rate among the cases that ANOTHER threshold would accept, from the logs of this one.

    All (n,). Deferred cases were labelled for certain, accepted ones with `probability`; `wrong` is
    read where `labelled`. NaN if the threshold accepts no labelled case.
    """
    rows = (scores <= threshold) & labelled
    if not rows.any():
        return float("nan")
    weight = 1 / _checked(np.where(accepted, probability, 1.0)[rows])
    return float((weight * wrong[rows]).sum() / weight.sum())


def audits_needed(error: float, half_width: float, delta: float = 0.05) -> int:
    """Audits until the 1 - delta interval of an error rate near `error` is +- `half_width`.

    The smallest n whose Clopper-Pearson interval is at most 2 x half_width wide. ValueError outside
    0 <= error <= 1, 0 < half_width < 0.5.
    """
    if not (0 <= error <= 1 and 0 < half_width < 0.5):
        raise ValueError(f"no number of audits for error {error} and half width {half_width}")
    low, high = 1, 1
    while _width(error, high, delta) > 2 * half_width:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if _width(error, middle, delta) > 2 * half_width:
            low = middle + 1
        else:
            high = middle
    return high


def _width(error: float, n: int, delta: float) -> float:
    upper = clopper_pearson_upper(error * n, n, delta / 2)
    return upper - clopper_pearson_lower(error * n, n, delta / 2)


def _checked(probability: Floats) -> Floats:
    if not ((probability > 0) & (probability <= 1)).all():
        raise ValueError("a labelled case needs the probability in (0, 1] with which it was drawn")
    return probability
