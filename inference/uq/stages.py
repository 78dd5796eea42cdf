"""S1, S2 and S3 of an ensemble together: what they learn from its answers, without any truth."""

from collections.abc import Sequence
from typing import Self, cast

import numpy as np

from inference.uq.answers import Answers, encode
from inference.uq.factors import fit_factors, fit_factors_als
from inference.uq.scores import ReflectionFlip, analysis_residual, comprehension_residual
from inference.uq.similarity import pairwise_cosine
from inference.uq.types import Floats, Json, Numbers

_ENOUGH_COMPLETE = 5


class StageScores:
    """The stage scores as one estimator; `classes` is the label set, `rank` K in 1 .. J - 1."""

    def __init__(self, classes: Sequence[str], rank: int = 1) -> None:
        self.classes = tuple(classes)
        self.rank = rank

    def fit(self, answers: Answers) -> Self:
        """Learns the factors of both texts and the members' habit of changing their label.

        Raises ValueError for K >= J.
        """
        self.description_factors_ = _factors(answers.descriptions, self.rank)
        self.reasoning_factors_ = _factors(answers.reasonings, self.rank)
        self.flip_ = ReflectionFlip(len(self.classes)).fit(
            answers.reasonings,
            encode(answers.labels, self.classes),
            encode(answers.reflected, self.classes),
        )
        return self

    def predict(self, answers: Answers) -> Floats:
        """(n, 3): S1, S2, S3; NaN where too few members left a text."""
        labels = encode(answers.labels, self.classes)
        return np.column_stack(
            [
                comprehension_residual(answers.descriptions, self.description_factors_),
                analysis_residual(answers.reasonings, labels, self.reasoning_factors_),
                self.flip_.predict(answers.reasonings, labels),
            ]
        )

    def to_dict(self) -> Json:
        """Plain JSON, exact."""
        return {
            "classes": list(self.classes),
            "rank": self.rank,
            "description_factors": self.description_factors_.tolist(),
            "reasoning_factors": self.reasoning_factors_.tolist(),
            "flip": self.flip_.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        model = cls(cast(list[str], data["classes"]), cast(int, data["rank"]))
        model.description_factors_ = np.array(data["description_factors"], dtype=np.float64)
        model.reasoning_factors_ = np.array(data["reasoning_factors"], dtype=np.float64)
        model.flip_ = ReflectionFlip.from_dict(cast(Json, data["flip"]))
        return model


def _factors(embeddings: Numbers, rank: int) -> Floats:
    """Exact where enough cases are complete; where a member is often missing, by least squares."""
    similarities = pairwise_cosine(embeddings)
    complete = np.isfinite(similarities).all(axis=1).sum()
    fit = fit_factors if complete >= _ENOUGH_COMPLETE else fit_factors_als
    return fit(similarities, rank)
