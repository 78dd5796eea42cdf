"""Recorded answers judged as a folder is, with everything fitted on other cases."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from inference.evaluation.asking import AskedCase
from inference.evaluation.folder import ABNORMAL, NORMAL, SIDES, EvaluationError, LabelSet
from inference.evaluation.judging import AGGREGATOR, Judged, SideVotes
from inference.evaluation.measures import abnormality
from inference.evaluation.nested import (
    BY_VOTE,
    Fitted,
    Judgement,
    Labelled,
    fit,
    judge,
    nested,
    texts_drift,
)
from inference.evaluation.recorded import Recorded
from inference.evaluation.study import Tell, averaged, rounded, study, worth
from inference.evaluation.summary import summarise
from inference.uq import metrics
from inference.uq.answers import Answers, Embed, label_set, vote
from inference.uq.promotion import LEARNED, VOTE, Choice
from inference.uq.types import Json, Objects

REPEATS = 3
TIMED = 20


def labelled(
    cases: Sequence[AskedCase],
    members: Sequence[str],
    embed: Embed,
    sides: dict[str, str] | None = None,
) -> Labelled:
    """Cases as arrays; `sides`: label -> normal or abnormal, if these are the truth."""
    answers = Answers.collect(members, [case.answers for case in cases], embed)
    if sides is not None:
        answers = answers.renamed(sides)
    return Labelled(
        answers,
        np.array([case.truth for case in cases], dtype=object),
        np.array([case.whole == set(members) for case in cases]),
    )


def replay(
    train: Recorded, test: Recorded | None, embed: Embed, *, tell: Tell
) -> tuple[LabelSet, Judged, dict[str, Any], dict[str, Any] | None]:
    """Judge recorded answers; returns what `page.render` shows and the JSON's content.

    Without `test`: nested cross-validation, three times with other folds, the numbers averaged.
    With it, everything is fitted on `train` and judged on `test`.
    """
    if test is not None and set(test.members) != set(train.members):
        raise EvaluationError(
            f"the files have other members, {', '.join(train.members)} and "
            f"{', '.join(test.members)}: what was learned of one says nothing of the other."
        )
    tell(f"embedding {len(train.cases) + len(test.cases if test else ())} cases")
    known = labelled(train.cases, train.members, embed)
    about = test or train
    others = known if test is None else labelled(test.cases, train.members, embed)
    try:
        fitted = fit(known)
        judgements = (
            [nested(known, seed) for seed in range(REPEATS)]
            if test is None
            else [judge(fitted, others.answers, others.sound)]
        )
    except ValueError as error:
        raise EvaluationError(f"nothing can be fitted on these answers: {error}.") from error
    every = [_judged(one, others, about) for one in judgements]
    seconds = _seconds(fitted, others)
    summary = averaged([summarise(one, seconds) for one in every]) or {}
    summary["aggregator"] = _aggregator(judgements, others, fitted, test is not None)
    labels = label_set(others.truth, others.answers.labels)
    named = LabelSet("Recorded answers", labels, {one: one for one in SIDES})
    return named, every[0], summary, study_of(known, train.cases, tell)


def study_of(known: Labelled, cases: Sequence[AskedCase], tell: Tell) -> dict[str, Any] | None:
    """The study of these cases; None where there are too few, or all or none are right."""
    kinds = np.array([case.source for case in cases], dtype=object)
    try:
        return study(known, kinds, tell=tell)
    except ValueError as error:
        tell(f"no study: {error}")
        return None


def _judged(judgement: Judgement, about: Labelled, recorded: Recorded) -> Judged:
    labels = set(label_set(about.truth, about.answers.labels))
    by_learned = judgement.decides == LEARNED
    scores = judgement.scores
    error = np.where(about.sound, judgement.decided_error, np.nan)
    whole = [name in case.whole for case in recorded.cases for name in recorded.members]
    decides = np.where(by_learned, scores.get(LEARNED, error), error)
    return Judged(
        members=about.answers.members,
        truth=about.truth,
        predicted=judgement.decided,
        by_member=about.answers.labels,
        json_validity=float(np.mean(whole)),
        scores={AGGREGATOR: decides, **scores},
        probability=judgement.decided_error,
        calibrated=True,
        groups=[case.group for case in recorded.cases],
        sources=np.array([case.source for case in recorded.cases], dtype=object),
        side_votes=_side_votes(about.answers, judgement.decided) if labels <= {*SIDES} else None,
        novel=None,
        own_labels={method: judgement.label_of(method) for method in scores},
    )


def _side_votes(answers: Answers, decided: Objects) -> SideVotes:
    signs = (answers.labels == ABNORMAL).astype(np.float64) - (answers.labels == NORMAL)
    return SideVotes(decided, vote(answers)[0], abnormality(signs, answers.logprobs))


def _aggregator(
    judgements: Sequence[Judgement], about: Labelled, fitted: Fitted, elsewhere: bool
) -> Json:
    """Which aggregator decides and why, and what each is worth on these cases."""
    choices = [choice for one in judgements for choice in one.choices]
    chosen = LEARNED if sum(one.chosen == LEARNED for one in choices) * 2 > len(choices) else VOTE
    first: Choice = next(one for one in choices if one.chosen == chosen)
    found: Json = {"chosen": chosen, "why": first.why}
    found["decided"] = {
        name: int(sum((one.decides == name).sum() for one in judgements) / len(judgements))
        for name in (VOTE, LEARNED)
    }
    found["comparison"] = fitted.comparison.to_dict() if fitted.comparison else None
    if elsewhere:
        drift = texts_drift(fitted, about.answers)
        found["drift"] = {
            "statistic": rounded(drift.statistic),
            "p_value": rounded(drift.p_value),
            "drifted": drift.drifted,
            "sentence": drift.sentence,
        }
    for name, method in ((VOTE, BY_VOTE), (LEARNED, LEARNED)):
        found[name] = averaged([_worth(one, about, method) for one in judgements])
    return found


def _worth(judgement: Judgement, about: Labelled, method: str) -> dict[str, Any] | None:
    if method not in judgement.scores:
        return None
    wrong = judgement.label_of(method) != about.truth
    ece = rounded(metrics.ece(judgement.error[method], wrong))
    return worth(judgement.scores[method], wrong) | {"ece": ece}


def _seconds(fitted: Fitted, about: Labelled) -> float:
    """Median seconds to score and label a case whose embeddings are known."""
    times = []
    for row in range(min(TIMED, len(about))):
        one = about.answers.take(np.array([row]))
        started = time.perf_counter()
        fitted.calibration.scores(one)
        if fitted.learned:
            fitted.learned.predict(one)
        times.append(time.perf_counter() - started)
    return median(times)
