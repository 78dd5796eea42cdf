"""How often each kind of threshold breaks its word, and how far off an audit is, in simulation.

    python -m benchmarks.uq_promises

The world: scores uniform in [0, 1], P(error | score) = score ** 2 / 2, so 1 case in 6 is wrong and
the true risk of every threshold is known. Baselines: a percentile of the same coverage for the
guarantees, the labels of deferred cases for the audit.
"""

import argparse
from collections.abc import Callable

import numpy as np

from inference.uq.audit import accepted_error
from inference.uq.thresholds import (
    ThresholdChoice,
    by_percentile,
    guaranteed_risk,
    selection_with_guaranteed_risk,
)
from inference.uq.types import Floats

DRAWS, TARGET, DELTA = 500, 0.1, 0.1


def world(n: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    return scores, (rng.random(n) < scores**2 / 2).astype(np.float64)


def true_risk(threshold: float) -> float:
    """Error rate among all cases up to the threshold: the mean of s ** 2 / 2."""
    return float(np.clip(threshold, 0, 1)) ** 2 / 6


def percentile(scores: Floats, wrong: Floats, target: float, _: float) -> ThresholdChoice:
    """Defers as little as keeps the error rate seen at the target: no bound, no guarantee."""
    seen = np.cumsum(wrong[np.argsort(scores)]) / np.arange(1, len(scores) + 1)
    kept = np.flatnonzero(seen <= target)
    coverage = (kept[-1] + 1) / len(scores) if len(kept) else 0.0
    return by_percentile(scores, 100 * (1 - coverage))


def judge_method(
    method: Callable[[Floats, Floats, float, float], ThresholdChoice], n: int
) -> tuple[float, float, float]:
    """Shares of draws with a threshold and with a broken promise, and the mean coverage."""
    choices = [method(*world(n, seed), TARGET, DELTA) for seed in range(DRAWS)]
    broken = [c.qualifies and true_risk(c.threshold) > TARGET for c in choices]
    return (
        float(np.mean([choice.qualifies for choice in choices])),
        float(np.mean(broken)),
        float(np.mean([choice.coverage for choice in choices])),
    )


def audit_bias(n: int = 2000, threshold: float = 0.7, share: float = 0.05) -> tuple[float, float]:
    """Mean error of the audit's estimate, and of the deferred labels' error rate in its place."""
    audits, reviews = [], []
    for seed in range(DRAWS):
        scores, wrong = world(n, seed)
        accepted = scores <= threshold
        audited = np.random.default_rng(DRAWS + seed).random(n) < share
        found = accepted_error(wrong, accepted, audited, np.full(n, share))
        audits.append(found.estimate - true_risk(threshold))
        reviews.append(wrong[~accepted].mean() - true_risk(threshold))
    return float(np.mean(audits)), float(np.mean(reviews))


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(f"at most {TARGET:.0%} wrong, confidence {1 - DELTA:.0%}; {DRAWS} draws each")
    print("method                            labels  found  broken  coverage")
    for name, method in (
        ("guaranteed risk (fixed sequence)", guaranteed_risk),
        ("selection with guaranteed risk", selection_with_guaranteed_risk),
        ("percentile, same labels", percentile),
    ):
        for n in (200, 500, 1000):
            found, broken, coverage = judge_method(method, n)
            print(f"{name:32s}  {n:6d}  {found:5.0%}  {broken:6.1%}  {coverage:8.0%}")
    audit, reviews = audit_bias()
    print("error rate of the accepted, 5 % audited, 2,000 cases: mean error of the estimate")
    print(f"  audit, weighted by 1 / probability  {audit:+.4f}")
    print(f"  labels of the deferred cases        {reviews:+.4f}")


if __name__ == "__main__":
    main()
