"""What the members answered out of fold: numbers for the model cards, rows for a calibration.

Every answer counted here is one to a photo that the answering checkpoint never saw, nor a near-twin
of it, generated through the backend that production uses. Drawings are not counted.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.metrics import f1_score, recall_score

from inference.backends.embedder import embed
from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MemberSpec
from inference.pipeline.run import run_member
from inference.training.course import Course, Pupil
from inference.training.measure import NAMES, measure_all
from inference.training.settings import EVERYTHING, OPTIONS
from inference.training.wording import Wording
from inference.uq.answers import Answers, MemberAnswer, vote
from inference.uq.ensemble import label_free_scores
from inference.uq.metrics import aurc, auroc, kept_accuracy
from inference.uq.types import Bools, Floats, Objects

DEFERRALS = (0, 10, 20, 30, 40)
TIED = 1e-3  # weight of the log-probability behind the vote entropy: it only orders ties
TIMED = 5  # photos that seconds_per_case is measured on, after one to warm up
COMMAND = "python -m inference.training --data DIR"

Row = dict[str, Any]


def write_evidence(course: Course, out: Path) -> dict[str, Any]:
    """Write `<domain>-answers.json` and measured.json to `out`; return the latter."""
    answered = {name: _member_rows(course, name) for name in course.settings.members}
    truth = np.array([photo.label for photo in course.photos], dtype=object)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{course.domain.id}-answers.json"
    path.write_text(calibration_rows(answered, truth), encoding="utf-8")
    measured = summary(answered, truth) | {
        "domain": course.domain.id,
        "folds": course.settings.folds,
        "groups": len(set(course.groups.tolist())),
        "attribute_agreement": attribute_agreement(course, answered),
        "seconds_per_case": seconds_per_case(course),
        "command": COMMAND,
    }
    text = json.dumps(measured, indent=1)
    (out / "measured.json").write_text(text + "\n", encoding="utf-8")
    return measured


def _member_rows(course: Course, name: str) -> list[Row]:
    """One member's out-of-fold rows in the order of the photos."""
    rows = [
        row
        for fold in range(course.settings.folds)
        for row in Pupil(course, name, fold).out_of_fold()
    ]
    return sorted(rows, key=lambda row: int(row["index"]))


def calibration_rows(answered: dict[str, list[Row]], truth: Objects) -> str:
    """A JSON list with one case a line: index, truth and what each member answered."""
    keys = ("description", "reasoning", "label", "reflected", "logprob")
    lines = []
    for index, label in enumerate(truth):
        said = {name: {key: rows[index][key] for key in keys} for name, rows in answered.items()}
        for one in said.values():
            one["logprob"] = round(float(one["logprob"]), 4)
        case = {"index": index, "truth": str(label), "members": said}
        lines.append(json.dumps(case, separators=(",", ":")))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def summary(answered: dict[str, list[Row]], truth: Objects) -> dict[str, Any]:
    """Accuracies with 95 % Wilson intervals, kept accuracies, reflections, validity."""
    answers = _collect(answered)
    labels, _ = vote(answers)
    wrong = np.asarray(labels != truth, dtype=bool)
    valid = [row["valid"] for rows in answered.values() for row in rows]
    scores = {
        key: label_free_scores(answers)[key]
        for key in ("vote_entropy", "cold_start", "comprehension_level", "analysis_level")
    }
    doubt = -np.nan_to_num(answers.logprobs, nan=-10.0).mean(axis=1)
    scores |= {"logprob": doubt, "vote_entropy_then_logprob": scores["vote_entropy"] + TIED * doubt}
    return {
        "n": len(truth),
        "members": {
            name: rate(answers.labels[:, at] == truth) for at, name in enumerate(answers.members)
        },
        "vote": rate(~wrong),
        "macro_f1": round(float(f1_score(truth, labels, average="macro", zero_division=0)), 4),
        "recall": recalls(truth, labels),
        "json_validity": round(float(np.mean(valid)), 4),
        "kept_accuracy": {key: kept(score, wrong) for key, score in scores.items()},
        "aurc": {key: round(aurc(score, wrong), 4) for key, score in scores.items()},
        "auroc": {key: round(auroc(score, wrong), 4) for key, score in scores.items()},
        "unanimous": round(float((scores["vote_entropy"] == 0).mean()), 4),
        "reflections": reflections(answers, truth),
    }


