"""Where to draw the line: accept iff the score is finite and <= threshold.

Every mode returns a `ThresholdChoice`; "no threshold qualifies" is one of its values. All of it
assumes that the next cases resemble the labelled ones: `inference.uq.drift` watches that.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Self

import numpy as np
import scipy

from inference.uq.types import Bools, Floats, Json, Marks

_NEVER = -math.inf
_MOST_LABELS = 100_000


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold, how it was chosen, and what it promises.

    `threshold` is -inf (nothing is accepted) when none qualifies. `coverage`: share of the
    labelled cases that it accepts. `bound`: upper bound of the mode's risk that holds with
    confidence 1 - delta, None where the mode promises nothing. `labels_needed`: about how many
    more labels until one may qualify, 0 if one does, None if 100,000 would not
    help.
    """

    threshold: float
    mode: str
    bound: float | None
    coverage: float
    qualifies: bool
    labels: int
    labels_needed: int | None = 0
    target: float | None = None
    delta: float | None = None

    def accept(self, scores: Floats) -> Bools:
        """Which scores (n,) are accepted; one that is not finite never is."""
        accepted: Bools = np.isfinite(scores) & (scores <= self.threshold)
        return accepted

    def to_dict(self) -> Json:
        """Plain JSON; a threshold of -inf is written as null."""
        return asdict(self) | {"threshold": self.threshold if self.qualifies else None}

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        values = dict(data)
        if values["threshold"] is None:
            values["threshold"] = _NEVER
        return cls(**values)  # type: ignore[arg-type]


def clopper_pearson_upper(errors: float, n: float, delta: float) -> float:
    """One-sided exact upper bound of a binomial rate, confidence 1 - delta."""
    return (
        1.0 if errors >= n else float(scipy.special.betaincinv(errors + 1, n - errors, 1 - delta))
    )


def clopper_pearson_lower(errors: float, n: float, delta: float) -> float:
    """One-sided exact lower bound of a binomial rate, confidence 1 - delta."""
    return 0.0 if errors <= 0 else float(scipy.special.betaincinv(errors, n - errors + 1, delta))


def by_percentile(scores: Floats, deferral: float) -> ThresholdChoice:
    """Defer the `deferral` percent in [0, 100] most uncertain of the calibration scores.

    A workload, no guarantee. None qualifies without a known score.
    """
    known = scores[np.isfinite(scores)]
    if not len(known):
        return ThresholdChoice(_NEVER, "percentile", None, 0.0, False, 0, 1)
    threshold = float(np.percentile(known, 100 - deferral))
    coverage = float((scores <= threshold).mean())
    return ThresholdChoice(threshold, "percentile", None, coverage, True, len(scores))


def cheapest_percentage(
    percentages: Sequence[float], accuracy: Sequence[float], price: float
) -> int:
    """Index of the P that maximises accuracy(P) - price x P / 100, ALARM's rule; first of ties."""
    gain = np.asarray(accuracy) - price * (np.asarray(percentages, dtype=np.float64) / 100)
    return int(np.argmax(gain))


def expected_cost(
    wrong: Marks,
    accepted: Bools,
    *,
    error_cost: float | Floats = 1.0,
    review_cost: float = 0.1,
    expert_error: float = 0.0,
    expert_cost: float | Floats | None = None,
    weights: Floats | None = None,
) -> float:
    """Cost a case: accepted errors, reviews of the deferred, and the reviewers' errors on them.

    Args:
        error_cost: of accepting a wrong case, for all or (n,) for each; `inference.uq.costs` has
            tables of them.
        review_cost: of looking at a case, in the same unit.
        expert_error: how often a reviewer is wrong, 0 to 1.
        expert_cost: of a reviewer's error; that of an accepted one where it is left out.
    """
    expert_cost = error_cost if expert_cost is None else expert_cost
    lost = np.asarray(wrong, np.float64) * error_cost
    reviewed = review_cost + expert_error * np.broadcast_to(expert_cost, np.shape(lost))
    return float(np.average(np.where(accepted, lost, reviewed), weights=weights))


