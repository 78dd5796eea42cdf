"""A case as numbers that a label can be learned from: votes, signals, and what the texts say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import scipy

from inference.uq.answers import Answers
from inference.uq.ensemble import label_free_scores
from inference.uq.terms import Terms
from inference.uq.types import Bools, Floats, Json, Numbers

_SCALE = 0.2  # of votes and signals in standard deviations, beside texts of length 1


@dataclass(frozen=True)
class Seen:
    """Features of n cases: dense ones first, then terms, which are few a case."""

    dense: Floats
    terms: "tuple[scipy.sparse.csr_matrix, ...]"

    def matrix(self) -> "scipy.sparse.csr_matrix":
        """All in one matrix (n, width)."""
        return scipy.sparse.hstack([scipy.sparse.csr_matrix(self.dense), *self.terms], "csr")

    def times(self, weights: Floats) -> Floats:
        """matrix() @ weights.T for weights (k, width), without putting the matrix together."""
        at = self.dense.shape[1]
        product: Floats = self.dense @ weights[:, :at].T
        for part in self.terms:
            product = product + part @ weights[:, at : at + part.shape[1]].T
            at += part.shape[1]
        return product


class CaseFeatures:
    """Rows of features; learns moments, centres and terms from answers alone, never from labels.

    In order: each member's vote and the shares of the reflected votes, one column a label; every
    label-free score; the mean embeddings of the descriptions and of the reasonings; their terms.
    What is missing counts as usual (0).
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def fit(self, answers: Answers) -> Self:
        """From n answered cases."""
        self.mean_, self.std_ = _moments(self._plain(answers))
        self.centres_ = [_centre(one) for one in _embeddings(answers)]
        self.terms_ = [Terms().fit(texts) for texts in _texts(answers)]
        return self

    def transform(self, answers: Answers) -> "Seen":
        """One row a case."""
        plain = (self._plain(answers) - self.mean_) / self.std_ * _SCALE
        centred = [
            spoken_mean(one) - centre
            for one, centre in zip(_embeddings(answers), self.centres_, strict=True)
        ]
        said = [
            one.transform(texts) for one, texts in zip(self.terms_, _texts(answers), strict=True)
        ]
        return Seen(np.nan_to_num(np.hstack([plain, *centred])), tuple(said))

    def to_dict(self) -> Json:
        """Plain JSON, exact."""
        return {
            "mean": self.mean_.tolist(),
            "std": self.std_.tolist(),
            "centres": [one.tolist() for one in self.centres_],
            "terms": [one.to_dict() for one in self.terms_],
        }

    @classmethod
    def from_dict(cls, data: Json, classes: Sequence[str]) -> Self:
        """Inverse of `to_dict`."""
        model = cls(classes)
        model.mean_ = np.array(data["mean"], dtype=np.float64)
        model.std_ = np.array(data["std"], dtype=np.float64)
        centres = cast(list[list[float]], data["centres"])
        model.centres_ = [np.array(one, dtype=np.float64) for one in centres]
        model.terms_ = [Terms.from_dict(one) for one in cast(list[Json], data["terms"])]
        return model

    def _plain(self, answers: Answers) -> Floats:
        names = np.array(self.classes, dtype=object)
        votes = (answers.labels[:, :, None] == names).reshape(len(answers), -1)
        reflected = (answers.reflected[:, :, None] == names).mean(axis=1)
        return np.column_stack([votes, reflected, *label_free_scores(answers).values()])


def _texts(answers: Answers) -> tuple[list[str], list[str]]:
    """All descriptions of a case in one text, and all reasonings."""
    descriptions = [" ".join(row) for row in answers.description_texts.tolist()]
    return descriptions, [" ".join(row) for row in answers.reasoning_texts.tolist()]


def _embeddings(answers: Answers) -> tuple[Numbers, Numbers]:
    return answers.descriptions, answers.reasonings


def spoken_mean(embeddings: Numbers) -> Floats:
    """Mean embedding (n, d) of the members that left a text; NaN where none did."""
    present: Bools = np.asarray(np.isfinite(embeddings).all(axis=2))
    total = np.where(present[:, :, None], embeddings, 0.0).sum(axis=1, dtype=np.float64)
    count = present.sum(axis=1)[:, None]
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _centre(embeddings: Numbers) -> Floats:
    mean = spoken_mean(embeddings)
    known = mean[np.isfinite(mean).all(axis=1)]
    centre: Floats = known.mean(axis=0) if len(known) else np.zeros(mean.shape[1])
    return centre


def _moments(plain: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each column's known values; 0 and 1 where it never varied."""
    known = np.isfinite(plain)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, plain, 0.0).sum(axis=0) / count
    std = np.sqrt((np.where(known, plain - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(std > 1e-9, std, 1.0)
