"""Do today's cases still resemble those of the calibration window? If not, no guarantee holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.uq.types import Floats

MIN_CASES = 20


@dataclass(frozen=True)
class DriftSignal:
    """One comparison with the calibration window. `p_value` is NaN below 20 cases on a side."""

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


def _largest_change(before: Counter[str], after: Counter[str], labels: Sequence[str]) -> str:
    old = {label: before[label] / before.total() for label in labels}
    new = {label: after[label] / after.total() for label in labels}
    label = max(labels, key=lambda one: abs(new[one] - old[one]))
    name = f'"{label}"' if label else "Missing labels"
    return f"{name} went from {old[label]:.0%} of the cases in calibration to {new[label]:.0%}"


def _too_few(name: str, window: int, recent: int) -> DriftSignal:
    side, count = ("calibration", window) if window < MIN_CASES else ("the recent past", recent)
    text = f"Drift of the {name} is not judged yet: {count} of {MIN_CASES} cases in {side}."
    return DriftSignal(name, float("nan"), float("nan"), False, text)
