"""The numbers of the report: what the vote is worth, and what each score knows of its errors."""

from collections.abc import Callable

import numpy as np

from inference.evaluation.folder import ABNORMAL
from inference.evaluation.judging import PROBABILITY_OF, Judged, SideVotes
from inference.evaluation.measures import (
    balanced_accuracy,
    clustered_interval,
    deferred_shares,
    macro_f1,
)
from inference.uq import metrics
from inference.uq.types import Bools, Floats, Ints

DEFERRALS = (0, 10, 20, 30, 40)
DEFERRED = 0.2
UNNAMED = "other"


def summarise(judged: Judged, seconds_per_case: float) -> dict[str, object]:
    """Plain JSON; None where a number is not defined. Right and wrong are about labels, or sides.

    accuracy, balanced_accuracy, macro_f1
        Of the vote; ..._interval: [low, high] with 95 %, from a seeded bootstrap over groups, or
        over cases where there are none.
    kept_accuracy, aurc, auroc
        method -> how well the score finds the errors; AUROC is None if all are right, or all wrong.
    auroc_abnormal (sides only)
        The chance that an abnormal case has a higher P(abnormal) than a normal one, ties half;
        `measures.abnormality` says what P(abnormal) is.
    side_accuracy (sides only)
        Of the vote of the members' sides; `accuracy` takes the side of the label voted for.
    novel (with a reference only)
        Share of cases unlike it.
    sources (where file names tell them)
        source -> its numbers, see `_source`.
    """
    scores, wrong = judged.scores, judged.wrong
    return {
        "n": len(judged),
        "accuracy": _rounded(1 - wrong.mean()),
        "accuracy_interval": _interval(judged, lambda rows: float(1 - wrong[rows].mean())),
        "balanced_accuracy": _rounded(_balanced(judged, np.arange(len(judged)))),
        "balanced_accuracy_interval": _interval(judged, lambda rows: _balanced(judged, rows)),
        "macro_f1": _rounded(macro_f1(judged.truth, judged.predicted)),
        **(_of_sides(judged, judged.side_votes) if judged.side_votes else {}),
        "json_validity": _rounded(judged.json_validity),
        "members": {
            name: _rounded((judged.by_member[:, index] == judged.truth).mean())
            for index, name in enumerate(judged.members)
        },
        "kept_accuracy": {m: _kept(s, judged.wrong_of(m)) for m, s in scores.items()},
        "aurc": {m: _rounded(metrics.aurc(s, judged.wrong_of(m))) for m, s in scores.items()},
        "auroc": {m: _rounded(metrics.auroc(s, judged.wrong_of(m))) for m, s in scores.items()},
        "ece": _rounded(metrics.ece(judged.probability, wrong)),
        **({} if judged.novel is None else {"novel": _rounded(judged.novel.mean())}),
        **({"sources": _sources(judged)} if any(judged.sources) else {}),
        "seconds_per_case": _rounded(seconds_per_case),
    }


def _of_sides(judged: Judged, votes: SideVotes) -> dict[str, object]:
    abnormal = judged.truth == ABNORMAL
    return {
        "auroc_abnormal": _rounded(metrics.auroc(votes.abnormality, abnormal)),
        "side_accuracy": _rounded((votes.sides == judged.truth).mean()),
    }


def _balanced(judged: Judged, rows: Ints | Bools) -> float:
    return balanced_accuracy(judged.truth[rows], judged.predicted[rows])


def _interval(judged: Judged, statistic: Callable[[Ints], float]) -> list[float | None] | None:
    interval = clustered_interval(statistic, judged.groups)
    return None if interval is None else [_rounded(bound) for bound in interval]


def _kept(scores: Floats, wrong: Bools) -> dict[str, float | None]:
    return {
        str(percent): _rounded(metrics.kept_accuracy(scores, wrong, percent / 100))
        for percent in DEFERRALS
    }


def _sources(judged: Judged) -> dict[str, object]:
    deferred = deferred_shares(judged.scores[PROBABILITY_OF], DEFERRED)
    names = np.where(judged.sources == "", UNNAMED, judged.sources)
    return {name: _source(judged, names == name, deferred) for name in sorted(set(names))}


def _source(judged: Judged, rows: Bools, deferred: Floats) -> dict[str, object]:
    """`deferred`: share of its cases among the fifth of all cases that is the least certain."""
    abnormal = int((judged.truth[rows] == ABNORMAL).sum())
    return {
        "n": int(rows.sum()),
        **({"n_abnormal": abnormal} if judged.side_votes else {}),
        "accuracy": _rounded(1 - judged.wrong[rows].mean()),
        "balanced_accuracy": _rounded(_balanced(judged, rows)),
        "deferred": _rounded(deferred[rows].mean()),
        **({} if judged.novel is None else {"novel": _rounded(judged.novel[rows].mean())}),
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
