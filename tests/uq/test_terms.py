import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from inference.uq.terms import Terms

TEXTS = [
    "A red mark with clear edges. It is deep red.",
    "A small dark hole; the edges are clear.",
    "A red, red hole in the skin",
    "",
    "Nothing alike whatsoever",
]


def test_the_weights_are_those_of_scikit_learn() -> None:
    reference = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(TEXTS)
    terms = Terms().fit(TEXTS)
    assert set(terms.terms_) == set(reference.get_feature_names_out())
    order = [reference.vocabulary_[term] for term in terms.terms_]
    expected = reference.transform(TEXTS).toarray()[:, order]
    np.testing.assert_allclose(terms.transform(TEXTS).toarray(), expected, atol=1e-12)


@given(st.lists(st.text("ab c", max_size=20), min_size=1, max_size=6))
def test_rows_have_length_one_or_nothing_in_them(texts: list[str]) -> None:
    lengths = np.linalg.norm(Terms().fit(texts).transform(texts).toarray(), axis=1)
    assert np.all(np.isclose(lengths, 1) | (lengths == 0))


def test_the_commonest_terms_are_kept_and_rare_ones_never() -> None:
    assert Terms(most=2).fit(["b a", "b a", "b a c", "c", "aa bb", "aa"]).terms_ == ("aa",)
    assert Terms(most=2).fit(["xx yy", "yy xx", "xx zz", "zz"]).terms_ == ("xx", "yy")
    assert "nothing" not in Terms().fit(TEXTS).terms_


def test_it_is_rebuilt_from_json() -> None:
    terms = Terms().fit(TEXTS)
    again = Terms.from_dict(json.loads(json.dumps(terms.to_dict())))
    assert (again.transform(TEXTS) != terms.transform(TEXTS)).nnz == 0
    assert again.to_dict() == terms.to_dict()


@pytest.mark.parametrize("texts", [[], [""], ["unknown words"]])
def test_texts_without_a_known_term_are_rows_of_zeros(texts: list[str]) -> None:
    found = Terms().fit(TEXTS).transform(texts)
    assert found.shape[0] == len(texts)
    assert found.nnz == 0
