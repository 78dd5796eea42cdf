import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.uq import scores as score
from inference.uq.factors import fit_factors, residual
from inference.uq.scores import ReflectionFlip
from inference.uq.similarity import pairwise_cosine, similarity_matrix
from inference.uq.types import Floats, Ints

codes = arrays(np.int64, (5, 4), elements=st.integers(-1, 2))


def texts(n: int = 60, members: int = 4, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, members, 6))


def slow_s2(reasonings: Floats, labels: Ints, factors: Floats) -> Floats:
    """The definition, word for word: impute embeddings, then take cosines."""
    total = np.zeros(len(labels))
    for code in (0, 1, 2):
        for case in range(len(labels)):
            voters = labels[case] == code
            if not voters.any():
                continue
            imputed = np.where(
                voters[:, None], reasonings[case], reasonings[case][voters].mean(axis=0)
            )
            share = voters.sum() / (labels[case] >= 0).sum()
            total[case] += share * residual(pairwise_cosine(imputed[None]), factors)[0]
    return total - residual(pairwise_cosine(reasonings), factors)


def test_s2_equals_its_definition() -> None:
    reasonings = texts()
    labels = np.random.default_rng(1).integers(0, 3, size=(60, 4))
    factors = fit_factors(pairwise_cosine(reasonings), 2)
    np.testing.assert_allclose(
        score.analysis_residual(reasonings, labels, factors),
        slow_s2(reasonings, labels, factors),
        atol=1e-12,
    )


def test_s2_of_a_unanimous_case_is_zero() -> None:
    reasonings = texts()
    factors = fit_factors(pairwise_cosine(reasonings), 2)
    labels = np.ones((60, 4), dtype=np.int64)
    np.testing.assert_allclose(score.analysis_residual(reasonings, labels, factors), 0, atol=1e-12)


def test_s2_is_unknown_without_a_vote_or_without_a_voters_text() -> None:
    reasonings = texts(2)
    reasonings[1, 0] = np.nan
    labels = np.array([[-1, -1, -1, -1], [0, 1, 1, 1]])
    factors = fit_factors(pairwise_cosine(texts()), 2)
    assert np.isnan(score.analysis_residual(reasonings, labels, factors)).all()


@given(codes)
def test_vote_entropy_is_bounded_and_blind_to_order(labels: Ints) -> None:
    entropy = score.vote_entropy(labels)
    np.testing.assert_allclose(score.vote_entropy(labels[:, ::-1]), entropy, atol=1e-12)
    voted = (labels >= 0).any(axis=1)
    assert np.isnan(entropy[~voted]).all()
    assert ((entropy[voted] >= -1e-12) & (entropy[voted] <= np.log(3) + 1e-12)).all()


def test_vote_entropy_counts_only_the_votes_cast() -> None:
    labels = np.array([[0, 0, -1], [0, 1, -1], [0, 1, 2]])
    np.testing.assert_allclose(score.vote_entropy(labels), [0, np.log(2), np.log(3)], atol=1e-12)


def test_graph_scores_rise_from_agreement_to_disagreement() -> None:
    same, apart = np.ones((1, 3, 3)), np.eye(3)[None]
    for function in (score.von_neumann_entropy, score.eigenvalue_sum, score.degree):
        assert function(same)[0] < function(apart)[0]
    assert score.von_neumann_entropy(same)[0] == pytest.approx(0, abs=1e-9)
    assert score.von_neumann_entropy(apart)[0] == pytest.approx(np.log(3))
    assert score.eigenvalue_sum(same)[0] == pytest.approx(1)
    assert score.eigenvalue_sum(apart)[0] == pytest.approx(3)


def test_a_text_apart_raises_eccentricity() -> None:
    together, apart = np.ones((1, 3, 3)), np.array([[[1, 1, 0.05], [1, 1, 0.05], [0.05, 0.05, 1]]])
    assert score.eccentricity(together)[0] < score.eccentricity(apart)[0]


@given(st.integers(0, 500), st.permutations(range(4)))
def test_text_scores_are_blind_to_the_members_order(seed: int, order: list[int]) -> None:
    values = texts(5, seed=seed)
    alike, shuffled = similarity_matrix(values), similarity_matrix(values[:, order])
    for function in (score.von_neumann_entropy, score.eigenvalue_sum, score.degree):
        np.testing.assert_allclose(function(shuffled), function(alike), atol=1e-9)
    np.testing.assert_allclose(
        score.disagreement_level(values[:, order]), score.disagreement_level(values), atol=1e-9
    )


def test_disagreement_level_sees_what_the_residual_misses() -> None:
    agreeing = np.ones((1, 3, 3)) + 0.01 * np.eye(3)
    equally_apart = np.eye(3)[None]
    levels = score.disagreement_level(np.vstack([agreeing, equally_apart]))
    assert levels[0] < 0.01
    assert levels[1] == pytest.approx(1)
    factors = np.ones((3, 1)) / np.sqrt(3)
    assert score.comprehension_residual(equally_apart, factors)[0] == pytest.approx(0)


