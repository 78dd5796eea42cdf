"""Any Hugging Face checkpoint: here a tiny one with random weights, made on the spot."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from inference.backends.base import Request
from inference.backends.errors import (
    DeadlineExceeded,
    DeviceLost,
    GenerationFailed,
    ModelUnavailable,
)
from inference.backends.huggingface import HuggingFaceBackend, with_centre_crops
from inference.backends.registry import MemberSpec
from tests.tiny_models import IMAGE, make_tokenizer, template

SIDE = 32


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a FastVlm of random weights, its tokenizer and its processor."""
    from transformers import (
        EfficientNetConfig,
        FastVlmConfig,
        FastVlmForConditionalGeneration,
        LlamaConfig,
        LlavaProcessor,
    )
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    vision = EfficientNetConfig(
        in_channels=[32, 16, 16, 16], out_channels=[16] * 4, kernel_sizes=[3] * 4, strides=[2] * 4,
        expand_ratios=[1] * 4, num_block_repeats=[1] * 4, width_coefficient=1.0,
        depth_coefficient=1.0, hidden_dim=1280,
    )  # fmt: skip
    vision.hidden_size = 1280
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, intermediate_size=32, initializer_range=0.5, eos_token_id=1,
        pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    config = FastVlmConfig(
        vision_config=vision, text_config=text, image_token_index=2, image_seq_length=1,
        tie_word_embeddings=True, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    FastVlmForConditionalGeneration(config).save_pretrained(folder)
    images = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=SIDE,
        vision_feature_select_strategy="full",
        chat_template=template(IMAGE),
    ).save_pretrained(folder)
    return folder


def load(checkpoint: Path, **options: object) -> HuggingFaceBackend:
    return HuggingFaceBackend(MemberSpec("tiny", model=str(checkpoint), options=options))


def ask(shade: int = 0, prompt: str = "look", **changes: Any) -> Request:
    picture = Image.new("RGB", (40, 30), (shade, 255 - shade, 90))
    return Request(prompt, **{"images": (picture,), "max_tokens": 12, **changes})


def test_a_batch_says_what_each_request_says_alone_in_order(checkpoint: Path) -> None:
    backend = load(checkpoint)
    requests = [ask(0), Request("look", max_tokens=12), ask(200, "look at this closely"), ask(90)]
    together = backend.generate(requests)
    for request, generation in zip(requests, together, strict=True):
        [alone] = backend.generate([request])
        assert generation.text == alone.text
        assert generation.tokens == alone.tokens
        assert generation.logprob == pytest.approx(alone.logprob, abs=1e-4)
    assert len({generation.text for generation in together}) > 1


@pytest.mark.parametrize("pictures", [False, True])
def test_a_shared_cache_changes_no_answer(checkpoint: Path, pictures: bool) -> None:
    beginning = "look closely at all of this, and say " * 4
    prompts = [beginning + rest for rest in ("it", "nothing at all", "more", "look closely")]
    changes: dict[str, Any] = {} if pictures else {"images": ()}
    requests = [ask(40 * shade, one, **changes) for shade, one in enumerate(prompts)]
    plain = load(checkpoint).generate(requests)
    shared = load(checkpoint, shared_cache=True).generate(requests)
    for one, other in zip(plain, shared, strict=True):
        assert (one.text, one.tokens) == (other.text, other.tokens)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
    assert len({one.text for one in plain}) > 1


@pytest.mark.parametrize("prompts", [["look", "see"], ["look", "look"], ["l", "look", "lo"]])
def test_a_shared_cache_needs_no_common_beginning(checkpoint: Path, prompts: list[str]) -> None:
    requests = [Request(one, max_tokens=12) for one in prompts]
    plain = load(checkpoint).generate(requests)
    shared = load(checkpoint, shared_cache=True).generate(requests)
    assert [one.text for one in shared] == [one.text for one in plain]


