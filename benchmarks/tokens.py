"""Tokens a second of one model: alone, in batches, and against what its memory could give.

    python -m benchmarks.tokens [--model FOLDER | --random 20m] [--device cuda] [--dtype bfloat16]
                                [--batch 1 4 16] [--tokens 64] [--static-cache] [--compile]

To decode a token, the weights of the decoder are read once, for a batch as for a single text. So a
single text cannot come faster than the bytes that the memory gives a second by the bytes of these
weights: that is the limit, and what was reached is its share. The memory's speed is measured by
summing an array up that no cache holds; a decoder that a cache does hold can be above the limit.

`--random` makes a LLaVA with random weights on the spot, its decoder of about 20m, 1b or 7b
parameters. All texts are equally long, and none ends early. What a picture and a prompt cost before
the first token is told apart.
"""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from inference.backends.base import Request
from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MEMBERS_FILE, MemberSpec
from tests.tiny_models import llava

ROUNDS, DEADLINE_S = 5, 3600.0
WIDE = {
    "20m": {"hidden_size": 384, "num_hidden_layers": 8, "intermediate_size": 1024},
    "1b": {"hidden_size": 2048, "num_hidden_layers": 18, "intermediate_size": 5632},
    "7b": {"hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 11008},
}
VOCABULARY, HEAD = 32_000, 64
READ_BYTES = {"cpu": 2**29, "cuda": 2**32}


def random_model(size: str, folder: Path, dtype: str, device: str) -> Path:
    import torch

    before = torch.get_default_dtype()
    heads = WIDE[size]["hidden_size"] // HEAD
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            return llava(
                folder,
                **WIDE[size],
                num_attention_heads=heads,
                num_key_value_heads=heads,
                vocab_size=VOCABULARY,
                initializer_range=0.02,
            )
    finally:
        torch.set_default_dtype(before)


def seconds(work: Callable[[], object], device: str) -> float:
    """Best of a few rounds, after one that does not count: what else goes on only adds."""
    import torch

    took = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return min(took[1:])


def read_speed(device: str) -> float:
    """Bytes a second that can be read."""
    import torch

    size = READ_BYTES[device.partition(":")[0]]
    array = torch.ones(size // 4, device=device)
    return size / seconds(lambda: array.sum().item(), device)


def decoder_bytes(model: Any) -> int:
    """Of the weights that each token needs: the layers and the head, not the table of words."""
    head = model.get_output_embeddings().weight
    table = model.get_input_embeddings().weight
    weights = {id(one): one for one in model.get_decoder().parameters()}
    weights.pop(id(table), None)
    weights[id(head)] = head
    return sum(one.nbytes for one in weights.values())


def generate(backend: HuggingFaceBackend, batch: int, tokens: int) -> None:
    picture = Image.new("RGB", (224, 224), (170, 110, 90))
    one = Request("look closely " * 20, (picture,), max_tokens=tokens, deadline_s=DEADLINE_S)
    backend.generate([one] * batch)


def measure(backend: HuggingFaceBackend, batch: int, tokens: int) -> tuple[float, float]:
    """Seconds until all have their first token, and tokens a second from then on."""
    first = seconds(lambda: generate(backend, batch, 1), backend._device)
    whole = seconds(lambda: generate(backend, batch, tokens), backend._device)
    return first, batch * (tokens - 1) / max(whole - first, 1e-9)


def load(folder: Path, asked: Namespace) -> HuggingFaceBackend:
    wanted = {
        "device": asked.device,
        "dtype": asked.dtype,
        "batch": max(asked.batch),
        "static_cache": asked.static_cache,
        "compile": asked.compile,
        "threads": asked.threads,
    }
    backend = HuggingFaceBackend(MemberSpec("measured", model=str(folder), options=wanted))
    backend._model.generation_config.eos_token_id = None
    return backend


def report(backend: HuggingFaceBackend, asked: Namespace) -> None:
    import torch

    model, device = backend._model, backend._device
    weights, speed = decoder_bytes(model), read_speed(device)
    limit = speed / weights
    where = (
        torch.cuda.get_device_name() if device != "cpu" else f"{torch.get_num_threads()} threads"
    )
    print(f"{type(model).__name__}, {str(model.dtype).removeprefix('torch.')}, {device} ({where})")
    print(f"  a token reads {weights / 1e6:,.1f} MB; the memory gives {speed / 1e9:,.1f} GB/s")
    print(f"  limit of a single text: {limit:,.0f} tokens/s")
    print(f"  {'batch':>7}{'first token':>14}{'tokens/s':>12}{'of limit':>11}{'of single':>11}")
    single = 0.0
    for batch in asked.batch:
        first, rate = measure(backend, batch, asked.tokens)
        single = single or rate / batch
        share, gain = rate / (limit * batch), rate / single
        print(f"  {batch:7d}{first:12.3f} s{rate:12,.0f}{share:11.1%}{gain:11.2f}")


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.tokens")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, default=MEMBERS_FILE.parent / "lite0")
    what.add_argument("--random", choices=WIDE, help="of about so many parameters")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16, float16")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--tokens", type=int, default=64, help="that each text gets, at least 2")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as a member has")
    parser.add_argument("--static-cache", action="store_true")
    parser.add_argument("--compile", action="store_true", help="with --static-cache, on CUDA")
    asked = parser.parse_args()
    if asked.tokens < 2 or min(asked.batch) < 1:
        parser.error("at least 2 tokens, and a batch of at least 1")
    with TemporaryDirectory() as scratch:
        folder = asked.model
        if asked.random:
            folder = random_model(asked.random, Path(scratch), asked.dtype, asked.device)
        report(load(folder, asked), asked)


if __name__ == "__main__":
    main()
