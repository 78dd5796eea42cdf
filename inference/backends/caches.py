"""A key-value cache for batches: quicker, with the same answers.

For decoders of which every layer attends to all that stands before, with positions that follow from
the attention mask: Llama, and most that are like it. Imported where transformers is loaded already.
"""

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 64


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values with room for more: a step copies its own token, not all before it."""

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> Any:
        """Append states (requests, heads, tokens, width); gives all there are by now."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._rooms: dict[str, Any] = {}
        for name, new in (("keys", key_states), ("values", value_states)):
            setattr(self, name, self._append(name, getattr(self, name), new))
        return self.keys, self.values

    def _append(self, name: str, held: Any, new: Any) -> Any:
        length = held.shape[-2] if held.numel() else 0
        end = length + new.shape[-2]
        room, last = self._rooms.get(name, (None, None))
        # What others have replaced meanwhile is no part of the room any more.
        if last is not held or end > room.shape[-2]:
            room = new.new_empty((*new.shape[:-2], end + ROOM, new.shape[-1]))
            if length:
                room[..., :length, :] = held
        room[..., length:end, :] = new
        filled = room[..., :end, :]
        self._rooms[name] = room, filled
        return filled


def with_cache(model: Any, inputs: Any) -> dict[str, Any]:
    """The inputs of a batch with a cache, which holds what all texts begin with, worked out once.

    Args:
        inputs: `input_ids` and `attention_mask` (requests, tokens), padded on the left, and perhaps
            pictures, which the text follows: then texts have no beginning in common.

    Returns:
        Inputs for `generate`; padding stands between the common beginning and the rest.
    """
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    cache.layers = [RoomyLayer() if type(one) is DynamicLayer else one for one in cache.layers]
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    length = 0 if "pixel_values" in inputs else _common(ids, mask)
    if length:
        model(input_ids=_first(ids, mask, length), past_key_values=cache, logits_to_keep=1)
        cache.batch_repeat_interleave(len(ids))
        ids, mask = _beginning_first(ids, mask, length)
    return {**inputs, "input_ids": ids, "attention_mask": mask, "past_key_values": cache}


def _common(ids: Any, mask: Any) -> int:
    """How many tokens all texts begin with; every text keeps at least one of its own."""
    lengths = mask.sum(dim=1)
    texts = [row[-length:] for row, length in zip(ids, lengths.tolist(), strict=True)]
    shortest = int(lengths.min()) - 1
    heads = torch.stack([text[:shortest] for text in texts])
    return int((heads == heads[0]).all(dim=0).cumprod(dim=0).sum())


def _first(ids: Any, mask: Any, length: int) -> Any:
    start = ids.shape[1] - int(mask[0].sum())
    return ids[:1, start : start + length]


def _beginning_first(ids: Any, mask: Any, length: int) -> tuple[Any, Any]:
    """Rows of (common beginning, padding, rest) instead of (padding, common beginning, rest)."""
    positions = torch.arange(ids.shape[1], device=ids.device)
    padding = ids.shape[1] - mask.sum(dim=1, keepdim=True)
    order = torch.where(positions < length, positions + padding, positions - length)
    order = torch.where(positions < length + padding, order, positions)
    return ids.gather(1, order), mask.gather(1, order)
