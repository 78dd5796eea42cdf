"""What the members answered out of fold: numbers for docs and cards, rows for a calibration.

Every answer counted here is one to a picture that the answering checkpoint never saw, nor one of
its group, generated through the backend that production uses. Drawings are not counted.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, recall_score

from inference.backends.embedder import embed
from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MemberSpec
from inference.evaluation.asking import AskedCase
from inference.evaluation.folder import ABNORMAL, NORMAL
from inference.evaluation.judging import Judged, judge
from inference.evaluation.measures import balanced_accuracy, clustered_interval
from inference.evaluation.summary import summarise
from inference.pipeline.run import run_member
from inference.training import charts, measure
from inference.training.albums import Album
from inference.training.course import Course, Pupil, Row
from inference.training.features import eye_features
from inference.training.release import shared_views
from inference.training.settings import EVERYTHING, OPTIONS
from inference.training.wording import Wording, stated_level
from inference.uq.answers import Answers, MemberAnswer, vote
from inference.uq.ensemble import MIN_CASES, Calibration
from inference.uq.metrics import auroc, kept_accuracy
from inference.uq.novelty import FOLDS, NEAREST, fit_reference
from inference.uq.types import Bools, Floats, Objects

DEFERRALS = (10, 20, 30, 40)
TIMED = 5  # pictures that seconds_per_case is measured on, after one to warm up
SAID = ("description", "reasoning", "label", "reflected", "logprob")
DECIDING = "cold_start"
MIN_MEMBERS = 3  # that a calibration can be fitted to

Answered = Mapping[str, Sequence[Row]]
"""A member's name -> its out-of-fold rows in the order of the pictures."""


@dataclass(frozen=True)
class Evidence:
    """One domain's out-of-fold answers, voted on, scored and judged.

    answers  of all members;  truth (n,) labels;  voted (n,) the vote's labels
    judged   labels against the truth, or sides where the domain has normal labels
    scores   method -> (n,), those of a calibration out of fold; where members or cases are too few
             for one, those that need none
    """

    album: Album
    answered: Answered
    answers: Answers
    truth: Objects
    voted: Objects
    judged: Judged
    scores: dict[str, Floats]

    @property
    def wrong(self) -> Bools:
        return self.judged.wrong


def write_evidence(course: Course, out: Path) -> dict[str, Any]:
    """Write answers, charts and measured.json to `out`; return the latter's content."""
    out.mkdir(parents=True, exist_ok=True)
    measured: dict[str, Any] = {}
    for album in course.albums:
        found = gather(course, album)
        rows = calibration_rows(found.answered, found.truth)
        (out / f"{album.domain.id}-answers.json").write_text(rows, encoding="utf-8")
        measured[album.domain.id] = numbers(found) | {"unfamiliar": unfamiliar(album)}
        for name, drawing in charts.draw(found).items():
            (out / f"{album.domain.id}-{name}.svg").write_text(drawing, encoding="utf-8")
    measured["seconds_per_case"] = seconds_per_case(course)
    measured["settings"] = {"folds": course.settings.folds, "seed": course.settings.seed}
    text = json.dumps(measured, indent=1)
    (out / "measured.json").write_text(text + "\n", encoding="utf-8")
    return measured


def gather(course: Course, album: Album) -> Evidence:
    """Read, vote on, score and judge what all members answered about an album out of fold."""
    answered = {name: _rows(course, name, album.domain.id) for name in course.settings.members}
    truth = np.array([one.label for one in album.pictures], dtype=object)
    sides = _sides(album)
    cases = [_case(album, answered, at, sides) for at in range(len(album))]
    answers = Answers.collect(list(answered), [one.answers for one in cases], embed)
    voted = vote(answers)[0]
    judged = judge(cases, list(answered), None, embed, sides=sides)
    return Evidence(album, answered, answers, truth, voted, judged, _scores(answers, judged))


def _scores(answers: Answers, judged: Judged) -> dict[str, Floats]:
    if len(answers.members) < MIN_MEMBERS or len(answers) < MIN_CASES:
        return dict(judged.scores)
    fitted = Calibration().fit(answers, (~judged.wrong).astype(np.float64))
    return dict(fitted.window_.scores if fitted.window_ else judged.scores)


def _rows(course: Course, name: str, domain_id: str) -> list[Row]:
    rows = [
        row
        for fold in range(course.settings.folds)
        for row in Pupil(course, name, fold).out_of_fold()[domain_id]
    ]
    return sorted(rows, key=lambda row: int(row["index"]))


