"""Held to a schema, a text cannot leave it."""

import json
import random
from typing import Any

import pytest

from inference.backends.guided import FREE, Guide, json_parts

SCHEMA = {
    "properties": {
        "why": {"type": "string"},
        "label": {"type": "string", "enum": ["Cut", "Burns"]},
    },
    "required": ["why", "label"],
}
TOKENS = ["<end>", "{", '{"', "why", '":', ' "', '"', "a", "b ", '.",', " ", "label", "\\", "\n"]
TOKENS += ["Cut", "Cu", "t", "Burns", '"}', "}", ",", ":", "B", "urns"]


class Letters:
    """The little of a tokenizer that a Guide asks for."""

    all_special_ids = (0,)
    eos_token_id = 0

    def __len__(self) -> int:
        return len(TOKENS)

    def decode(self, ids: list[int]) -> str:
        return "".join(TOKENS[one] for one in ids)


def written(seed: int, limit: int = 6) -> str:
    """What comes out when tokens are drawn at random among those that are left."""
    import torch

    guide, rng = Guide(torch, Letters(), SCHEMA, limit).begin(), random.Random(seed)
    ids: list[int] = [1]
    for _ in range(60):
        left = guide(torch.tensor([ids]), torch.zeros(1, len(TOKENS)))[0].isfinite()
        ids.append(rng.choice(left.nonzero().flatten().tolist()))
        if ids[-1] == 0:
            return Letters().decode(ids[1:-1])
    raise AssertionError(f"no end: {Letters().decode(ids)}")


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_drawn_is_valid(seed: int) -> None:
    content: dict[str, Any] = json.loads(written(seed))
    assert list(content) == ["why", "label"]
    assert content["label"] in ("Cut", "Burns")
    assert content["why"].strip()


def test_free_text_has_to_end() -> None:
    longest = 3 * max(map(len, TOKENS))
    assert max(len(json.loads(written(seed, limit=2))["why"]) for seed in range(30)) <= longest


def test_a_token_may_end_a_text_and_go_on() -> None:
    assert any('.", ' in written(seed) for seed in range(60))


def test_a_batch_is_held_row_by_row_and_begins_anew() -> None:
    import torch

    guide = Guide(torch, Letters(), SCHEMA, 6)
    for _ in range(2):
        guide.begin()
        guide(torch.tensor([[5], [5]]), torch.zeros(2, len(TOKENS)))
        one, two = guide(torch.tensor([[5, 1], [5, 2]]), torch.zeros(2, len(TOKENS))).isfinite()
        assert one.nonzero().flatten().tolist() == [TOKENS.index('"')]
        assert two.nonzero().flatten().tolist() == [TOKENS.index("why")]


def test_the_parts_of_a_schema() -> None:
    assert json_parts(SCHEMA) == (
        ('{"why": "',),
        FREE,
        ('", "label": "Cut"}', '", "label": "Burns"}'),
    )