def by_cost(
    scores: Floats,
    wrong: Marks,
    *,
    error_cost: float | Floats = 1.0,
    review_cost: float = 0.1,
    expert_error: float = 0.0,
    expert_cost: float | Floats | None = None,
    weights: Floats | None = None,
) -> ThresholdChoice:
    """The threshold of the least `expected_cost`; accepting nothing is among the choices.

    With `expert_error` 0 a dearer error never raises it. With reviewers who err, errors that cost
    them more as well may: what they look at is no longer safe either.
    """
    known = np.isfinite(wrong)
    expert_cost = error_cost if expert_cost is None else expert_cost
    lost = np.broadcast_to(error_cost, known.shape)[known]
    reviewed = review_cost + expert_error * np.broadcast_to(expert_cost, known.shape)[known]
    scores, wrong, weights = _labelled(scores, wrong, weights)
    best = _NEVER
    order = np.argsort(np.where(np.isfinite(scores), scores, np.inf), kind="stable")
    saving = (weights * (reviewed - lost * wrong))[order].cumsum()
    ends = _tie_ends(scores[order]) & np.isfinite(scores[order])
    if ends.any() and saving[ends].max() > 0:
        best = float(scores[order][ends][saving[ends].argmax()])
    accepted = scores <= best
    coverage = float(np.average(accepted, weights=weights)) if len(scores) else 0.0
    qualifies = best > _NEVER
    needed = 0 if qualifies else None
    return ThresholdChoice(best, "cost", None, coverage, qualifies, len(scores), needed)


def guaranteed_risk(
    scores: Floats,
    wrong: Marks,
    target: float,
    delta: float = 0.1,
    *,
    steps: int = 20,
    bonferroni: bool = False,
    weights: Floats | None = None,
) -> ThresholdChoice:
    """At most `target` wrong among the accepted, with confidence 1 - delta: Learn-Then-Test.

    Angelopoulos et al. 2021 (arXiv 2110.01052): from the most careful of `steps` thresholds
    (quantiles of the scores) upwards an exact binomial test each, ending at the first that fails;
    steps with too few cases to pass with no error at all are skipped. `bonferroni` tests every step
    at delta / steps instead. `scores` and `wrong` (n,) must have fitted nothing else; rows without
    a label (NaN) are left out. `weights` 1 / labelling probability: tested on the effective number
    of labels, exact where the weights are equal.
    """
    _check_levels(target, delta)
    scores, wrong, weights = _labelled(scores, wrong, weights)
    sequence = [_step(scores, wrong, weights, threshold) for threshold in _grid(scores, steps)]
    test = _Test(target, delta, steps if bonferroni else None)
    best = test.last_passing(sequence)
    needed = 0 if best else _labels_needed(sequence, len(scores), test)
    return _choice("guaranteed risk", best, test, len(scores), needed)


def selection_with_guaranteed_risk(
    scores: Floats, wrong: Marks, target: float, delta: float = 0.1
) -> ThresholdChoice:
    """The same promise by binary search (Geifman & El-Yaniv 2017, arXiv 1705.08500)."""
    _check_levels(target, delta)
    scores, wrong, weights = _labelled(scores, wrong, None)
    ranked = np.sort(scores[np.isfinite(scores)])
    rounds = math.ceil(math.log2(len(ranked))) if len(ranked) else 0
    test = _Test(target, delta, rounds)
    best: _Step | None = None
    low, high = 0, len(ranked) - 1
    for _ in range(rounds):
        middle = (low + high + 1) // 2
        step = _step(scores, wrong, weights, float(ranked[middle]))
        if test.bound(step) > target:
            high = max(middle - 1, low)
            continue
        low = middle
        best = step if best is None or step.coverage > best.coverage else best
        if low >= high:
            break
    sequence = [_step(scores, wrong, weights, threshold) for threshold in _grid(scores, 20)]
    needed = 0 if best else _labels_needed(sequence, len(scores), test)
    return _choice("selection with guaranteed risk", best, test, len(scores), needed)


def conformal_risk(scores: Floats, wrong: Marks, target: float) -> ThresholdChoice:
    """At most `target` accepted errors among ALL cases, on average: conformal risk control.

    Angelopoulos et al. 2022 (arXiv 2208.02814). No statement about accuracy among the accepted.
    """
    _check_levels(target, 0.5)
    scores, wrong, _ = _labelled(scores, wrong, None)
    n = len(scores)
    order = np.argsort(np.where(np.isfinite(scores), scores, np.inf), kind="stable")
    ranked = scores[order]
    bounds = (np.cumsum(wrong[order]) + 1) / (n + 1)
    passing = np.flatnonzero(_tie_ends(ranked) & np.isfinite(ranked) & (bounds <= target))
    mode = "conformal risk"
    if not len(passing):
        needed = math.ceil(1 / target) - 1 - n
        more = needed if needed > 0 else None
        return ThresholdChoice(_NEVER, mode, None, 0.0, False, n, more, target)
    last = passing[-1]
    coverage = (int(last) + 1) / n
    return ThresholdChoice(
        float(ranked[last]), mode, float(bounds[last]), coverage, True, n, 0, target
    )


def spread_ties(
    scores: Floats, keys: Sequence[str], *, seed: int = 0, width: float = 1e-6
) -> Floats:
    """Scores (n,) plus a random amount below `width` that a case's key and the seed decide alone.

    Tied scores then fall on both sides of a threshold, the same way each time. Use it on the
    calibration scores and on every score decided.
    """
    offsets = np.array([_uniform(f"{seed}:{key}") for key in keys], dtype=np.float64)
    return scores + width * offsets


