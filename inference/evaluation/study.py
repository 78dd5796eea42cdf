"""What each part is worth: deferral, stages, members, settings, labels, and what a shift does.

Everything is judged on cases that had no part in fitting it. The paper (arXiv 2512.03101) reports
accuracy against deferral; this is the rest of what one wants to know before trusting it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from inference.evaluation.nested import (
    BY_VOTE,
    Judgement,
    Labelled,
    fit,
    folds_of,
    judge,
    nested,
    texts_drift,
)
from inference.uq import metrics
from inference.uq.aggregate import AlarmScore
from inference.uq.aggregator import LearnedAggregator
from inference.uq.answers import vote
from inference.uq.crossfit import out_of_fold
from inference.uq.ensemble import STAGE_METHODS, label_free_scores
from inference.uq.promotion import LEARNED, VOTE
from inference.uq.thresholds import guaranteed_risk
from inference.uq.types import Bools, Floats, Objects

Tell = Callable[[str], None]

DEFERRALS = (0, 20, 40)
FEWEST = 60
BUDGETS = (50, 100, 200, 400, 800, 1600)
SIGMAS = (0.5, 1.0, 1.3, 1.5, 2.0, 3.0)
SIZES_TRIED = 10
CURVES = ("vote_entropy", BY_VOTE, "alarm", LEARNED)
POINTS = 26
DRAWS = 200
RISK, DELTA, RISK_DRAWS, RISK_LABELS = 0.10, 0.10, 500, 500
FEWEST_OF_A_KIND = 15


def study(labelled: Labelled, kinds: Objects, *, tell: Tell, seed: int = 0) -> dict[str, Any]:
    """Plain JSON; `kinds` (n,) names what could be new one day, "" where that is not known.

    Raises ValueError below 60 sound cases, or where all or none are right.
    """
    usable = labelled.take(labelled.sound)
    if len(usable) < FEWEST or not 0 < _vote_wrong(usable).mean() < 1:
        raise ValueError(f"a study needs {FEWEST} whole answers, some right and some wrong")
    tell("nested cross-validation")
    judged = nested(usable, seed)
    parts: dict[str, Callable[[], Any]] = {
        "baseline": lambda: _baseline(usable, judged),
        "risk_coverage": lambda: _curves(usable, judged, seed),
        "ablation": lambda: _ablation(usable, seed),
        "texts": lambda: _without_texts(usable, seed),
        "ensemble_size": lambda: _sizes(usable, seed),
        "sensitivity": lambda: _sensitivity(usable, seed),
        "stages": lambda: _reliability(usable, judged),
        "label_budget": lambda: _budgets(usable, seed),
        "guarantee": lambda: _guarantee(usable, judged, seed),
        "shift": lambda: _shift(usable, kinds[labelled.sound]),
    }
    found: dict[str, Any] = {"n": len(usable)}
    for name, part in parts.items():
        tell(f"study: {name.replace('_', ' ')}")
        found[name] = part()
    return found


def worth(score: Floats, wrong: Bools) -> dict[str, Any]:
    """How well a score finds the errors: kept accuracy at 0, 20 and 40 % deferred, and AURC."""
    kept = {str(p): rounded(metrics.kept_accuracy(score, wrong, p / 100)) for p in DEFERRALS}
    return {"kept_accuracy": kept, "aurc": rounded(metrics.aurc(score, wrong))}


def rounded(value: float) -> float | None:
    """Six decimals; None for what is not a number."""
    return round(float(value), 6) if np.isfinite(value) else None


def _vote_wrong(labelled: Labelled) -> Bools:
    wrong: Bools = vote(labelled.answers)[0] != labelled.truth
    return wrong


def _wrong(labelled: Labelled, judged: Judgement, method: str) -> Bools:
    wrong: Bools = judged.label_of(method) != labelled.truth
    return wrong


def _baseline(labelled: Labelled, judged: Judgement) -> dict[str, Any]:
    """Nothing deferred: each member, the votes before and after reflection, the learned label."""
    answers, truth = labelled.answers, labelled.truth
    found = {
        name: rounded((answers.labels[:, at] == truth).mean())
        for at, name in enumerate(answers.members)
    }
    found["vote"] = rounded(1 - _vote_wrong(labelled).mean())
    if (answers.reflected != "").any():
        after = replace(
            answers, labels=np.where(answers.reflected == "", answers.labels, answers.reflected)
        )
        found["vote after reflection"] = rounded((vote(after)[0] == truth).mean())
    if LEARNED in judged.labels:
        found["learned aggregator"] = rounded((judged.labels[LEARNED] == truth).mean())
    return found


def _curves(labelled: Labelled, judged: Judgement, seed: int) -> dict[str, Any]:
    """method -> accuracy kept at shares deferred from 0 to 50 %, with 90 % bootstrap bands."""
    shares = np.linspace(0, 0.5, POINTS)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(labelled), size=(DRAWS, len(labelled)))
    found: dict[str, Any] = {"deferred": [rounded(one) for one in shares]}
    for method in CURVES:
        if method not in judged.scores:
            continue
        score, wrong = judged.scores[method], _wrong(labelled, judged, method)
        again = np.array([_kept_at(score[rows], wrong[rows], shares) for rows in drawn])
        low, high = np.quantile(again, [0.05, 0.95], axis=0)
        found[method] = {
            "kept": [rounded(one) for one in _kept_at(score, wrong, shares)],
            "low": [rounded(one) for one in low],
            "high": [rounded(one) for one in high],
        }
    return found


def _kept_at(score: Floats, wrong: Bools, shares: Floats) -> Floats:
    places = np.maximum(np.round((1 - shares) * len(score)).astype(int), 1) - 1
    kept: Floats = 1 - metrics.rc_curve(score, wrong)[places]
    return kept


def _ablation(labelled: Labelled, seed: int) -> dict[str, Any]:
    """ALARM's combination of some stages only, weights and moments fitted on the other folds."""
    stages, wrong, folds = _stages(labelled, seed)
    found = {}
    for count in (3, 2, 1):
        for columns in combinations(range(3), count):
            name = " + ".join(f"S{column + 1}" for column in columns)
            score = _combined(stages[:, columns], wrong, folds, AlarmScore())
            found[name] = worth(score, wrong)
    return found


