"""Do today's cases still resemble those of the calibration window? If not, no guarantee holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.uq.types import Bools, Floats, Marks, Numbers

MIN_CASES = 20
MOST_CASES = 500  # of a side, in the comparison of texts: enough to tell, and quick
SHUFFLES = 999
FEWEST_TEXTS = 10


@dataclass(frozen=True)
class DriftSignal:
    """One comparison with the calibration window. `p_value` is NaN with too few cases on a side."""

    name: str
    statistic: float
    p_value: float
    drifted: bool
    sentence: str


def score_drift(window: Floats, recent: Floats, alpha: float = 0.01) -> DriftSignal:
    """Two-sample Kolmogorov-Smirnov test of a score's distribution; unknown scores are left out."""
    from scipy.stats import ks_2samp

    window, recent = window[np.isfinite(window)], recent[np.isfinite(recent)]
    if min(len(window), len(recent)) < MIN_CASES:
        return _too_few("scores", len(window), len(recent))
    test = ks_2samp(window, recent)
    p_value = float(test.pvalue)
    if p_value >= alpha:
        text = f"The scores look as they did in calibration (p = {p_value:.2g})."
    else:
        way = "higher" if np.median(recent) > np.median(window) else "differently spread"
        text = f"The scores are {way} than in calibration (p = {p_value:.1g})."
    return DriftSignal("scores", float(test.statistic), p_value, p_value < alpha, text)


def label_drift(window: Sequence[str], recent: Sequence[str], alpha: float = 0.01) -> DriftSignal:
    """Chi-square test of the mix of predicted labels; a missing label ("") is a label too."""
    from scipy.stats import chi2_contingency

    if min(len(window), len(recent)) < MIN_CASES:
        return _too_few("labels", len(window), len(recent))
    before, after = Counter(window), Counter(recent)
    labels = sorted(before | after)
    if len(labels) == 1:
        text = "All cases still have one and the same label."
        return DriftSignal("labels", 0.0, 1.0, False, text)
    test = chi2_contingency([[side[label] for label in labels] for side in (before, after)])
    p_value = float(test.pvalue)
    if p_value >= alpha:
        text = f"The labels are mixed as they were in calibration (p = {p_value:.2g})."
    else:
        text = f"{_largest_change(before, after, labels)} (p = {p_value:.1g})."
    return DriftSignal("labels", float(test.statistic), p_value, p_value < alpha, text)


def deferral_drift(
    window: Sequence[bool] | Marks, recent: Sequence[bool] | Marks, alpha: float = 0.01
) -> DriftSignal:
    """Fisher's exact test of the share deferred, 1 or True where a case was."""
    from scipy.stats import fisher_exact

    if min(len(window), len(recent)) < MIN_CASES:
        return _too_few("deferrals", len(window), len(recent))
    counts = [[int(np.sum(side)), len(side) - int(np.sum(side))] for side in (window, recent)]
    old, new = (deferred / (deferred + kept) for deferred, kept in counts)
    p_value = float(fisher_exact(counts).pvalue)
    if p_value >= alpha:
        text = f"As many cases are deferred as in calibration, {new:.0%} (p = {p_value:.2g})."
    else:
        text = f"{new:.0%} of the cases are deferred, {old:.0%} in calibration (p = {p_value:.1g})."
    return DriftSignal("deferrals", abs(new - old), p_value, p_value < alpha, text)


def embedding_drift(
    window: Numbers, recent: Numbers, alpha: float = 0.01, *, name: str = "texts", seed: int = 0
) -> DriftSignal:
    """Permutation test of the distance between the mean embeddings (n, d) of both sides.

    Rows are brought to length 1; a row with a gap is left out; of more than MOST_CASES on a side,
    that many are drawn with the seed. The maximum mean discrepancy of a linear kernel (Gretton et
    al. 2012), as a multiple of what chance alone would give.
    """
    rng = np.random.default_rng(seed)
    before, after = (_unit_rows(side, rng) for side in (window, recent))
    if min(len(before), len(after)) < FEWEST_TEXTS:
        return _too_few(name, len(before), len(after), FEWEST_TEXTS)
    inner = np.vstack([before, after]) @ np.vstack([before, after]).T
    is_new = np.arange(len(inner)) >= len(before)
    seen = _squared_distance(inner, is_new[None, :])[0]
    shuffled = np.array([rng.permutation(is_new) for _ in range(SHUFFLES)])
    by_chance = _squared_distance(inner, shuffled)
    p_value = float((1 + (by_chance >= seen).sum()) / (1 + SHUFFLES))
    ratio = float(seen / max(by_chance.mean(), 1e-12))
    if p_value >= alpha:
        text = f"The {name} resemble those of calibration (p = {p_value:.2g})."
    else:
        text = (
            f"The {name} are unlike those of calibration: {ratio:.1f} times as far apart as chance "
            f"would have them (p = {p_value:.1g})."
        )
    return DriftSignal(name, ratio, p_value, p_value < alpha, text)


def _unit_rows(rows: Numbers, rng: np.random.Generator) -> Floats:
    whole = rows[np.isfinite(rows).all(axis=1)]
    if len(whole) > MOST_CASES:
        whole = whole[rng.choice(len(whole), MOST_CASES, replace=False)]
    lengths = np.linalg.norm(whole, axis=1, keepdims=True)
    unit: Floats = whole / np.where(lengths > 0, lengths, 1.0)
    return unit.astype(np.float64)


def _squared_distance(inner: Floats, is_new: Bools) -> Floats:
    """Squared distance (k,) of both sides' means, for k ways to part n rows: masks (k, n)."""
    sides = is_new / is_new.sum(axis=1, keepdims=True)
    sides = sides - ~is_new / (~is_new).sum(axis=1, keepdims=True)
    squared: Floats = ((sides @ inner) * sides).sum(axis=1)
    return squared


def _largest_change(before: Counter[str], after: Counter[str], labels: Sequence[str]) -> str:
    old = {label: before[label] / before.total() for label in labels}
    new = {label: after[label] / after.total() for label in labels}
    label = max(labels, key=lambda one: abs(new[one] - old[one]))
    name = f'"{label}"' if label else "Missing labels"
    return f"{name} went from {old[label]:.0%} of the cases in calibration to {new[label]:.0%}"


def _too_few(name: str, window: int, recent: int, fewest: int = MIN_CASES) -> DriftSignal:
    side, count = ("calibration", window) if window < fewest else ("the recent past", recent)
    text = f"Drift of the {name} is not judged yet: {count} of {fewest} cases in {side}."
    return DriftSignal(name, float("nan"), float("nan"), False, text)
