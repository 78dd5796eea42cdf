"""Two decisions on the same labelled cases: how much more often is the second right?"""

from dataclasses import dataclass

import numpy as np

from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from inference.uq.types import Bools, Floats


@dataclass(frozen=True)
class Difference:
    """The second decision beside the first on `cases` labelled ones.

    Attributes:
        wins: cases in which the second was right and the first wrong; losses the other way round.
        gain: accuracy of the second minus that of the first, estimated for all cases, -1 to 1.
        low, high: its interval; conservative, and honest where the two never differed.
    """

    cases: int
    wins: int
    losses: int
    gain: float
    low: float
    high: float


def difference(first: Bools, second: Bools, weights: Floats, delta: float = 0.05) -> Difference:
    """Compare two decisions, each (n,) True where wrong.

    Each of wins and losses has a Clopper-Pearson interval at half of `delta`; their difference has
    then one at `delta` (Bonferroni). Unequal `weights` (n,), 1 / probability with which a case was
    labelled, count as so many equal ones as give the same variance (Kish). Without any case nothing
    is known: -1 to 1.
    """
    n = len(first)
    if not n:
        return Difference(0, 0, 0, 0.0, -1.0, 1.0)
    wins, losses = first & ~second, second & ~first
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    won, lost = (float(weights[one].sum() / weights.sum()) for one in (wins, losses))
    low_won, high_won = _bounds(won * effective, effective, delta / 4)
    low_lost, high_lost = _bounds(lost * effective, effective, delta / 4)
    return Difference(
        cases=n,
        wins=int(wins.sum()),
        losses=int(losses.sum()),
        gain=won - lost,
        low=low_won - high_lost,
        high=high_won - low_lost,
    )


def _bounds(count: float, n: float, delta: float) -> tuple[float, float]:
    return clopper_pearson_lower(count, n, delta), clopper_pearson_upper(count, n, delta)


def deferral_for(scores: Floats, wrong: Bools, weights: Floats, error: float) -> float:
    """The least share of cases to defer so that at most `error` (0 to 1) of the accepted are wrong.

    The surest are accepted first; equal scores together; a score of NaN never. Shares are weighted.
    """
    order = np.argsort(scores)  # NaN last
    ranked, mass = scores[order], np.cumsum(weights[order])
    amiss = np.cumsum((weights * wrong)[order])
    last_of_its_score = np.append(np.diff(ranked) != 0, True) & np.isfinite(ranked)
    fit = last_of_its_score & (amiss <= error * mass + 1e-12)
    return float(1 - mass[fit].max() / weights.sum()) if fit.any() else 1.0


def error_at(scores: Floats, wrong: Bools, weights: Floats, deferral: float) -> float | None:
    """The weighted share wrong among the surest 1 - `deferral` of the cases; None where none is."""
    order = np.argsort(scores)
    mass = np.cumsum(weights[order])
    taken = np.isfinite(scores[order]) & (mass <= (1 - deferral) * weights.sum() + 1e-9)
    if not taken.any():
        return None
    return float(np.average(wrong[order][taken], weights=weights[order][taken]))
