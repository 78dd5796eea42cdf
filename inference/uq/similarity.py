"""How alike the members' texts are: cosines of embeddings, and a lexical measure."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from inference.uq.types import Floats, Ints, Numbers, Objects

_CHUNK = 4096


@lru_cache
def pairs(members: int) -> Ints:
    """(J, 2) member indices of every pair, in `itertools.combinations` order; read only."""
    indices = np.array(list(combinations(range(members), 2)), dtype=np.int64).reshape(-1, 2)
    indices.flags.writeable = False
    return indices


def gram(embeddings: Numbers) -> Floats:
    """Inner products (n, M, M) of embeddings (n, M, d); NaN where a text is missing."""
    n, members, _ = embeddings.shape
    out = np.empty((n, members, members))
    # In pieces: float32 embeddings of a whole calibration need not exist twice, as float64 too.
    for start in range(0, n, _CHUNK):
        part = np.asarray(embeddings[start : start + _CHUNK], dtype=np.float64)
        out[start : start + _CHUNK] = part @ part.transpose(0, 2, 1)
    return np.where(np.isfinite(out), out, np.nan)


def cosines(inner: Floats) -> Floats:
    """Cosines (n, J) from inner products (n, M, M); 0 for a zero vector, NaN where missing."""
    left, right = pairs(inner.shape[1]).T
    length = np.sqrt(np.diagonal(inner, axis1=1, axis2=2))
    product = length[:, left] * length[:, right]
    values = inner[:, left, right]
    cosine = np.divide(values, product, out=np.zeros_like(values), where=product != 0)
    clipped: Floats = np.clip(cosine, -1.0, 1.0)
    return clipped


def pairwise_cosine(embeddings: Numbers) -> Floats:
    """Cosine of every pair of members (ALARM, section on data comprehension).

    `embeddings` (n, M, d), any scale, NaN row = missing text. Returns (n, J) in [-1, 1], NaN for a
    pair with a missing member.
    """
    return cosines(gram(embeddings))


def similarity_matrix(embeddings: Numbers) -> Floats:
    """Cosines as weights of a graph: (n, M, M) in [0, 1]; a missing text resembles itself only."""
    n, members, _ = embeddings.shape
    left, right = pairs(members).T
    weights = np.zeros((n, members, members))
    weights[:, left, right] = np.clip(np.nan_to_num(pairwise_cosine(embeddings)), 0.0, 1.0)
    weights += weights.transpose(0, 2, 1)
    weights[:, range(members), range(members)] = 1.0
    return weights


def rouge_l(first: str, second: str) -> float:
    """Longest common subsequence of words as an F measure in [0, 1] (Lin 2004); 0 if empty."""
    left, right = first.lower().split(), second.lower().split()
    common = _common_words(left, right)
    return 2 * common / (len(left) + len(right)) if common else 0.0


def _common_words(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, a whole row of the usual table in one integer.

    Hyyrö 2004, "Bit-parallel LCS-length computation revisited": a zero bit is one common word.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    everywhere = (1 << len(left)) - 1
    row = everywhere
    for word in right:
        here = row & places.get(word, 0)
        row = (row + here | row - here) & everywhere
    return len(left) - row.bit_count()


def lexical_similarity(texts: Objects) -> Floats:
    """Mean ROUGE-L (n,) in [0, 1] of the pairs of texts (n, M); NaN without two texts."""
    out = np.full(len(texts), np.nan)
    for case, row in enumerate(texts):
        said = [text for text in row if text]
        if len(said) > 1:
            out[case] = np.mean([rouge_l(one, other) for one, other in combinations(said, 2)])
    return out


def nearest(vector: Numbers, rows: Numbers, most: int = 5) -> Ints:
    """Indices of the rows (n, d) most like the vector (d,) by cosine, nearest first.

    A row with a gap is like nothing, and left out.
    """
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    alike = np.divide(rows @ vector, lengths, out=np.zeros(len(rows)), where=lengths > 0)
    known = np.flatnonzero(np.isfinite(rows).all(axis=1))
    ranked: Ints = known[np.argsort(-alike[known], kind="stable")][:most]
    return ranked
