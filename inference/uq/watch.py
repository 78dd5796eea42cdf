"""Watching a rate as it comes in: bounds that hold at every look, however often one looks."""

import math

import numpy as np
import scipy

from inference.uq.types import Floats, Ints

Numeric = Floats | Ints | float


def log_evidence(hits: Numeric, n: Numeric, rate: Numeric) -> Floats:
    """The log of the evidence against a true rate, after hits out of n; arrays or numbers.

    The likelihood ratio of a Beta(1/2, 1/2) mixture against `rate` (Robbins 1970). Where `rate` is
    the true one it is a martingale that begins at 1, so that it ever reaches 1 / delta with a
    chance of at most delta (Ville), however often one looks.
    """
    mixed = scipy.special.betaln(
        np.add(hits, 0.5), np.subtract(n, hits) + 0.5
    ) - scipy.special.betaln(0.5, 0.5)
    return np.asarray(
        mixed - scipy.special.xlogy(hits, rate) - scipy.special.xlog1py(np.subtract(n, hits), -rate)
    )


def bounds_at_all_times(hits: float, n: float, delta: float) -> tuple[float, float]:
    """Bounds of a rate that hold at all n = 1, 2, ... together, with confidence 1 - delta.

    The rates against which there has not been enough evidence: an interval (Howard et al. 2021,
    arXiv 1810.08240). Wider than Clopper-Pearson's at any single n: the price of looking on.

    Args:
        hits: out of `n` independent draws; 0 <= hits <= n.
        delta: strictly between 0 and 1.
    """
    if not (0 <= hits <= n and 0 < delta < 1):
        raise ValueError(f"no bounds for {hits} of {n} at {delta}")
    if n == 0:
        return 0.0, 1.0

    def beyond(rate: float) -> float:
        """Above 0 where the rate is ruled out; convex, and lowest at hits / n."""
        found = float(log_evidence(hits, n, rate))
        return min(found, 1e300) + math.log(delta)

    low = float(scipy.optimize.brentq(beyond, 0.0, hits / n)) if hits else 0.0
    high = float(scipy.optimize.brentq(beyond, 1.0, hits / n)) if hits < n else 1.0
    return low, high