def test_cold_start_is_the_published_sum() -> None:
    assert score.cold_start(np.array([0.5]), np.array([2.0]))[0] == pytest.approx(0.7)


def flipping(n: int = 300) -> tuple[Floats, Ints, Ints]:
    """Member 0 flips when its first number is above 0, member 1 always, member 2 never."""
    reasonings = texts(n, members=3)
    labels = np.random.default_rng(3).integers(0, 2, size=(n, 3))
    flips = np.stack([reasonings[:, 0, 0] > 0, np.ones(n, bool), np.zeros(n, bool)], axis=1)
    return reasonings, labels, np.where(flips, 1 - labels, labels)


def test_reflection_learns_who_flips_and_when() -> None:
    reasonings, labels, reflected = flipping()
    model = ReflectionFlip(classes=2).fit(reasonings, labels, reflected)
    chance = model.predict(reasonings, labels)
    low, high = reasonings[:, 0, 0] < -0.5, reasonings[:, 0, 0] > 0.5
    assert chance[low].max() < chance[high].min()
    assert chance.mean() == pytest.approx(0.5, abs=0.03)


def test_reflection_of_one_habit_is_the_laplace_rate() -> None:
    reasonings, labels, _ = flipping(10)
    model = ReflectionFlip(classes=2).fit(reasonings, labels, labels)
    np.testing.assert_allclose(model.predict(reasonings, labels), 1 / 12)


def test_missing_reflections_are_left_out_and_no_flip() -> None:
    reasonings, labels, reflected = flipping()
    reflected[150:] = -1
    some = ReflectionFlip(classes=2).fit(reasonings, labels, reflected)
    first = ReflectionFlip(classes=2).fit(reasonings[:150], labels[:150], reflected[:150])
    np.testing.assert_array_equal(some.coef_, first.coef_)


def test_flip_chance_averages_the_members_that_answered() -> None:
    reasonings, labels, reflected = flipping()
    model = ReflectionFlip(classes=2).fit(reasonings, labels, reflected)
    absent = labels[:2].copy()
    absent[0] = [-1, 1, -1]
    absent[1] = -1
    chance = model.predict(reasonings[:2], absent)
    assert chance[0] == pytest.approx(301 / 302)
    assert np.isnan(chance[1])


def test_reflection_survives_json_exactly() -> None:
    reasonings, labels, reflected = flipping()
    model = ReflectionFlip(classes=2).fit(reasonings, labels, reflected)
    again = ReflectionFlip.from_dict(json.loads(json.dumps(model.to_dict())))
    np.testing.assert_array_equal(
        again.predict(reasonings, labels), model.predict(reasonings, labels)
    )


def test_semantic_entropy_counts_meanings_not_words() -> None:
    same, apart = np.eye(3) * 0.1 + 0.9, np.eye(3)
    two = np.array([[1, 0.9, 0.1], [0.9, 1, 0.1], [0.1, 0.1, 1.0]])
    found = score.semantic_entropy(np.array([same, two, apart]), np.ones((3, 3), bool))
    expected = [0, np.log(3) - 2 / 3 * np.log(2), np.log(3)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_texts_that_a_third_one_links_mean_the_same() -> None:
    chain = np.eye(4)
    for one in range(3):
        chain[one, one + 1] = chain[one + 1, one] = score.SAME_MEANING
    assert score.semantic_entropy(chain[None], np.ones((1, 4), bool))[0] == 0


def test_semantic_entropy_leaves_missing_texts_out() -> None:
    apart = np.eye(3)[None]
    found = score.semantic_entropy(apart, np.array([[True, True, False]]))
    np.testing.assert_allclose(found, np.log(2))
    assert np.isnan(score.semantic_entropy(apart, np.zeros((1, 3), bool)))[0]


def test_sampling_entropy_is_each_members_own() -> None:
    """Two members who contradict each other, but never themselves, are sure in this sense."""
    steady = np.array([[[0, 0, 0, 0], [1, 1, 1, 1]]])
    torn = np.array([[[0, 0, 0, 0], [0, 1, 0, 1]]])
    assert score.sampling_entropy(steady)[0] == 0
    assert score.sampling_entropy(torn)[0] == pytest.approx(np.log(2) / 2)
    assert np.isnan(score.sampling_entropy(np.full((1, 2, 4), -1)))[0]
    assert np.isnan(score.sampling_entropy(np.empty((1, 2, 0), np.int64)))[0]
    half = np.array([[[0, 1, -1, -1], [-1, -1, -1, -1]]])
    assert score.sampling_entropy(half)[0] == pytest.approx(np.log(2))