def test_what_all_texts_begin_with_is_worked_out_once(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load(checkpoint, shared_cache=True)
    seen: list[tuple[int, ...]] = []
    inner = backend._model.model.language_model
    forward = inner.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(tuple(kwargs["inputs_embeds"].shape[:2]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(inner, "forward", watched)
    begun = "z" * 30
    backend.generate([Request(begun + rest, max_tokens=3) for rest in ("a", "bcd")])
    assert seen[:3] == [(1, 30), (2, 3), (2, 1)]


@pytest.mark.parametrize(("batch", "sizes"), [(4, [2, 2, 1]), (1, [1] * 5), (16, [5])])
def test_no_more_pictures_than_a_batch_are_looked_at_together(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, batch: int, sizes: list[int]
) -> None:
    backend = load(checkpoint, batch=batch)
    made: list[int] = []
    generate = backend._generate_batch

    def watched(requests: Any, *rest: Any) -> Any:
        made.append(len(requests))
        return generate(requests, *rest)

    monkeypatch.setattr(backend, "_generate_batch", watched)
    backend.generate([ask(images=(Image.new("RGB", (9, 9)),) * 2, max_tokens=2) for _ in range(5)])
    assert made == sizes


@pytest.mark.parametrize(("tokens", "sizes"), [(0, [5]), (44, [2, 2, 1]), (1, [1] * 5)])
def test_a_generation_holds_no_more_tokens_than_its_budget(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tokens: int, sizes: list[int]
) -> None:
    requests = [ask(prompt="z" * 10, max_tokens=10, shade=40 * at) for at in range(5)]
    expected = load(checkpoint).generate(requests)
    backend = load(checkpoint, batch_tokens=tokens)
    seen: list[int] = []
    generate = backend._model.generate

    def watched(**inputs: Any) -> Any:
        seen.append(len(inputs["input_ids"]))
        return generate(**inputs)

    monkeypatch.setattr(backend._model, "generate", watched)
    assert [one.text for one in backend.generate(requests)] == [one.text for one in expected]
    assert seen == sizes


def test_a_static_cache_and_half_precision_answer_too(checkpoint: Path) -> None:
    requests = [ask(0), ask(200, "look at this closely")]
    plain = load(checkpoint).generate(requests)
    static = load(checkpoint, static_cache=True).generate(requests)
    assert [(one.text, one.tokens) for one in static] == [(one.text, one.tokens) for one in plain]
    half = load(checkpoint, dtype="bfloat16")
    assert str(half._model.dtype) == "torch.bfloat16"
    assert half.generate(requests)[0].logprob == pytest.approx(plain[0].logprob, abs=0.3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, "tiny: device"),
        ({"device": "cuda:0"}, "tiny: device cuda:0: this machine, or its torch, has no CUDA"),
        ({"dtype": "int8"}, "tiny: dtype"),
        ({"batch": 0}, "tiny: batch"),
        ({"batch_tokens": -1}, "tiny: batch_tokens"),
        ({"crops": [1.5]}, r"tiny: crops\.0"),
        ({"typo": 1}, "tiny: typo"),
        ({"shared_cache": True, "static_cache": True}, "not both"),
        ({"compile": True}, "compile needs static_cache"),
        ({"compile": True, "static_cache": True}, "compile needs CUDA"),
    ],
)
def test_options_that_cannot_be_are_named_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelUnavailable, match=words):
        load(Path("nowhere"), **options)


def test_the_log_probability_is_that_of_the_generated_tokens(checkpoint: Path) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    [generation] = load(checkpoint).generate([Request("look", max_tokens=5)])
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    ids = AutoTokenizer.from_pretrained(checkpoint)("look", return_tensors="pt")["input_ids"]
    expected = []
    with torch.inference_mode():
        for _ in range(generation.tokens):
            chances = model(input_ids=ids).logits[0, -1].log_softmax(-1)
            expected.append(float(chances.max()))
            ids = torch.cat([ids, chances.argmax().view(1, 1)], dim=1)
    assert generation.logprob == pytest.approx(sum(expected) / len(expected), abs=1e-4)


