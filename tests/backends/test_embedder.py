"""Sentence embeddings: geometry, empty texts, the cache."""

import numpy as np
import pytest

from inference.backends import embedder
from inference.backends.embedder import DIMENSIONS, embed

TEXTS = [
    "A long, straight cut with clean edges on the forearm.",
    "A straight cut with sharp edges, on the lower arm.",
    "A raccoon sits on the kitchen table.",
]


def test_rows_are_unit_vectors_in_order() -> None:
    rows = embed([TEXTS[2], TEXTS[0]])
    assert rows.shape == (2, DIMENSIONS)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(rows[1], embed([TEXTS[0]])[0], atol=1e-5)


def test_near_texts_are_nearer_than_far_ones() -> None:
    cut, same, raccoon = embed(TEXTS)
    assert cut @ same > 0.7
    assert cut @ raccoon < 0.3


def test_a_text_alone_and_in_a_padded_batch_are_the_same() -> None:
    short, long = "A burn, blistered and seen alone.", "Red skin around a nail. " * 20
    embedder._cached.clear()
    alone = embed([short])
    embedder._cached.clear()
    np.testing.assert_allclose(embed([short, long])[:1], alone, atol=1e-5)


@pytest.mark.parametrize("nothing", ["", "  \n"])
def test_a_text_without_content_has_no_vector(nothing: str) -> None:
    rows = embed([nothing, TEXTS[0]])
    assert np.isnan(rows[0]).all()
    assert np.isfinite(rows[1]).all()


def test_no_texts_give_no_rows() -> None:
    assert embed([]).shape == (0, DIMENSIONS)


def test_each_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def encode(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.ones((len(texts), DIMENSIONS), dtype=np.float32)

    monkeypatch.setattr(embedder, "_encode", encode)
    monkeypatch.setattr(embedder, "_CACHED_TEXTS", 2)
    monkeypatch.setattr(embedder, "_cached", type(embedder._cached)())
    embed(["a", "b", "a"])
    embed(["a"])
    assert asked == ["a", "b"]
    embed(["c"])
    embed(["a"])
    assert asked == ["a", "b", "c"], "b was used longest ago and leaves first"
    embed(["b"])
    assert asked == ["a", "b", "c", "b"]


def test_changing_a_row_does_not_change_the_cache() -> None:
    embed([TEXTS[0]])[0][:] = 0
    assert np.linalg.norm(embed([TEXTS[0]])[0]) == pytest.approx(1, abs=1e-5)
