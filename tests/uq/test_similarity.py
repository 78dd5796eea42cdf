import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.uq.similarity import pairs, pairwise_cosine, rouge_l, similarity_matrix
from inference.uq.types import Floats

embeddings = arrays(np.float64, (4, 3, 5), elements=st.floats(-10, 10, width=16))
words = st.text(alphabet="abc ", max_size=20)


@given(embeddings)
def test_cosines_lie_between_minus_one_and_one(values: Floats) -> None:
    cosines = pairwise_cosine(values)
    assert cosines.shape == (4, 3)
    assert (np.abs(cosines) <= 1).all()


@given(embeddings, st.floats(0.01, 1000))
def test_cosines_do_not_depend_on_length(values: Floats, scale: float) -> None:
    scales = np.array([scale, 1.0, 2.0])[None, :, None]
    np.testing.assert_allclose(pairwise_cosine(values * scales), pairwise_cosine(values), atol=1e-9)


@given(embeddings, st.permutations(range(3)))
def test_members_in_another_order_give_the_same_pairs(values: Floats, order: list[int]) -> None:
    place = {frozenset(pair): j for j, pair in enumerate(pairs(3).tolist())}
    same = [place[frozenset((order[a], order[b]))] for a, b in pairs(3).tolist()]
    np.testing.assert_allclose(
        pairwise_cosine(values[:, order]), pairwise_cosine(values)[:, same], atol=1e-12
    )


def test_a_missing_text_leaves_its_own_pairs_unknown() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 5))
    values[0, 2] = np.nan
    known = np.isfinite(pairwise_cosine(values))
    assert known.tolist() == [[True, False, False], [True, True, True]]


def test_an_infinite_number_makes_a_text_missing() -> None:
    values = np.ones((1, 3, 5))
    values[0, 0, 0] = np.inf
    assert np.isfinite(pairwise_cosine(values)).tolist() == [[False, False, True]]


def test_a_zero_vector_is_similar_to_nothing() -> None:
    values = np.ones((1, 2, 4))
    values[0, 0] = 0
    assert pairwise_cosine(values).tolist() == [[0.0]]


def test_float32_embeddings_are_computed_in_double_precision() -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 384)).astype(np.float32)
    expected = pairwise_cosine(values.astype(np.float64))
    np.testing.assert_array_equal(pairwise_cosine(values), expected)


def test_many_cases_are_the_same_as_one_at_a_time() -> None:
    values = np.random.default_rng(0).normal(size=(4100, 3, 2))
    together = pairwise_cosine(values)
    np.testing.assert_allclose(together[[4099]], pairwise_cosine(values[[4099]]), atol=1e-12)


def test_similarity_matrix_of_a_missing_text_is_itself_only() -> None:
    values = np.ones((1, 3, 4))
    values[0, 1] = np.nan
    assert similarity_matrix(values)[0].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


@given(embeddings)
def test_similarity_matrix_is_symmetric_within_zero_and_one(values: Floats) -> None:
    weights = similarity_matrix(values)
    np.testing.assert_array_equal(weights, weights.transpose(0, 2, 1))
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (np.diagonal(weights, axis1=1, axis2=2) == 1).all()


@given(words, words)
def test_rouge_is_symmetric_and_one_only_for_equal_texts(first: str, second: str) -> None:
    value = rouge_l(first, second)
    assert value == pytest.approx(rouge_l(second, first))
    assert 0 <= value <= 1
    assert (value == 1) == (first.split() == second.split() != [])
