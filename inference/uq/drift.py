"""Do today's cases still resemble those of the calibration window? If not, no guarantee holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inference.uq.types import Bools, Floats, Marks, Numbers

MIN_CASES = 20
MOST_CASES = 500  # of a side, in the comparison of texts: enough to tell, and quick
SHUFFLES = 999
FEWEST_TEXTS = 10


ALPHA = 0.01
DRIFTED = {
    "scores_higher": "The scores are higher than in calibration (p = {p:.1g}).",
    "scores_spread": "The scores are differently spread than in calibration (p = {p:.1g}).",
    "labels_changed": '"{label}" went from {old:.0%} of the cases in calibration to {new:.0%} '
    "(p = {p:.1g}).",
    "labels_missing": "Missing labels went from {old:.0%} of the cases in calibration to {new:.0%} "
    "(p = {p:.1g}).",
    "deferrals_changed": "{new:.0%} of the cases are deferred, {old:.0%} in calibration "
    "(p = {p:.1g}).",
    "texts_apart": "The texts are unlike those of calibration: {ratio:.1f} times as far apart as "
    "chance would have them (p = {p:.1g}).",
}
"""The words for each code of something that has drifted."""
_OTHERWISE = {
    "scores": "The scores look as they did in calibration (p = {p:.2g}).",
    "labels": "The labels are mixed as they were in calibration (p = {p:.2g}).",
    "deferrals": "As many cases are deferred as in calibration, {new:.0%} (p = {p:.2g}).",
    "texts": "The texts resemble those of calibration (p = {p:.2g}).",
    "one_label": "All cases still have one and the same label.",
    "too_few": "Drift of the {name} is not judged yet: {count} of {fewest} cases in {side}.",
}


@dataclass(frozen=True)
class DriftSignal:
    """One comparison with the calibration window. `p_value` is NaN with too few cases on a side.

    `code` and `values` are what there is to say of it: DRIFTED has the words where it drifted.
    """

    name: str
    statistic: float
    p_value: float
    drifted: bool
    code: str
    values: dict[str, float | str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """In English."""
        words = DRIFTED[self.code] if self.drifted else _OTHERWISE.get(self.code)
        words = words or _OTHERWISE[self.name]
        return words.format(**{"p": self.p_value} | self.values)


def together(signals: Sequence[DriftSignal], alpha: float = ALPHA) -> list[DriftSignal]:
    """The same with p-values that hold for all of them at once (Holm 1979).

    Those that could not be told do not count. With several tests the least of their p-values is
    small too often: all is as it was, and yet one of them says otherwise.
    """
    told = sorted((one.p_value, at) for at, one in enumerate(signals) if np.isfinite(one.p_value))
    found, so_far = list(signals), 0.0
    for rank, (p_value, at) in enumerate(told):
        so_far = max(so_far, min(1.0, (len(told) - rank) * p_value))
        found[at] = replace(signals[at], p_value=so_far, drifted=so_far < alpha)
    return found


def score_drift(window: Floats, recent: Floats, alpha: float = ALPHA) -> DriftSignal:
    """Two-sample Kolmogorov-Smirnov test of a score's distribution; unknown scores are left out."""
    from scipy.stats import ks_2samp

    window, recent = window[np.isfinite(window)], recent[np.isfinite(recent)]
    if min(len(window), len(recent)) < MIN_CASES:
        return _too_few("scores", len(window), len(recent))
    test = ks_2samp(window, recent)
    p_value = float(test.pvalue)
    code = "scores_higher" if np.median(recent) > np.median(window) else "scores_spread"
    return DriftSignal("scores", float(test.statistic), p_value, p_value < alpha, code)


def label_drift(window: Sequence[str], recent: Sequence[str], alpha: float = ALPHA) -> DriftSignal:
    """Chi-square test of the mix of predicted labels; a missing label ("") is a label too."""
    from scipy.stats import chi2_contingency

    if min(len(window), len(recent)) < MIN_CASES:
        return _too_few("labels", len(window), len(recent))
    before, after = Counter(window), Counter(recent)
    labels = sorted(before | after)
    if len(labels) == 1:
        return DriftSignal("labels", 0.0, 1.0, False, "one_label")
    test = chi2_contingency([[side[label] for label in labels] for side in (before, after)])
    p_value, change = float(test.pvalue), _largest_change(before, after, labels)
    code = "labels_changed" if change["label"] else "labels_missing"
    return DriftSignal("labels", float(test.statistic), p_value, p_value < alpha, code, change)


def deferral_drift(
    window: Sequence[bool] | Marks, recent: Sequence[bool] | Marks, alpha: float = ALPHA
) -> DriftSignal:
    """Fisher's exact test of the share deferred, 1 or True where a case was."""
    from scipy.stats import fisher_exact

    if min(len(window), len(recent)) < MIN_CASES:
        return _too_few("deferrals", len(window), len(recent))
    counts = [[int(np.sum(side)), len(side) - int(np.sum(side))] for side in (window, recent)]
    old, new = (deferred / (deferred + kept) for deferred, kept in counts)
    p_value = float(fisher_exact(counts).pvalue)
    shares: dict[str, float | str] = {"old": old, "new": new}
    code = "deferrals_changed"
    return DriftSignal("deferrals", abs(new - old), p_value, p_value < alpha, code, shares)


def embedding_drift(
    window: Numbers, recent: Numbers, alpha: float = ALPHA, *, seed: int = 0
) -> DriftSignal:
    """Permutation test of the distance between the mean embeddings (n, d) of both sides.

    Rows are brought to length 1; a row with a gap is left out; of more than MOST_CASES on a side,
    that many are drawn with the seed. The maximum mean discrepancy of a linear kernel (Gretton et
    al. 2012), as a multiple of what chance alone would give.
    """
    rng = np.random.default_rng(seed)
    before, after = (_unit_rows(side, rng) for side in (window, recent))
    if min(len(before), len(after)) < FEWEST_TEXTS:
        return _too_few("texts", len(before), len(after), FEWEST_TEXTS)
    inner = np.vstack([before, after]) @ np.vstack([before, after]).T
    is_new = np.arange(len(inner)) >= len(before)
    seen = _squared_distance(inner, is_new[None, :])[0]
    shuffled = np.array([rng.permutation(is_new) for _ in range(SHUFFLES)])
    by_chance = _squared_distance(inner, shuffled)
    p_value = float((1 + (by_chance >= seen).sum()) / (1 + SHUFFLES))
    ratio = float(seen / max(by_chance.mean(), 1e-12))
    told: dict[str, float | str] = {"ratio": ratio}
    return DriftSignal("texts", ratio, p_value, p_value < alpha, "texts_apart", told)


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


def _largest_change(
    before: Counter[str], after: Counter[str], labels: Sequence[str]
) -> dict[str, float | str]:
    old = {label: before[label] / before.total() for label in labels}
    new = {label: after[label] / after.total() for label in labels}
    label = max(labels, key=lambda one: abs(new[one] - old[one]))
    return {"label": label, "old": old[label], "new": new[label]}


def _too_few(name: str, window: int, recent: int, fewest: int = MIN_CASES) -> DriftSignal:
    side, count = ("calibration", window) if window < fewest else ("the recent past", recent)
    values: dict[str, float | str] = {"name": name, "side": side, "count": count, "fewest": fewest}
    return DriftSignal(name, float("nan"), float("nan"), False, "too_few", values)