def _stages(labelled: Labelled, seed: int) -> tuple[Floats, Bools, Any]:
    """Stage scores (n, 3) out of fold, the errors of the vote (n,), and folds (n,)."""
    wrong, folds = _vote_wrong(labelled), folds_of(labelled, seed)
    parts = []
    for fold in np.unique(folds):
        fitted = fit(labelled.take(folds != fold), seed, learn=False)
        scores = fitted.calibration.scores(labelled.answers.take(folds == fold))
        parts.append(np.column_stack([scores[method] for method in STAGE_METHODS.values()]))
    order = np.argsort(np.concatenate([np.flatnonzero(folds == one) for one in np.unique(folds)]))
    return np.concatenate(parts)[order], wrong, folds


def _combined(stages: Floats, wrong: Bools, folds: Any, model: AlarmScore) -> Floats:
    def predict(train: Bools, test: Bools) -> Floats:
        right = 1 - wrong[train].astype(np.float64)
        again = AlarmScore(model.deferral, model.percentages, model.sigma)
        return again.fit(stages[train], right).predict(stages[test])

    return out_of_fold(folds, predict)


def _without_texts(labelled: Labelled, seed: int) -> dict[str, Any]:
    """The learned aggregator when a part of what was said is kept from it."""
    a = labelled.answers
    no_text, no_vector = np.full(a.labels.shape, ""), np.full(a.descriptions.shape, np.nan)
    no_descriptions = replace(a, descriptions=no_vector, description_texts=no_text)
    no_reasonings = replace(a, reasonings=no_vector, reasoning_texts=no_text)
    views = {
        "all that was said": a,
        "without descriptions": no_descriptions,
        "without reasonings": no_reasonings,
        "votes and signals only": replace(
            no_reasonings, descriptions=no_vector, description_texts=no_text
        ),
        "without reflection": replace(a, reflected=np.full(a.labels.shape, "")),
    }
    if not (a.reflected != "").any():
        del views["without reflection"]
    return {name: _learned(replace(labelled, answers=view), seed) for name, view in views.items()}


def _learned(labelled: Labelled, seed: int, most: int | None = None) -> dict[str, Any] | None:
    """The learned aggregator on other folds; `most` labels to learn from. None with too few."""
    folds = folds_of(labelled, seed)
    labels, error = np.full(len(labelled), "", dtype=object), np.ones(len(labelled))
    for fold in np.unique(folds):
        train, test = labelled.take(folds != fold), folds == fold
        chosen = np.random.default_rng(seed).permutation(len(train))[:most]
        train = train.take(np.sort(chosen))
        try:
            model = LearnedAggregator(seed=seed).fit(train.answers, train.truth)
        except ValueError:
            return None
        opinion = model.predict(labelled.answers.take(test))
        labels[test], error[test] = opinion.labels, opinion.error
    wrong = labels != labelled.truth
    return worth(error, wrong) | {"ece": rounded(metrics.ece(np.nan_to_num(error, nan=1), wrong))}


def _sizes(labelled: Labelled, seed: int) -> dict[str, Any]:
    """Ensembles of 1, 2, ... members: means over at most ten choices of members."""
    members, rng = labelled.answers.members, np.random.default_rng(seed)
    found: dict[str, Any] = {
        "1": {
            "vote": {
                "kept_accuracy": {
                    "0": rounded((labelled.answers.labels == labelled.truth[:, None]).mean())
                },
                "aurc": None,
            },
            "learned": None,
        }
    }
    for size in range(2, len(members) + 1):
        choices = list(combinations(members, size))
        tried = [choices[at] for at in rng.permutation(len(choices))[:SIZES_TRIED]]
        some = [replace(labelled, answers=labelled.answers.only(one)) for one in tried]
        by_vote = [worth(label_free_scores(one.answers)[BY_VOTE], _vote_wrong(one)) for one in some]
        learned = [_learned(one, seed) for one in some]
        found[str(size)] = {"vote": averaged(by_vote), "learned": averaged(learned)}
    return found


