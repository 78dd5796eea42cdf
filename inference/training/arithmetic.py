"""The numbers that a training computes in where single precision is more than it needs."""

import torch

NATIVE = ("avx512_bf16", "amx_bf16", "bf16")  # the last one of ARM processors


def computes_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16, rather than PyTorch in its place."""
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in NATIVE)


def short_numbers() -> torch.autocast:
    """A context of bfloat16 arithmetic; of single precision where bfloat16 would be slower."""
    return torch.autocast("cpu", torch.bfloat16, enabled=computes_bfloat16())
