import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.uq.similarity import (
    lexical_similarity,
    nearest,
    pairs,
    pairwise_cosine,
    rouge_l,
    similarity_matrix,
)
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


def slow_common_words(left: list[str], right: list[str]) -> int:
    """The recursion of the definition, as a table."""
    table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
    for i, one in enumerate(left):
        for j, other in enumerate(right):
            more = max(table[i, j + 1], table[i + 1, j])
            table[i + 1, j + 1] = table[i, j] + 1 if one == other else more
    return int(table[-1, -1])


@given(words, words)
def test_rouge_equals_its_definition(first: str, second: str) -> None:
    left, right = first.split(), second.split()
    common = slow_common_words(left, right)
    expected = 2 * common / (len(left) + len(right)) if common else 0.0
    assert rouge_l(first, second) == pytest.approx(expected)


def test_lexical_similarity_is_the_mean_of_the_pairs_that_were_said() -> None:
    said = np.array([["a b", "a b", "c d"], ["a b", "", "a c"], ["a", "", ""]], dtype=object)
    found = lexical_similarity(said)
    np.testing.assert_allclose(found, [1 / 3, 0.5, np.nan])


def test_the_nearest_are_found_in_order_and_gaps_are_like_nothing() -> None:
    rows = np.array([[0.0, 1], [5, 5], [1, 0.1], [np.nan, 1], [-1, 0]])
    assert nearest(np.array([2.0, 0]), rows, most=3).tolist() == [2, 1, 0]
    assert nearest(np.array([2.0, 0]), rows, most=9).tolist() == [2, 1, 0, 4]