def test_a_seed_decides_a_sampled_text_whatever_stands_beside_it(checkpoint: Path) -> None:
    backend = load(checkpoint)
    sampled = ask(temperature=3.0, seed=5)
    [alone] = backend.generate([sampled])
    assert backend.generate([ask(90), sampled])[1].text == alone.text
    others = {backend.generate([ask(temperature=3.0, seed=seed)])[0].text for seed in range(4)}
    assert len(others) > 1


def test_sampling_leaves_the_random_state_of_others_alone(checkpoint: Path) -> None:
    import torch

    backend = load(checkpoint)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    backend.generate([ask(temperature=1.0, seed=9)])
    assert torch.rand(1) == expected


def test_a_listener_hears_the_text_grow_with_a_single_request_only(checkpoint: Path) -> None:
    backend = load(checkpoint)
    heard: list[str] = []
    [generation] = backend.generate([ask()], heard.append)
    assert len(heard) == generation.tokens
    assert heard[-1].strip() == generation.text
    heard.clear()
    backend.generate([ask(), ask(90)], heard.append)
    assert heard == []


def test_a_deadline_ends_a_generation(checkpoint: Path) -> None:
    backend = load(checkpoint)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        backend.generate([ask(max_tokens=1500, deadline_s=0.001)])
    assert time.monotonic() - started < 3.0
    assert not caught.value.permanent


def test_crops_are_shown_after_their_picture(checkpoint: Path) -> None:
    picture = Image.new("RGB", (100, 50))
    shown = with_centre_crops((picture, picture), (0.8, 0.5))
    assert [one.size for one in shown] == [(100, 50), (80, 40), (50, 25)] * 2
    ring = Image.new("RGB", (60, 60), (250, 250, 250))
    ring.paste((0, 0, 0), (15, 15, 45, 45))
    requests = [Request("look", images=(ring,), max_tokens=12)]
    plain, cropped = (load(checkpoint, crops=crops).generate(requests) for crops in ([], [0.5]))
    assert plain[0].logprob != cropped[0].logprob


def test_a_missing_checkpoint_is_permanent(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="nowhere") as caught:
        load(tmp_path / "nowhere")
    assert caught.value.permanent


def test_a_model_that_fails_is_worth_another_try(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load(checkpoint)

    def break_down(**_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(backend._model, "generate", break_down)
    with pytest.raises(GenerationFailed, match="out of memory") as caught:
        backend.generate([ask()])
    assert not caught.value.permanent


def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load(checkpoint)
    texts = [said.text for said in backend.generate([ask()] * 5)]
    generate, sizes = backend._model.generate, []

    def small(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return generate(**inputs)

    monkeypatch.setattr(backend._model, "generate", small)
    assert [said.text for said in backend.generate([ask()] * 5)] == texts
    assert sizes == [5, 2, 3, 1, 2]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
    ],
)
def test_what_only_a_fresh_process_heals_is_a_lost_device(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    backend = load(checkpoint)

    def break_down(**_: object) -> None:
        raise error

    monkeypatch.setattr(backend._model, "generate", break_down)
    with pytest.raises(DeviceLost, match="CUDA"):
        backend.generate([ask(), ask()])


def test_without_torchvision_the_parts_of_a_processor_do(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoProcessor

    expected = load(checkpoint).generate([ask(), ask(90)])
    monkeypatch.setattr(AutoProcessor, "from_pretrained", _needs_torchvision)
    made = load(checkpoint).generate([ask(), ask(90)])
    assert [one.text for one in made] == [one.text for one in expected]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("requires the Torchvision library", "pip install torchvision"),
        ("Package `num2words` is required", "a package that is not installed: Package `num2words`"),
    ],
)
def test_where_they_do_not_it_says_what_to_install(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, missing: str, words: str
) -> None:
    from transformers import AutoImageProcessor, AutoProcessor

    def needs(*_: object, **__: object) -> None:
        raise ImportError(missing)

    monkeypatch.setattr(AutoProcessor, "from_pretrained", _needs_torchvision)
    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", needs)
    with pytest.raises(ModelUnavailable, match=words):
        load(checkpoint)


def _needs_torchvision(*_: object, **__: object) -> None:
    raise ImportError("requires the Torchvision library")
