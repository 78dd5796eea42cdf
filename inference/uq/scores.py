"""Uncertainty scores of single cases. Higher = less certain; NaN = cannot be known -> defer.

Labels are integer codes (n, M) as `inference.uq.answers.encode` makes them, -1 = no label.
Sources: S1, S2, S3 are ALARM (arXiv 2512.03101); the graph scores are Lin et al. 2023
(arXiv 2305.19187); the von Neumann entropy is Nikitin et al. 2024 (arXiv 2405.20003); the semantic
entropy is Kuhn et al. 2023 (arXiv 2302.09664), with embeddings for their entailment model.
"""

from typing import Self, cast

import numpy as np
import scipy

from inference.uq.factors import residual
from inference.uq.similarity import cosines, gram, pairwise_cosine
from inference.uq.types import Bools, Floats, Ints, Json, Numbers

COLD_START_WEIGHT = 0.1
SAME_MEANING = 0.8
MOST_ANSWERS = 5000
_EIGENVALUE_CUT = 0.9


def comprehension_residual(descriptions: Numbers, factors: Floats) -> Floats:
    """S1 (n,) >= 0: how far the descriptions' similarities lie from what the factors explain."""
    return residual(pairwise_cosine(descriptions), factors)


def analysis_residual(reasonings: Numbers, labels: Ints, factors: Floats) -> Floats:
    """S2 (n,): the residual if each label's voters spoke for all, less the real residual.

    The labels are weighted by their share of the votes.
    0 for a complete unanimous case, below 0 for many split ones: a signal, never a score alone.
    NaN without any vote.
    """
    inner = gram(reasonings)
    cases = [np.flatnonzero((labels >= 0).any(axis=1))]
    weights, products = [np.full(len(cases[0]), -1.0)], [inner[cases[0]]]
    for code in np.unique(labels[labels >= 0]):
        votes = labels == code
        cases.append(np.flatnonzero(votes.any(axis=1)))
        mine = votes[cases[-1]]
        weights.append(mine.sum(axis=1) / (labels[cases[-1]] >= 0).sum(axis=1))
        products.append(_impute(inner[cases[-1]], mine))
    unexplained = residual(cosines(np.concatenate(products)), factors)
    total = np.full(len(labels), np.nan)
    total[cases[0]] = 0.0
    np.add.at(total, np.concatenate(cases), np.concatenate(weights) * unexplained)
    return total


def _impute(inner: Floats, votes: Bools) -> Floats:
    """Inner products once every member who did not vote is replaced by the mean of those who did.

    The imputed embeddings are T E, a row of T picking a voter or the voters' mean, so their inner
    products are T (E E') T' and the embeddings are not needed. NaN where no voter left a text.
    """
    speaking = votes & np.isfinite(np.diagonal(inner, axis1=1, axis2=2))
    count = speaking.sum(axis=1)
    mean = speaking / np.maximum(count, 1)[:, None]
    transform = np.where(speaking[:, :, None], np.eye(votes.shape[1]), mean[:, None, :])
    products: Floats = transform @ np.nan_to_num(inner) @ transform.transpose(0, 2, 1)
    products[count == 0] = np.nan
    return products


class ReflectionFlip:
    """S3: the chance that a member changes its label on reflection, averaged over members.

    One logistic regression a member on [reasoning embedding, one-hot label]; the target is
    label != reflected label. A member seen to do only one thing gets the Laplace rate instead.
    Learns from at most MOST_ANSWERS answers of a member, evenly spread over those given. Needs no
    truth. Always P(flip), never P(match).
    """

    def __init__(self, classes: int, penalty: float = 1.0) -> None:
        self.classes = classes
        self.penalty = penalty

    def fit(self, reasonings: Numbers, labels: Ints, reflected: Ints) -> Self:
        """From `reasonings` (n, M, d), codes `labels` and `reflected` (n, M); gaps are left out."""
        members, width = labels.shape[1], reasonings.shape[2] + self.classes
        self.coef_ = np.zeros((members, width))
        self.intercept_ = np.zeros(members)
        for member in range(members):
            known = _thinned(self._known(reasonings, labels, member) & (reflected[:, member] >= 0))
            flips = labels[known, member] != reflected[known, member]
            if len(np.unique(flips)) < 2:
                self.intercept_[member] = scipy.special.logit((flips.sum() + 1) / (len(flips) + 2))
            else:
                self._fit_member(member, self._features(reasonings, labels, member, known), flips)
        return self

    def predict(self, reasonings: Numbers, labels: Ints) -> Floats:
        """P(flip) in [0, 1], (n,): mean over the members that answered, NaN if none did."""
        chance = np.full(labels.shape, np.nan)
        for member in range(labels.shape[1]):
            known = self._known(reasonings, labels, member)
            features = self._features(reasonings, labels, member, known)
            chance[known, member] = scipy.special.expit(
                features @ self.coef_[member] + self.intercept_[member]
            )
        return mean_known(chance)

    def to_dict(self) -> Json:
        """Plain JSON, exact."""
        return {
            "classes": self.classes,
            "penalty": self.penalty,
            "coef": self.coef_.tolist(),
            "intercept": self.intercept_.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        """Inverse of `to_dict`."""
        model = cls(cast(int, data["classes"]), cast(float, data["penalty"]))
        model.coef_ = np.array(data["coef"], dtype=np.float64)
        model.intercept_ = np.array(data["intercept"], dtype=np.float64)
        return model

    def _fit_member(self, member: int, features: Floats, flips: Bools) -> None:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=self.penalty, max_iter=2000).fit(features, flips)
        self.coef_[member], self.intercept_[member] = model.coef_[0], model.intercept_[0]

    def _known(self, reasonings: Numbers, labels: Ints, member: int) -> Bools:
        present: Bools = np.isfinite(reasonings[:, member]).all(axis=1) & (labels[:, member] >= 0)
        return present

    def _features(self, reasonings: Numbers, labels: Ints, member: int, rows: Bools) -> Floats:
        one_hot = labels[rows, member, None] == np.arange(self.classes)
        return np.hstack([reasonings[rows, member], one_hot]).astype(np.float64)


