"""Trainings compute in bfloat16 only where the processor does."""

import pytest
import torch

from inference.training.arithmetic import short_numbers


@pytest.mark.parametrize(
    ("processor", "computed"),
    [
        ({"architecture": "x86_64", "avx2": True}, torch.float32),
        ({"avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_f": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"architecture": "arm64", "neon": True}, torch.float32),
        ({"architecture": "arm64", "bf16": True}, torch.bfloat16),
    ],
)
def test_the_processor_decides_what_is_computed_in(
    processor: dict[str, object], computed: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    with short_numbers():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == computed
    assert not torch.is_autocast_enabled("cpu")
