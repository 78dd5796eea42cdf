"""How unlike a picture is to those that are familiar: a score that looks at no answer.

A picture is a vector of visual features; familiar are the pictures that the members were trained
on. The distance of a picture to them is told as the share of familiar pictures, each measured while
it was held out, that are nearer: 0.95 says that only one in twenty familiar pictures is as far off.
"""

import hashlib
import zipfile
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

NEAREST = 3
FOLDS = 5
QUANTILES = 101
THRESHOLD = 0.95

Vectors = NDArray[np.float32]
Groups = NDArray[np.int64]


def distance(vector: Vectors, rows: Vectors, groups: Groups) -> float:
    """Mean cosine distance of a unit vector (d,) to its nearest three among unit rows (n, d).

    Each of the three is of another group (n,), so that one subject's many pictures count once.
    0 is the same picture, 2 the opposite; infinite with fewer than three groups; NaN from NaN.
    """
    apart = 1 - rows @ vector
    order = np.argsort(apart, kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    if len(first) < NEAREST:
        return float("inf")
    return float(np.sort(apart[order][first])[:NEAREST].mean())


@dataclass(frozen=True, eq=False)
class Reference:
    """The familiar pictures of one domain.

    Attributes:
        vectors: (n, d) float16, L2-normalised features of the training pictures.
        groups: (n,) pictures of one subject, or near-duplicates, share a number.
        cuts: (101,) quantiles 0, 0.01, ..., 1 of the distances of held-out familiar pictures.
        threshold: 0 to 1; a picture of a higher novelty is unfamiliar.
        eye: fingerprint of the model that the features are of; "" where nobody wrote it down.
    """

    vectors: NDArray[np.float16]
    groups: Groups
    cuts: NDArray[np.float64]
    threshold: float = THRESHOLD
    eye: str = ""

    @property
    def dimensions(self) -> int:
        """The length d of the vectors that it compares."""
        return int(self.vectors.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides what is novel."""
        told = f"{self.eye} {self.threshold!r} {self.vectors.shape}"
        arrays = (self.vectors, self.groups, self.cuts)
        return hashlib.sha256(told.encode() + b"".join(one.tobytes() for one in arrays)).hexdigest()

    def novelty(self, vector: Vectors, known: Vectors | None = None) -> float:
        """How unlike a picture is to all that is familiar, 0 (like any) to 1; NaN from NaN.

        Args:
            vector: (d,) its features, of any length but 0.
            known: (m, d) features of further pictures that are familiar by now, each a group of
                its own; the nearer of the two sets counts.

        Raises:
            ValueError: a vector is not of this reference's dimensions.
        """
        unit = self._compared(np.atleast_2d(vector))[0]
        apart = distance(unit, self._rows, self.groups)
        if known is not None and len(known):
            apart = min(apart, distance(unit, self._compared(known), np.arange(len(known))))
        return float(np.interp(apart, self.cuts, np.linspace(0, 1, len(self.cuts))))

    @cached_property
    def _rows(self) -> Vectors:
        return unit_rows(self.vectors.astype(np.float32))

    def _compared(self, rows: Vectors) -> Vectors:
        if rows.shape[1] != self.dimensions:
            raise ValueError(
                f"These visual features have {rows.shape[1]} numbers, the reference "
                f"{self.dimensions}: they are of different towers. Make the reference anew."
            )
        return unit_rows(rows)

    def save(self, path: Path) -> None:
        """Write it as an .npz file."""
        arrays: dict[str, Any] = {
            "vectors": self.vectors,
            "groups": self.groups,
            "cuts": self.cuts,
            "threshold": np.float64(self.threshold),
            "eye": np.str_(self.eye),
        }
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Inverse of `save`. Raises ValueError for a file that is no reference."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
        except (zipfile.BadZipFile, EOFError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name} is no reference: {error}.") from error
        missing = {field.name for field in fields(cls)} - arrays.keys()
        if missing:
            raise ValueError(f"{path.name} is no reference: it lacks {', '.join(sorted(missing))}.")
        plain = {"threshold": float(arrays["threshold"]), "eye": str(arrays["eye"])}
        return cls(**arrays | plain)


def unit_rows(rows: Vectors) -> Vectors:
    """The rows (n, d) made unit vectors, float32; a row of zeros becomes NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = (rows / lengths).astype(np.float32)
    return unit


def fit_reference(
    vectors: Vectors,
    groups: Groups,
    *,
    measured: NDArray[np.bool_] | None = None,
    threshold: float = THRESHOLD,
    eye: str = "",
) -> Reference:
    """A reference of training pictures.

    The cuts come from five folds of whole groups: each picture's distance to those of the other
    folds.

    Args:
        vectors: (n, d) features, of any length but 0.
        groups: (n,) see Reference.
        measured: (n,) whose distances make the cuts, such as those of views that others share; all
            where it is left out.

    Raises:
        ValueError: there are too few groups, a feature is not finite, or a row is zero.
    """
    rows = unit_rows(vectors)
    names, groups = np.unique(groups, return_inverse=True)
    if not np.isfinite(rows).all():
        raise ValueError("Some pictures have no usable features: leave them out.")
    if len(names) < FOLDS + NEAREST:
        raise ValueError(
            f"There are {len(names)} groups of pictures; a reference needs {FOLDS + NEAREST}."
        )
    whole = Reference(
        vectors=rows.astype(np.float16),
        groups=groups.astype(np.int64),
        cuts=np.linspace(0, 2, QUANTILES),
        threshold=threshold,
        eye=eye,
    )
    apart = _held_out(whole, np.ones(len(rows), bool) if measured is None else measured)
    return replace(whole, cuts=np.quantile(apart, np.linspace(0, 1, QUANTILES)))


def _held_out(whole: Reference, measured: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of each picture that is measured to the familiar ones of the other folds."""
    rows, groups = whole._rows, whole.groups
    order = np.random.default_rng(0).permutation(int(groups.max()) + 1)
    folds = order[groups] % FOLDS
    return np.array(
        [
            distance(rows[at], rows[folds != folds[at]], groups[folds != folds[at]])
            for at in np.flatnonzero(measured)
        ]
    )
