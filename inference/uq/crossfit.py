"""Out-of-fold results: what a model says of cases that it was not fitted on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, cast

import numpy as np

from inference.uq.types import Bools, Floats, Ints, Json

Scores = dict[str, Floats]


def assign_folds(correct: Floats, folds: int, seed: int) -> Ints:
    """A fold number (n,) for each case: right, wrong and unlabelled ones evenly spread."""
    chance = np.random.default_rng(seed).random(len(correct))
    order = np.lexsort((chance, np.nan_to_num(correct, nan=2.0)))
    numbers = np.empty(len(correct), dtype=np.int64)
    numbers[order] = np.arange(len(correct)) % folds
    return numbers


def out_of_fold(numbers: Ints, predict: Callable[[Bools, Bools], Floats]) -> Floats:
    """What `predict(train, test)`, two masks, says of the test cases of each fold: (n, ...)."""
    tests = [numbers == fold for fold in np.unique(numbers)]
    parts = [predict(~test, test) for test in tests]
    out = np.empty((len(numbers), *parts[0].shape[1:]))
    for test, part in zip(tests, parts, strict=True):
        out[test] = part
    return out


@dataclass(frozen=True)
class Window:
    """The cases a Calibration was fitted on, each scored by models that had not seen it.

    Thresholds are chosen on `error_probability` and `correct`, drift is measured against `scores`
    and `labels`. Arrays (n,) in the order of the cases; `correct` is NaN where unlabelled.
    """

    scores: Scores
    error_probability: Scores
    correct: Floats
    weights: Floats
    labels: tuple[str, ...]

    def to_dict(self) -> Json:
        """Plain JSON; NaN is written as null."""
        return {
            "scores": {method: _as_list(values) for method, values in self.scores.items()},
            "error_probability": {
                method: _as_list(values) for method, values in self.error_probability.items()
            },
            "correct": _as_list(self.correct),
            "weights": _as_list(self.weights),
            "labels": list(self.labels),
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        return cls(
            _arrays(data["scores"]),
            _arrays(data["error_probability"]),
            np.array(data["correct"], dtype=np.float64),
            np.array(data["weights"], dtype=np.float64),
            tuple(cast(list[str], data["labels"])),
        )


def _as_list(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _arrays(data: object) -> Scores:
    columns = cast(dict[str, list[float | None]], data)
    return {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
