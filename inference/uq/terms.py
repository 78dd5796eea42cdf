"""Words and pairs of words as numbers: TF-IDF, quick enough for one case at a time."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Self, cast

import numpy as np
import scipy

from inference.uq.types import Floats, Json

_WORD = re.compile(r"\w\w+")
_FEWEST = 2  # texts that a term must occur in


class Terms:
    """The `most` terms that occur in most texts, weighed as scikit-learn's TfidfVectorizer does.

    Terms are words of two letters or more, and pairs of them in a row. Sublinear counts, smoothed
    inverse document frequency, rows of length 1; a text without a known term is a row of zeros.
    """

    def __init__(self, most: int = 2000) -> None:
        self.most = most

    def fit(self, texts: Sequence[str]) -> Self:
        """Chooses the terms: of equally frequent ones the first in the alphabet."""
        frequency = Counter(term for text in texts for term in set(_terms(text)))
        common = [term for term, count in frequency.items() if count >= _FEWEST]
        common.sort(key=lambda term: (-frequency[term], term))
        self.terms_ = tuple(common[: self.most])
        counts = np.array([frequency[term] for term in self.terms_], dtype=np.float64)
        return self._weigh(np.log((1 + len(texts)) / (1 + counts)) + 1)

    def transform(self, texts: Sequence[str]) -> "scipy.sparse.csr_matrix":
        """One row a text, one column a term: (n, len(terms_))."""
        columns, values, ends = [], [], [0]
        for text in texts:
            counts = Counter(self._places[term] for term in _terms(text) if term in self._places)
            places = np.fromiter(counts.keys(), np.int64, len(counts))
            row = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * (
                self.weights_[places]
            )
            columns.append(places)
            values.append(row / np.sqrt(row @ row) if len(row) else row)
            ends.append(ends[-1] + len(row))
        shape = (len(texts), len(self.terms_))
        if not texts:
            return scipy.sparse.csr_matrix(shape)
        return scipy.sparse.csr_matrix(
            (np.concatenate(values), np.concatenate(columns), ends), shape
        )

    def to_dict(self) -> Json:
        """Plain JSON, exact."""
        return {
            "most": self.most,
            "terms": list(self.terms_),
            "weights": self.weights_.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        model = cls(cast(int, data["most"]))
        model.terms_ = tuple(cast(list[str], data["terms"]))
        return model._weigh(np.array(data["weights"], dtype=np.float64))

    def _weigh(self, weights: Floats) -> Self:
        self.weights_ = weights
        self._places = {term: place for place, term in enumerate(self.terms_)}
        return self


def _terms(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]
