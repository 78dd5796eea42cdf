"""What errors cost: a table of the true label against the one decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from inference.uq.types import Floats, Json, Objects


@dataclass(frozen=True)
class Costs:
    """Costs of deciding one label where another is true, in units of an ordinary error.

    Attributes:
        labels: (L,), in the order of both sides of the table.
        table: (L, L), row the truth, column what was decided; finite, not negative, its diagonal 0.
    """

    labels: tuple[str, ...]
    table: Floats

    def __post_init__(self) -> None:
        size = len(self.labels)
        sound = self.table.shape == (size, size) and np.isfinite(self.table).all()
        if size < 2 or not sound or (self.table < 0).any() or np.diag(self.table).any():
            raise ValueError("costs need a square table, not negative, with a diagonal of 0")

    @classmethod
    def uniform(cls, labels: Sequence[str]) -> Self:
        """Every error costs 1."""
        return cls(tuple(labels), 1.0 - np.eye(len(labels)))

    @classmethod
    def by_severity(cls, severity: Mapping[str, int]) -> Self:
        """A suggestion: an error costs 1; to decide something less severe than the truth costs as
        many as the truth is severe (1 to 3)."""
        levels = np.array(list(severity.values()), dtype=np.float64)
        missed = levels[:, None] > levels[None, :]
        table = np.where(missed, levels[:, None], 1.0)
        np.fill_diagonal(table, 0.0)
        return cls(tuple(severity), table)

    @property
    def is_uniform(self) -> bool:
        """Whether every error costs the same, 1."""
        return bool(np.array_equal(self.table, 1.0 - np.eye(len(self.labels))))

    def of_errors(self, said: Objects, truth: Objects) -> Floats:
        """What each decision (n,) costs if it is wrong.

        Where the truth is not known ("") the mean over all labels that it might be; a right one
        costs what it would cost on average, which a caller multiplies by `wrong`, 0.
        """
        rows, columns = self._places(truth), self._places(said)
        off = len(self.labels) - 1
        mean = self.table.sum(axis=0) / off
        unknown = np.where(columns >= 0, mean[columns], self.table.sum() / (off * (off + 1)))
        known = (rows >= 0) & (columns >= 0) & (rows != columns)
        found: Floats = np.where(known, self.table[rows, columns], unknown)
        return found

    def of_reviewers(self, truth: Objects) -> Floats:
        """What a reviewer's error costs where this is true (n,): the mean over the other labels."""
        rows = self._places(truth)
        off = len(self.labels) - 1
        mean: Floats = self.table.sum(axis=1) / off
        found: Floats = np.where(rows >= 0, mean[rows], self.table.sum() / (off * (off + 1)))
        return found

    def dearest(self) -> tuple[str, str, float]:
        """The pair (truth, decided) that costs most, and its cost; the first of equal ones."""
        row, column = np.unravel_index(int(self.table.argmax()), self.table.shape)
        return self.labels[row], self.labels[column], float(self.table[row, column])

    def to_dict(self) -> Json:
        """Plain JSON."""
        return {"labels": list(self.labels), "table": self.table.tolist()}

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        labels, table = data["labels"], data["table"]
        return cls(tuple(labels), np.asarray(table, dtype=np.float64))  # type: ignore[arg-type]

    def _places(self, labels: Objects) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        place = {label: index for index, label in enumerate(self.labels)}
        return np.array([place.get(label, -1) for label in labels], dtype=np.int64)