def averaged(found: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The mean of each number that all have; what is no number is taken from the first."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    return {key: _mean([one.get(key) for one in known]) for key in known[0]}


def _mean(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Mapping):
        return averaged(values)
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        return values[0] if len(set(values)) == 1 else rounded(float(np.mean(values)))
    return values[0]


def _sensitivity(labelled: Labelled, seed: int) -> dict[str, Any]:
    """sigma -> accuracy kept at the share deferred that the weights were chosen for."""
    stages, wrong, folds = _stages(labelled, seed)
    return {
        str(sigma): {
            str(p): rounded(
                metrics.kept_accuracy(
                    _combined(stages, wrong, folds, AlarmScore(p, sigma=sigma)), wrong, p / 100
                )
            )
            for p in (10, 20, 30, 40)
        }
        for sigma in SIGMAS
    }


def _reliability(labelled: Labelled, judged: Judgement) -> dict[str, Any]:
    """Each score's P(error), fitted on the other folds, against what was really wrong."""
    shown = [*STAGE_METHODS.values(), "alarm", BY_VOTE, LEARNED]
    found = {}
    for method in shown:
        if method not in judged.error or method not in judged.scores:
            continue
        stated, wrong = judged.error[method], _wrong(labelled, judged, method)
        found[method] = {
            "ece": rounded(metrics.ece(stated, wrong)),
            "brier": rounded(metrics.brier(stated, wrong)),
            "points": [
                [rounded(stated[rows].mean()), rounded(wrong[rows].mean())]
                for rows in metrics.reliability_bins(stated)
            ],
        }
    return found


def _budgets(labelled: Labelled, seed: int) -> list[dict[str, Any]]:
    """What more labels buy; the vote beside it needs none."""
    most = len(labelled) * 4 // 5
    sizes = [*(size for size in BUDGETS if size < most), most]
    free = worth(label_free_scores(labelled.answers)[BY_VOTE], _vote_wrong(labelled))
    rows: list[dict[str, Any]] = [{"labels": 0, "vote": free, "learned": None}]
    for size in sizes:
        learned = averaged([_learned(labelled, seed + at, size) for at in range(3)])
        rows.append({"labels": size, "vote": free, "learned": learned})
    return rows


def _guarantee(labelled: Labelled, judged: Judgement, seed: int) -> dict[str, Any] | None:
    """Thresholds with guaranteed risk on 500 draws of 500 labels from all cases, as the world."""
    if LEARNED not in judged.scores:
        return None
    score, wrong = judged.scores[LEARNED], _wrong(labelled, judged, LEARNED)
    rng = np.random.default_rng(seed)
    risks, coverage = [], []
    for _ in range(RISK_DRAWS):
        rows = rng.integers(len(labelled), size=RISK_LABELS)
        choice = guaranteed_risk(score[rows], wrong[rows], RISK, DELTA)
        accepted = choice.accept(score)
        if choice.qualifies:
            risks.append(wrong[accepted].mean())
            coverage.append(accepted.mean())
    return {
        "target": RISK,
        "delta": DELTA,
        "draws": RISK_DRAWS,
        "labels": RISK_LABELS,
        "found": rounded(len(risks) / RISK_DRAWS),
        "violated": rounded(np.sum(np.array(risks) > RISK) / RISK_DRAWS),
        "accepted": rounded(float(np.mean(coverage))) if coverage else None,
    }


def _shift(labelled: Labelled, kinds: Objects) -> dict[str, Any]:
    """Each kind of case as if it had never been seen: is that noticed, and who decides?"""
    found = {}
    for kind in sorted(set(kinds)):
        new = kinds == kind
        if not kind or new.sum() < FEWEST_OF_A_KIND or (~new).sum() < FEWEST:
            continue
        fitted = fit(labelled.take(~new))
        judged = judge(fitted, labelled.answers.take(new), labelled.sound[new])
        drift, truth = texts_drift(fitted, labelled.answers.take(new)), labelled.truth[new]
        found[kind] = {
            "n": int(new.sum()),
            "vote": rounded((judged.labels[VOTE] == truth).mean()),
            "learned": rounded((judged.labels.get(LEARNED, judged.labels[VOTE]) == truth).mean()),
            "distance": rounded(drift.statistic),
            "p_value": rounded(drift.p_value),
            "recognised": drift.drifted,
            "decides": judged.choices[0].chosen,
            "accuracy": rounded((judged.decided == truth).mean()),
        }
    return found