def _uniform(text: str) -> float:
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _check_levels(target: float, delta: float) -> None:
    if not (0 < target < 1 and 0 < delta < 1):
        raise ValueError(f"target {target} and delta {delta} must lie strictly between 0 and 1")


def _labelled(
    scores: Floats, wrong: Marks, weights: Floats | None
) -> tuple[Floats, Floats, Floats]:
    weights = np.ones(len(scores)) if weights is None else weights
    known = np.isfinite(wrong)
    if not (np.isfinite(weights[known]) & (weights[known] > 0)).all():
        raise ValueError("a labelled case needs a finite weight above zero")
    return scores[known], wrong[known].astype(np.float64), weights[known]


def _grid(scores: Floats, steps: int) -> Iterator[float]:
    """Quantiles of the scores, a `steps`-th of the cases apart; never infinite."""
    if not len(scores):
        return
    ranked = np.sort(np.where(np.isfinite(scores), scores, np.inf))
    for threshold in np.quantile(ranked, np.linspace(1 / steps, 1, steps), method="higher"):
        if np.isfinite(threshold):
            yield float(threshold)


@dataclass(frozen=True)
class _Step:
    """A threshold, and the labels that it accepts: errors, number (equally weighted), share."""

    threshold: float
    errors: float
    n: float
    coverage: float


def _step(scores: Floats, wrong: Floats, weights: Floats, threshold: float) -> _Step:
    """Unequal weights count as so many equal ones as give the same variance (Kish)."""
    accepted = scores <= threshold
    weight = weights[accepted]
    coverage = float(weight.sum() / weights.sum())
    if np.ptp(weight) == 0:
        return _Step(threshold, float(wrong[accepted].sum()), float(len(weight)), coverage)
    n = float(weight.sum() ** 2 / (weight**2).sum())
    rate = float(np.average(wrong[accepted], weights=weight))
    return _Step(threshold, rate * n, n, coverage)


@dataclass(frozen=True)
class _Test:
    """Exact binomial tests, each at delta in a fixed order, or at delta / `shared` in any order."""

    target: float
    delta: float
    shared: int | None

    def bound(self, step: _Step) -> float:
        return clopper_pearson_upper(step.errors, step.n, self.delta / (self.shared or 1))

    @property
    def testable(self) -> int:
        """The least number of labels that can pass, all of them right."""
        return math.ceil(math.log(self.delta) / math.log1p(-self.target))

    def last_passing(self, sequence: Sequence[_Step]) -> _Step | None:
        best = None
        for step in sequence:
            if self.bound(step) <= self.target:
                best = step
            elif self.shared is None and step.n >= self.testable:
                break
        return best


def _choice(
    mode: str, best: _Step | None, test: _Test, labels: int, needed: int | None
) -> ThresholdChoice:
    if best is None:
        return ThresholdChoice(
            _NEVER, mode, None, 0.0, False, labels, needed, test.target, test.delta
        )
    return ThresholdChoice(
        best.threshold,
        mode,
        test.bound(best),
        best.coverage,
        True,
        labels,
        needed,
        test.target,
        test.delta,
    )


def _labels_needed(sequence: Sequence[_Step], labels: int, test: _Test) -> int | None:
    """The least number of more labels, in steps of a fifth, with which half of simulations pass."""
    if not sequence:
        labels, sequence = 1, [_Step(0.0, 0.0, share, share) for share in np.arange(1, 21) / 20]
    rng = np.random.default_rng(0)
    total = labels * 1.2
    while total <= _MOST_LABELS:
        futures = _futures(sequence, total / labels, test.target, rng)
        if np.mean([test.last_passing(future) is not None for future in futures]) >= 0.5:
            return math.ceil(total - labels)
        total *= 1.2
    return None


def _futures(
    sequence: Sequence[_Step], growth: float, target: float, rng: np.random.Generator
) -> list[list[_Step]]:
    """Sequences as more labels may show them, if each slice of scores keeps the error rate seen.

    A few labels without an error are no proof: one label at half the target joins each slice.
    """
    n = np.diff([step.n for step in sequence], prepend=0.0).clip(min=0)
    errors = np.diff([step.errors for step in sequence], prepend=0.0).clip(min=0, max=n)
    rates = (errors + target / 2) / (n + 1)
    sizes = np.round(np.cumsum(n) * growth)
    draws = rng.binomial(np.diff(sizes, prepend=0).astype(np.int64), rates, (20, len(n)))
    return [
        [
            replace(step, errors=float(count), n=float(size))
            for step, count, size in zip(sequence, counts, sizes, strict=True)
        ]
        for counts in draws.cumsum(axis=1)
    ]


def _tie_ends(ranked: Floats) -> Bools:
    """True at the last place of each group of equal scores."""
    return np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