def _sides(album: Album) -> dict[str, str] | None:
    """Label -> normal or abnormal; None for a domain in which nothing is normal."""
    labels = album.domain.labels
    if not any(label.normal for label in labels):
        return None
    return {label.id: NORMAL if label.normal else ABNORMAL for label in labels}


def _case(album: Album, answered: Answered, at: int, sides: Mapping[str, str] | None) -> AskedCase:
    picture = album.pictures[at]
    said = {
        name: MemberAnswer(**{key: rows[at][key] for key in SAID})
        for name, rows in answered.items()
    }
    return AskedCase(
        truth=sides[picture.label] if sides else picture.label,
        answers=said,
        whole=frozenset(name for name, rows in answered.items() if rows[at]["valid"]),
        readable=True,
        group=str(album.groups[at]),
        source=picture.source,
    )


def calibration_rows(answered: Answered, truth: Objects) -> str:
    """A JSON list with one case a line: index, truth and what each member answered."""
    lines = []
    for index, label in enumerate(truth):
        said = {name: {key: rows[index][key] for key in SAID} for name, rows in answered.items()}
        for one in said.values():
            one["logprob"] = round(float(one["logprob"]), 4)
        case = {"index": index, "truth": str(label), "members": said}
        lines.append(json.dumps(case, separators=(",", ":")))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def numbers(found: Evidence) -> dict[str, Any]:
    """All numbers of one domain, plain JSON."""
    album, judged, wrong = found.album, found.judged, found.wrong
    summary = dict(summarise(judged, 0.0))
    del summary["seconds_per_case"]
    names = sorted(set(found.truth.tolist()))
    recall = recall_score(found.truth, found.voted, labels=names, average=None, zero_division=0)
    clusters = [str(group) for group in album.groups]
    return summary | {
        "groups": len(set(clusters)),
        "label_accuracy": _round((found.voted == found.truth).mean()),
        "recall": {name: _round(value) for name, value in zip(names, recall, strict=True)},
        "confusion": confusion_matrix(found.truth, found.voted, labels=names).tolist(),
        "members": {
            name: _rate(judged.by_member[:, at] == judged.truth, clusters)
            for at, name in enumerate(judged.members)
        },
        "splits": splits(found),
        "kept_accuracy": {
            name: {"0": _round(1 - wrong.mean())}
            | {str(one): _round(kept_accuracy(score, wrong, one / 100)) for one in DEFERRALS}
            for name, score in found.scores.items()
        },
        "auroc": {name: _round(auroc(score, wrong)) for name, score in found.scores.items()},
        "unanimous": _round((found.scores["vote_entropy"] == 0).mean()),
        "reflection": reflections(found),
        "texts": texts(found),
        "whole_sources": whole_sources(found),
    }


def _round(value: float | np.floating[Any]) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _rate(right: Bools | Objects, clusters: Sequence[str]) -> dict[str, Any]:
    """A share with its 95 % interval: bootstrap over groups."""
    right = np.asarray(right, dtype=bool)
    interval = clustered_interval(lambda rows: float(right[rows].mean()), clusters)
    return {
        "accuracy": _round(right.mean()),
        "interval": [_round(bound) for bound in interval] if interval else None,
    }


def splits(found: Evidence) -> dict[str, Any]:
    """Mean and standard deviation over the folds, each a split of its own."""
    judged, folds = found.judged, found.album.fold_of
    rows: dict[str, list[float]] = {}
    for fold in range(int(folds.max()) + 1):
        inside = folds == fold
        wrong = found.wrong[inside]
        rows.setdefault("accuracy", []).append(1 - wrong.mean())
        if judged.side_votes:
            value = balanced_accuracy(judged.truth[inside], judged.predicted[inside])
            rows.setdefault("balanced_accuracy", []).append(value)
        for percent in (20, 30):
            kept = kept_accuracy(found.scores[DECIDING][inside], wrong, percent / 100)
            rows.setdefault(f"kept_{percent}", []).append(kept)
        for at, name in enumerate(judged.members):
            right = judged.by_member[inside, at] == judged.truth[inside]
            rows.setdefault(name, []).append(float(right.mean()))
    return {
        name: {"mean": _round(np.mean(values)), "sd": _round(np.std(values, ddof=1))}
        for name, values in rows.items()
    }