def _thinned(rows: Bools) -> Bools:
    """The same mask (n,), or MOST_ANSWERS of its rows at even distances."""
    places = np.flatnonzero(rows)
    if len(places) <= MOST_ANSWERS:
        return rows
    kept = np.zeros_like(rows)
    kept[places[np.linspace(0, len(places) - 1, MOST_ANSWERS).astype(np.int64)]] = True
    return kept


def vote_entropy(labels: Ints) -> Floats:
    """Entropy (n,) in nats of the vote, from 0 (all agree) to log M; NaN without any vote."""
    votes = (labels >= 0).sum(axis=1)
    entropy = np.zeros(len(labels))
    for code in np.unique(labels[labels >= 0]):
        share = (labels == code).sum(axis=1) / np.maximum(votes, 1)
        entropy -= share * np.log(np.where(share > 0, share, 1.0))
    return np.where(votes > 0, entropy, np.nan)


def disagreement_level(embeddings: Numbers) -> Floats:
    """1 - mean cosine of the observed pairs, (n,) in [0, 2]; NaN without a pair.

    The level that S1 lacks: members who all disagree alike have a small residual.
    """
    return 1.0 - mean_known(pairwise_cosine(embeddings))


def von_neumann_entropy(similarity: Floats) -> Floats:
    """Entropy (n,) of the spectrum of W / M, W = `similarity_matrix` (n, M, M): from 0 to log M."""
    spectrum = np.clip(np.linalg.eigvalsh(similarity / similarity.shape[1]), 1e-12, None)
    entropy: Floats = -(spectrum * np.log(spectrum)).sum(axis=1)
    return entropy


def degree(similarity: Floats) -> Floats:
    """1 - mean similarity, self-similarity included: (n,) in [0, 1)."""
    mean: Floats = similarity.mean(axis=(1, 2))
    return 1.0 - mean


def eigenvalue_sum(similarity: Floats) -> Floats:
    """Continuous number of groups among the texts, (n,) >= 1: sum of max(0, 1 - eigenvalue)."""
    spectrum = np.linalg.eigvalsh(_laplacian(similarity))
    groups: Floats = np.maximum(0.0, 1.0 - spectrum).sum(axis=1)
    return groups


def eccentricity(similarity: Floats) -> Floats:
    """How far the texts lie from their centre in the informative eigenvectors, (n,) >= 0."""
    spectrum, vectors = np.linalg.eigh(_laplacian(similarity))
    kept = np.where((spectrum < _EIGENVALUE_CUT)[:, None, :], vectors, 0.0)
    centred = kept - kept.mean(axis=1, keepdims=True)
    distance: Floats = np.sqrt((centred**2).sum(axis=(1, 2)))
    return distance


def semantic_entropy(similarity: Floats, present: Bools) -> Floats:
    """Entropy (n,) in nats of the meanings said, from 0 (one meaning) to log M; NaN without a text.

    Texts whose similarity (n, M, M) is at least SAME_MEANING, also by way of a third, mean the
    same. `present` (n, M): where there is a text. Farquhar et al. 2024 (doi
    10.1038/s41586-024-07421-0) ask a model for entailment; cosines of embeddings stand in for it.
    """
    linked = (similarity >= SAME_MEANING) & present[:, :, None] & present[:, None, :]
    for _ in range(max(1, (present.shape[1] - 1).bit_length())):
        linked = linked @ linked
    size, count = linked.sum(axis=2), present.sum(axis=1)
    share = np.where(present, size, 1) / np.where(present, np.maximum(count, 1)[:, None], 1)
    return -mean_known(np.where(present, np.log(share), np.nan)) + 0.0


def sampling_entropy(samples: Ints) -> Floats:
    """Mean entropy (n,) in nats of each member's own further answers, codes (n, M, S).

    How much a member disagrees with itself: 0 to log S; NaN where nobody was asked again.
    """
    n, members, draws = samples.shape
    each = vote_entropy(samples.reshape(n * members, draws))
    return mean_known(each.reshape(n, members))


def _laplacian(similarity: Floats) -> Floats:
    """Symmetric normalised graph Laplacian I - D^-1/2 W D^-1/2."""
    scale = 1.0 / np.sqrt(similarity.sum(axis=2))
    laplacian: Floats = np.eye(len(scale[0])) - scale[:, :, None] * similarity * scale[:, None, :]
    return laplacian


def mean_known(values: Floats) -> Floats:
    """Mean (n,) of each row's known entries; NaN where none is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean


def cold_start(vote_entropy: Floats, von_neumann_entropy: Floats) -> Floats:
    """Vote entropy + 0.1 x von Neumann entropy of the reasonings, (n,) >= 0: needs no labels."""
    return vote_entropy + COLD_START_WEIGHT * von_neumann_entropy