def _collect(answered: dict[str, list[Row]]) -> Answers:
    keys = ("description", "reasoning", "label", "reflected", "logprob")
    count = len(next(iter(answered.values())))
    cases = [
        {
            name: MemberAnswer(**{key: rows[at][key] for key in keys})
            for name, rows in answered.items()
        }
        for at in range(count)
    ]
    return Answers.collect(list(answered), cases, embed)


def kept(score: Floats, wrong: Bools) -> dict[str, float]:
    """Accuracy among the rest once a percentage is deferred: percentage -> accuracy."""
    return {str(one): round(kept_accuracy(score, wrong, one / 100), 4) for one in DEFERRALS}


def recalls(truth: Objects, labels: Objects) -> dict[str, float]:
    """Label -> share of its photos that the vote got right."""
    names = sorted(set(truth.tolist()))
    values = recall_score(truth, labels, labels=names, average=None, zero_division=0)
    return {name: round(float(value), 4) for name, value in zip(names, values, strict=True)}


def rate(correct: Sequence[bool] | Objects) -> dict[str, Any]:
    """Accuracy with its 95 % Wilson score interval (Wilson 1927)."""
    count, share = len(correct), float(np.mean(np.asarray(correct, dtype=bool)))
    z = float(norm.ppf(0.975))
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    interval = [round(float(max(0.0, middle - half)), 4), round(float(min(1.0, middle + half)), 4)]
    return {"accuracy": round(share, 4), "interval": interval}


def reflections(answers: Answers, truth: Objects) -> dict[str, Any]:
    """How often a second thought changes a label, and what the changes are worth."""
    changed = (answers.labels != answers.reflected) & (answers.reflected != "")
    before = answers.labels == truth[:, None]
    after = np.where(answers.reflected != "", answers.reflected, answers.labels) == truth[:, None]
    return {
        "changed": int(changed.sum()),
        "of": int(changed.size),
        "to_right": int((changed & after).sum()),
        "to_wrong": int((changed & before).sum()),
        "members_before": [round(float(one), 4) for one in before.mean(axis=0)],
        "members_after": [round(float(one), 4) for one in after.mean(axis=0)],
        "error_where_changed": round(float(1 - before[changed].mean()), 4)
        if changed.any()
        else None,
        "error_where_kept": round(float(1 - before[~changed].mean()), 4),
    }


def attribute_agreement(course: Course, answered: dict[str, list[Row]]) -> dict[str, float]:
    """Share of answers whose stated level matches the pixels (chance is about a third)."""
    from inference.training import measure

    measured = measure_all([photo.image() for photo in course.photos])
    levels = measure.levels(measured, measure.thresholds(measured))
    rows = [row for rows in answered.values() for row in rows]
    return {
        name: round(
            float(
                np.mean(
                    [
                        stated_level(course.words, name, row["description"])
                        == levels[row["index"], at]
                        for row in rows
                    ]
                )
            ),
            4,
        )
        for at, name in enumerate(NAMES)
    }


def stated_level(words: Wording, attribute: str, description: str) -> int:
    """The level that a description states for an attribute, -1 for none."""
    found = [
        (-len(word), level)
        for level, word in enumerate(words.levels[attribute])
        if f" {word}" in description
    ]
    return min(found)[1] if found else -1


def seconds_per_case(course: Course) -> float:
    """Seconds that all members and stages take for one photo, one after another."""
    names = course.settings.members
    folders = {name: Pupil(course, name, EVERYTHING).folder for name in names}
    backends = [
        HuggingFaceBackend(MemberSpec(name, model=str(folder), options=OPTIONS))
        for name, folder in folders.items()
    ]
    taken = []
    for photo in course.photos[: TIMED + 1]:
        image, started = photo.image(), time.monotonic()
        for backend in backends:
            run_member(backend, course.domain, (image,), seed=0)
        taken.append(time.monotonic() - started)
    return round(float(np.median(taken[1:])), 3)
