"""Generation held to a flat JSON schema, token by token, so that every answer is valid JSON.

For schemas as the pipeline makes them: an object of strings, each free text or one of an enum,
in the order of `required`. Free text holds no quote, backslash, brace or control character. For
tokenizers that decode a token alone as they decode it in a text (byte-level BPE).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

FREE = None
_Part = tuple[str, ...] | None
"""Alternative literals, or FREE text."""


@dataclass(frozen=True)
class _State:
    """Where an answer stands: its part; what is left of the literals; free tokens so far."""

    part: int
    left: tuple[str, ...] = ()
    length: int = 0


def json_parts(schema: Mapping[str, Any]) -> tuple[_Part, ...]:
    """The literals and free texts that an answer to the schema consists of, in turn."""
    parts: list[_Part] = [("{",)]
    for index, name in enumerate(schema["required"]):
        before = (", " if index else "") + json.dumps(name) + ': "'
        parts = _extended(parts, (before,))
        values = schema["properties"][name].get("enum")
        if values is None:
            parts.append(FREE)
        else:
            parts = _extended(parts, [json.dumps(one, ensure_ascii=False)[1:-1] for one in values])
        parts = _extended(parts, ('"',))
    return tuple(_extended(parts, ("}",)))


def _extended(parts: Sequence[_Part], literals: Sequence[str]) -> list[_Part]:
    last = parts[-1]
    if last is FREE:
        return [*parts, tuple(literals)]
    return [*parts[:-1], tuple(first + second for first, second in product(last, literals))]


class Guide:
    """Logits processor that leaves only tokens with which the answer stays on its way.

    `begin` before each batch. `limit`: tokens of a free text, after which it has to end.
    """

    def __init__(self, torch: Any, tokenizer: Any, schema: Mapping[str, Any], limit: int) -> None:
        self.torch, self.tokenizer = torch, tokenizer
        self.parts, self.limit = json_parts(schema), limit
        special = set(tokenizer.all_special_ids)
        self.texts = [
            "" if one in special else str(tokenizer.decode([one])) for one in range(len(tokenizer))
        ]
        self.states: list[_State] = []
        self.masks: dict[_State, Any] = {}

    def begin(self) -> "Guide":
        """Forget the last batch, keep what was worked out about the tokens."""
        self.states = []
        return self

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if not self.states:
            first = self.parts[0] or ()
            self.states = [_State(0, first)] * len(input_ids)
        else:
            last = input_ids[:, -1].tolist()
            self.states = [
                self.after(state, self.texts[token]) or state
                for state, token in zip(self.states, last, strict=True)
            ]
        allowed = self.torch.stack([self._mask(state, scores.shape[1]) for state in self.states])
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))

    def _mask(self, state: _State, width: int) -> Any:
        key = _State(state.part, state.left, self._phase(state))
        if key not in self.masks:
            mask = self.torch.zeros(width, dtype=self.torch.bool)
            if state.part == len(self.parts):
                mask[self.tokenizer.eos_token_id] = True
            else:
                for token, text in enumerate(self.texts):
                    mask[token] = self.after(state, text) is not None
            self.masks[key] = mask
        return self.masks[key]

    def _phase(self, state: _State) -> int:
        """0 while a free text is empty, 1 while it may go on, 2 when it has to end."""
        return 0 if state.length == 0 else 1 if state.length < self.limit else 2

    def after(self, state: _State, text: str) -> _State | None:
        """The state after a token, None if it leads astray."""
        if not text or state.part == len(self.parts):
            return None
        if self.parts[state.part] is FREE:
            return self._after_free(state, text)
        left = tuple(one[len(text) :] for one in state.left if one.startswith(text))
        if not left:
            return None
        return _State(state.part, left) if any(left) else self._enter(state.part + 1)

    def _after_free(self, state: _State, text: str) -> _State | None:
        said, quote, rest = text.partition('"')
        if any(sign < " " or sign in "\\{}" for sign in said):
            return None
        if state.length == 0 and not said.strip():
            return None
        if not quote:
            full = state.length >= self.limit
            return None if full else _State(state.part, (), state.length + 1)
        return self.after(self._enter(state.part + 1), quote + rest)

    def _enter(self, part: int) -> _State:
        literals = self.parts[part] if part < len(self.parts) else ()
        return _State(part, literals or ())