def reflections(found: Evidence) -> dict[str, Any]:
    """How often a second thought changes a label, what the changes and P(flip) are worth.

    Of labels, not of sides. auroc: how well S3, the mean P(flip), tells the vote's errors; None
    without a calibration.
    """
    answers, truth = found.answers, found.truth
    changed = (answers.labels != answers.reflected) & (answers.reflected != "")
    before = answers.labels == truth[:, None]
    after = np.where(answers.reflected != "", answers.reflected, answers.labels) == truth[:, None]
    return {
        "changed": int(changed.sum()),
        "of": int(changed.size),
        "to_right": int((changed & after).sum()),
        "to_wrong": int((changed & before).sum()),
        "accuracy_before": [_round(one) for one in before.mean(axis=0)],
        "accuracy_after": [_round(one) for one in after.mean(axis=0)],
        "error_where_changed": _round(1 - before[changed].mean()) if changed.any() else None,
        "error_where_kept": _round(1 - before[~changed].mean()),
        "auroc": _round(auroc(found.scores["s3"], found.wrong)) if "s3" in found.scores else None,
    }


def texts(found: Evidence) -> dict[str, Any]:
    """Do the words agree with the pixels, the label and themselves?

    grounded          attribute -> share of answers whose stated level is that of the pixels
    names_its_label   share of reasonings that name the answer's label
    repeats           share of answers in which four words stand twice in a row of the same text
    """
    album = found.album
    measured = album.gallery.measured()[:, 0]
    levels = measure.levels(measured, measure.thresholds(measured))
    rows = [row for answered in found.answered.values() for row in answered if row["valid"]]
    grounded = {name: _grounded(album.words, name, rows, levels) for name in album.words.levels}
    return {
        "grounded": grounded | {"mean": _round(np.mean(list(grounded.values())))},
        "names_its_label": _round(np.mean([row["label"] in row["reasoning"] for row in rows])),
        "repeats": _round(
            np.mean([repeats(row["description"]) or repeats(row["reasoning"]) for row in rows])
        ),
    }


def _grounded(words: Wording, attribute: str, rows: Sequence[Row], levels: np.ndarray) -> float:
    at = measure.NAMES.index(attribute)
    stated = [stated_level(words, attribute, row["description"]) for row in rows]
    truth = [levels[row["index"], at] for row in rows]
    return round(float(np.mean(np.array(stated) == np.array(truth))), 4)


def repeats(text: str, length: int = 4) -> bool:
    """Whether any `length` words stand in a text twice, in the same order."""
    words = re.findall(r"\w+", text.lower())
    runs = [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]
    return len(set(runs)) < len(runs)


def whole_sources(found: Evidence) -> dict[str, Any]:
    """Sources of which no picture was in training when they were judged."""
    album, judged = found.album, found.judged
    sources = np.array([one.source for one in album.pictures], dtype=object)
    result: dict[str, Any] = {}
    for name in sorted(set(sources.tolist()) - {""}):
        inside = sources == name
        if len(set(album.fold_of[inside].tolist())) == 1:
            result[name] = {
                "n": int(inside.sum()),
                "accuracy": _round(1 - found.wrong[inside].mean()),
                "balanced_accuracy": _round(
                    balanced_accuracy(judged.truth[inside], judged.predicted[inside])
                ),
            }
    return result


def unfamiliar(album: Album) -> dict[str, Any]:
    """Source -> share of its pictures that a reference made without that source finds unfamiliar.

    Of all other pictures, 1 - familiar (wording/<domain>.toml) are, by the reference's own making.
    """
    sources = np.array([one.source for one in album.pictures], dtype=object)
    names = sorted(set(sources.tolist()) - {""})
    if not names:
        return {}
    seen, shared = eye_features(album.gallery), shared_views(album)
    result: dict[str, Any] = {}
    for name in names:
        others = sources != name
        if shared[others].any() and len(set(album.groups[others].tolist())) >= FOLDS + NEAREST:
            familiar = fit_reference(
                seen[others],
                album.groups[others],
                measured=shared[others],
                threshold=album.words.familiar,
            )
            novelty = np.array([familiar.novelty(one) for one in seen[~others]])
            result[name] = _round((novelty > familiar.threshold).mean())
    return result


def seconds_per_case(course: Course) -> float:
    """Median seconds that all members and stages take for one picture, one after another."""
    names, album = course.settings.members, course.albums[0]
    folders = {name: Pupil(course, name, EVERYTHING).folder for name in names}
    backends = [
        HuggingFaceBackend(MemberSpec(name, model=str(folder), options=OPTIONS))
        for name, folder in folders.items()
    ]
    taken = []
    for picture in album.pictures[: TIMED + 1]:
        image, started = picture.image(), time.monotonic()
        for backend in backends:
            run_member(backend, album.domain, (image,), seed=0)
        taken.append(time.monotonic() - started)
    return round(float(np.median(taken[1:])), 3)
