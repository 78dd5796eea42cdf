"""A cross-validation that is over: what three members said, written by hand, and its evidence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inference.pipeline.domains import load_domain
from inference.training import measure
from inference.training.albums import Album
from inference.training.course import Course, Pupil
from inference.training.wording import answer_fields
from tests.training.drawn import make_folder, small_settings

COUNT, FOLDS = 16, 2
WHOLE = range(4, 8)  # pictures of one source and one group
MEMBERS = ("lite0", "lite1", "lite2")

Place = tuple[str, int]
"""A member and a picture."""


@dataclass(frozen=True)
class Slips:
    """Where members do not say and keep the truth in their own words.

    labels     what is said instead
    reflected  what it is changed to
    broken     answers that cannot be read
    reworded   fields that are said otherwise
    """

    labels: Mapping[Place, str] = field(default_factory=dict)
    reflected: Mapping[Place, str] = field(default_factory=dict)
    broken: frozenset[Place] = frozenset()
    reworded: Mapping[Place, Mapping[str, str]] = field(default_factory=dict)


def answered_course(folder: Path, domain_id: str, slips: Slips) -> Course:
    """A course of 16 pictures in 13 groups whose members have answered out of two folds.

    lite0 and lite1 state the levels of the pixels, lite2 states others.
    """
    ids = load_domain(domain_id).label_ids
    rows = [
        {"file": f"{_source(at)}{at}.png", "label": (*ids, *ids, ids[4], ids[0])[at]}
        for at in range(COUNT)
    ]
    data = make_folder(folder / "data", rows)
    course = Course(small_settings(folder / "work", FOLDS, **{domain_id: data}))
    album = course.albums[0]
    kept = course.settings.album(domain_id)
    kept.mkdir(parents=True)
    np.save(kept / "groups.npy", np.array([0 if at in WHOLE else at + 1 for at in range(COUNT)]))
    measured = np.random.default_rng(0).normal(size=(COUNT, 2, len(measure.NAMES)))
    np.save(kept / "measured.npy", measured)
    levels = measure.levels(measured[:, 0], measure.thresholds(measured[:, 0]))
    for name in MEMBERS:
        stated = (levels + 1) % measure.LEVELS if name == "lite2" else levels
        said = [_row(album, name, at, stated[at], slips) for at in range(COUNT)]
        for fold in range(FOLDS):
            pupil = Pupil(course, name, fold)
            pupil.folder.mkdir(parents=True)
            rows_of_fold = [said[at] for at in album.outside(fold)]
            path = pupil.folder / "out-of-fold.json"
            path.write_text(json.dumps({domain_id: rows_of_fold}))
    return course


def _source(at: int) -> str:
    return "alpha__" if at in WHOLE else "beta__" if at < 10 else ""


def _row(album: Album, name: str, at: int, levels: np.ndarray, slips: Slips) -> dict[str, object]:
    place, truth = (name, at), album.pictures[at].label
    if place in slips.broken:
        texts = dict.fromkeys(("description", "reasoning", "label", "reflected", "reflection"), "")
        return {"index": at, "logprob": -2.0, "valid": False, **texts}
    label = slips.labels.get(place, truth)
    position = album.label_ids.index(label)
    chances = np.full(len(album.label_ids), 0.01, dtype=np.float32)
    chances[position] = 0.94
    rng = np.random.default_rng(at)
    answer = answer_fields(album.words, album.label_ids, position, levels.tolist(), chances, rng)
    said: dict[str, object] = {
        "index": at,
        "logprob": -0.123456789 - at / 100,
        "valid": True,
        "description": answer.description,
        "reasoning": answer.reasoning,
        "label": label,
        "reflected": slips.reflected.get(place, label),
        "reflection": "It stays.",
    }
    return said | dict(slips.reworded.get(place, {}))
