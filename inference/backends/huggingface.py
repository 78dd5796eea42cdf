"""Any Hugging Face image-text-to-text checkpoint, on CPU or CUDA.

The members that ship go through this very code, as does a user's own folder or hub id. What a
member's options are is said by HuggingFaceOptions.
"""

import ctypes
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from itertools import groupby
from types import SimpleNamespace
from typing import Annotated, Any, Literal, Protocol, Self

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import (
    BackendError,
    DeadlineExceeded,
    DeviceLost,
    GenerationFailed,
    ModelUnavailable,
    device_is_lost,
    faults_in_words,
)
from inference.backends.guided import Guide

TORCHVISION_HINT = (
    "its processor needs torchvision, which is not installed: "
    "pip install torchvision==0.28.0 (or choose a checkpoint with a PIL image processor)"
)

# As in malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**30


class HuggingFaceOptions(BaseModel):
    """The options of a member.

    device         "cpu", "cuda", "cuda:1"; by default CUDA where there is one
    dtype          "float32", "bfloat16", "float16"; by default float32 on CPU, else the file's
    threads        torch threads for the whole process; by default two, or the one core there is.
                   More help small members little, and a machine has other work
    batch          requests generated together. One that shows several pictures counts as many as
                   it shows; each has a generation of its own at the least
    batch_tokens   tokens, those of pictures and those to be generated among them, that a
                   generation may hold, its padding as well; 0 sets no limit
    crops          centre crops shown after each picture, as shares of its sides, e.g. [0.8, 0.6]
    guided         holds answers to the JSON schema of a request, see guided.py
    shared_cache   works out once what the texts of a batch begin with, and spares copies of the
                   key-value cache; for decoders like Llama, see caches.py
    static_cache   allots keys and values once, for the longest answer
    compile        compiles the decoding step, once a shape; needs a static cache, and CUDA
    channels_last  lays convolutions out for speed on CPU
    online         lets transformers ask the hub
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?)?$")] = ""
    dtype: Literal["", "float32", "bfloat16", "float16"] = ""
    threads: Annotated[int, Field(ge=0)] = 0
    batch: Annotated[int, Field(ge=1)] = 16
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    crops: list[Annotated[float, Field(gt=0, le=1)]] = []
    guided: bool = False
    shared_cache: bool = False
    static_cache: bool = False
    compile: bool = False
    channels_last: bool = False
    online: bool = False

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.shared_cache and self.static_cache:
            raise ValueError("a cache is shared_cache or static_cache, not both")
        if self.compile and not self.static_cache:
            raise ValueError("compile needs static_cache")
        return self

    def placed(self, cuda: bool) -> str:
        """The device. Raises ValueError where it is not there, or cannot do what is wanted."""
        device = self.device or ("cuda" if cuda else "cpu")
        if device != "cpu" and not cuda:
            raise ValueError(f"device {device}: this machine, or its torch, has no CUDA")
        if self.compile and device == "cpu":
            raise ValueError("compile needs CUDA: on a CPU it takes longer than a call may")
        return device


class Spec(Protocol):
    """The part of a MemberSpec that is read here."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def with_centre_crops(
    images: Sequence[Image.Image], shares: Sequence[float]
) -> tuple[Image.Image, ...]:
    """Each picture followed by its centre crops; a share of 0.8 keeps 80 % of each side."""
    return tuple(
        view for image in images for view in (image, *(_centre(image, share) for share in shares))
    )


def _centre(image: Image.Image, share: float) -> Image.Image:
    width, height = round(image.width * share), round(image.height * share)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + max(width, 1), top + max(height, 1)))


class HuggingFaceBackend:
    """A checkpoint behind AutoProcessor and AutoModelForImageTextToText, loaded when made.

    Greedy requests that look alike are generated together, padded on the left; a sampled request
    is generated alone, so that its seed decides its text whatever else is asked for.
    Raises ModelUnavailable when the checkpoint or a package it needs is missing.
    """

    def __init__(self, spec: Spec) -> None:
        self.options = options = _options(spec)
        os.environ.setdefault("HF_HUB_OFFLINE", "0" if options.online else "1")
        import torch

        try:
            self._device = options.placed(torch.cuda.is_available())
        except ValueError as error:
            raise ModelUnavailable(f"{spec.name}: {error}") from error
        torch.set_num_threads(options.threads or _few_threads())
        self._torch = torch
        self._guides: dict[str, Guide] = {}
        if self._device == "cpu":
            _keep_freed_memory()
        try:
            self._model = _load_model(spec, self._device, options)
        except RuntimeError as error:
            kind = DeviceLost if device_is_lost(error) else GenerationFailed
            raise kind(f"{spec.name}: {error}") from error
        self._processor = _load_processor(spec, self._model.config)
        # Gemma looks at a picture's tokens both ways, and is told by these which they are.
        self._takes_types = "token_type_ids" in signature(self._model.forward).parameters
        self._tokenizer = self._processor.tokenizer
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        """Answer each request, in order; `on_text` is used with a single request only.

        Raises DeadlineExceeded, DeviceLost where only a fresh process can ask again, or
        GenerationFailed for whatever else the model raises.
        """
        started = time.monotonic()
        listener = on_text if len(requests) == 1 else None
        answers: dict[int, Generation] = {}
        try:
            for indices in self._batches(requests):
                batch = [requests[index] for index in indices]
                made = self._generate_what_fits(batch, started, listener)
                answers.update(zip(indices, made, strict=True))
        except BackendError:
            raise
        except (RuntimeError, ValueError, IndexError, KeyError, TypeError, OSError) as error:
            kind = DeviceLost if device_is_lost(error) else GenerationFailed
            raise kind(f"{type(error).__name__}: {error}") from error
        return [answers[index] for index in range(len(requests))]

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[int]]:
        def alike(index: int) -> tuple[int, int, int, str]:
            one = requests[index]
            alone = index if one.temperature > 0 else -1
            return (alone, len(one.images), one.max_tokens, json.dumps(one.schema))

        for _, group in groupby(sorted(range(len(requests)), key=alike), key=alike):
            indices = list(group)
            size = max(1, self.options.batch // max(1, len(requests[indices[0]].images)))
            for start in range(0, len(indices), size):
                yield indices[start : start + size]

    def _generate_what_fits(
        self, batch: Sequence[Request], started: float, on_text: OnText | None
    ) -> list[Generation]:
        """In halves where the device's memory holds no more."""
        try:
            return self._generate_batch(batch, started, on_text)
        except self._torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        # Out here: the error would hold the tensors of all calls that it came through.
        self._torch.cuda.empty_cache()
        half = len(batch) // 2
        return [
            said
            for part in (batch[:half], batch[half:])
            for said in self._generate_what_fits(part, started, on_text)
        ]

    def _generate_batch(
        self, batch: Sequence[Request], started: float, on_text: OnText | None
    ) -> list[Generation]:
        from transformers import LogitsProcessorList, StoppingCriteriaList

        began = time.monotonic()
        inputs = self._inputs(batch)
        fits = self._fitting(inputs["input_ids"].shape[1] + batch[0].max_tokens)
        if fits < len(batch):
            return [
                said
                for start in range(0, len(batch), fits)
                for said in self._generate_batch(batch[start : start + fits], started, None)
            ]
        if self.options.shared_cache and len(batch) > 1:
            inputs = self._with_cache(inputs)
        prompt_length = int(inputs["input_ids"].shape[1])
        went_in = inputs["attention_mask"].sum(dim=1).tolist()
        clock = _Clock(started + min(one.deadline_s for one in batch))
        clock.check()
        listeners: list[Any] = [clock]
        if on_text is not None:
            listeners.append(_Listener(self._tokenizer, prompt_length, on_text))
        scores = _TokenScores(self._torch)
        with self._torch.inference_mode(), self._torch.random.fork_rng():
            self._torch.manual_seed(batch[0].seed)
            sequences = self._model.generate(
                **inputs,
                **_sampling(batch[0]),
                **self._cache_kind(),
                pad_token_id=self._tokenizer.pad_token_id,
                stopping_criteria=StoppingCriteriaList(listeners),
                logits_processor=LogitsProcessorList([scores, *self._guide(batch[0])]),
            )
        clock.check()
        seconds = (time.monotonic() - began) / len(batch)
        said = self._read(sequences, prompt_length, scores.finish(sequences), seconds)
        return [replace(one, prompt_tokens=count) for one, count in zip(said, went_in, strict=True)]

    def _fitting(self, length: int) -> int:
        """How many sequences of so many tokens may be generated together, >= 1."""
        if not self.options.batch_tokens:
            return sys.maxsize
        return max(1, self.options.batch_tokens // length)

    def _guide(self, request: Request) -> list[Guide]:
        """What holds the answer to its schema, if anything does."""
        if not self.options.guided or request.schema is None:
            return []
        key = f"{request.max_tokens} {json.dumps(request.schema)}"
        if key not in self._guides:
            limit = request.max_tokens // 3
            made = Guide(self._torch, self._tokenizer, request.schema, limit)
            self._guides[key] = made
        return [self._guides[key].begin()]

    def _inputs(self, batch: Sequence[Request]) -> Any:
        pictures = [with_centre_crops(one.images, self.options.crops) for one in batch]
        texts = [
            self._prompt(one.prompt, len(shown)) for one, shown in zip(batch, pictures, strict=True)
        ]
        images = [list(shown) for shown in pictures] if pictures[0] else None
        inputs = self._processor(text=texts, images=images, padding=True, return_tensors="pt")
        if not self._takes_types:
            inputs.pop("token_type_ids", None)
        inputs = inputs.to(self._device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self._model.dtype)
        return inputs

    def _cache_kind(self) -> dict[str, Any]:
        if not self.options.static_cache:
            return {}
        return {"cache_implementation": "static", "disable_compile": not self.options.compile}

    def _with_cache(self, inputs: Any) -> Any:
        from inference.backends.caches import with_cache

        with self._torch.inference_mode():
            return with_cache(self._model, inputs)

    def _prompt(self, prompt: str, pictures: int) -> str:
        if getattr(self._processor, "chat_template", None):
            content: list[dict[str, str]] = [{"type": "image"} for _ in range(pictures)]
            content.append({"type": "text", "text": prompt})
            return str(
                self._processor.apply_chat_template(
                    [{"role": "user", "content": content}],
                    tokenize=False,
                    add_generation_prompt=True,
                )
            )
        token = getattr(self._processor, "image_token", "<image>")
        return f"{token * pictures}\n{prompt}" if pictures else prompt

    def _read(
        self, sequences: Any, prompt_length: int, scores: Any, seconds: float
    ) -> list[Generation]:
        """Texts, lengths and mean log-probabilities; padding after an end of text is left out."""
        ends = _end_tokens(self._model, self._tokenizer)
        generations = []
        for row, score in zip(sequences[:, prompt_length:].tolist(), scores, strict=True):
            length = next((at + 1 for at, token in enumerate(row) if token in ends), len(row))
            text = str(self._tokenizer.decode(row[:length], skip_special_tokens=True)).strip()
            logprob = min(0.0, float(score[:length].mean())) if length else None
            generations.append(Generation(text, length, seconds, logprob))
        return generations


class _Clock:
    """Stopping criterion: ends a generation once its deadline has passed."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.late = False

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        self.late = time.monotonic() > self.until
        return input_ids.new_full((input_ids.shape[0],), self.late).bool()

    def check(self) -> None:
        if self.late or time.monotonic() > self.until:
            raise DeadlineExceeded("no complete answer within the deadline of the request")


class _Listener:
    """Stopping criterion that never stops: hands the text so far to `on_text`."""

    def __init__(self, tokenizer: Any, prompt_length: int, on_text: OnText) -> None:
        self.tokenizer, self.prompt_length, self.on_text = tokenizer, prompt_length, on_text

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        tokens = input_ids[0, self.prompt_length :]
        self.on_text(str(self.tokenizer.decode(tokens, skip_special_tokens=True)))
        return input_ids.new_zeros((input_ids.shape[0],)).bool()


class _TokenScores:
    """Logits processor that changes nothing and keeps the log-probability of each chosen token.

    A token is known one step after its logits, so that only one step of logits is held at a time.
    """

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.last: Any = None
        self.chosen: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._settle(input_ids[:, -1:])
        self.last = self.torch.log_softmax(scores.float(), dim=-1)
        return scores

    def _settle(self, tokens: Any) -> None:
        if self.last is not None:
            self.chosen.append(self.last.gather(1, tokens))

    def finish(self, sequences: Any) -> Any:
        """Log-probabilities (requests, generated tokens) on the CPU."""
        self._settle(sequences[:, -1:])
        return self.torch.cat(self.chosen, dim=1).cpu()


def _few_threads() -> int:
    wanted = int(os.environ.get("OMP_NUM_THREADS") or 2)
    return min(wanted, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next tensors, in the whole process.

    A tensor above its threshold is mapped afresh and paged in each time: with the pictures of a
    batch that takes longer than the convolutions. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for threshold in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(threshold, _KEPT_BYTES)


def _sampling(request: Request) -> dict[str, Any]:
    settings: dict[str, Any] = {"max_new_tokens": request.max_tokens}
    if request.temperature > 0:
        return settings | {"do_sample": True, "temperature": request.temperature}
    return settings | {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return {int(one) for one in (*listed, tokenizer.eos_token_id) if one is not None}


def _options(spec: Spec) -> HuggingFaceOptions:
    try:
        return HuggingFaceOptions.model_validate(dict(spec.options))
    except ValidationError as error:
        raise ModelUnavailable(f"{spec.name}: {faults_in_words(error)}") from error


def _load_model(spec: Spec, device: str, options: HuggingFaceOptions) -> Any:
    import torch
    from transformers import AutoModelForImageTextToText

    dtype = options.dtype or ("float32" if device == "cpu" else "auto")
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            spec.model, revision=spec.revision or "main", dtype=dtype
        )
    except (OSError, ImportError, ValueError, KeyError) as error:
        raise ModelUnavailable(f"{spec.model} cannot be loaded: {error}") from error
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model.to(device).eval()


def _load_processor(spec: Spec, config: Any) -> Any:
    from transformers import AutoProcessor

    revision = spec.revision or "main"
    try:
        return AutoProcessor.from_pretrained(spec.model, revision=revision)
    except (ImportError, OSError, ValueError, KeyError) as error:
        if isinstance(error, ImportError) or "torchvision" in str(error):
            return _processor_of_parts(spec, config, error)
        raise ModelUnavailable(f"{spec.model} has no usable processor: {error}") from error


def _processor_of_parts(spec: Spec, config: Any, cause: Exception) -> Any:
    """Without torchvision: what does without it, or else the word of what is to be installed."""
    try:
        return _still_processor(spec, config) or _plain_processor(spec, config)
    except (ImportError, OSError, ValueError, TypeError, AttributeError) as error:
        missing = error if isinstance(error, ImportError) else cause
        raise ModelUnavailable(f"{spec.model}: {_what_to_install(missing)}") from error


def _what_to_install(missing: Exception) -> str:
    words = str(missing)
    if "torchvision" in words.lower():
        return TORCHVISION_HINT
    return f"its processor needs a package that is not installed: {' '.join(words.split())[:200]}"


def _still_processor(spec: Spec, config: Any) -> Any:
    """The family's own processor without its part for videos; None where it has no such part."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    kind = PROCESSOR_MAPPING.get(type(config), None)
    if kind is None or "video_processor" not in kind.get_attributes():
        return None

    class Still(kind):  # type: ignore[misc, valid-type]
        # SmolVLM's chat template is told these, and shows pictures all the same.
        video_processor = SimpleNamespace(num_frames=None, fps=None)

        @classmethod
        def get_attributes(cls) -> list[str]:
            return [one for one in super().get_attributes() if one != "video_processor"]

        @classmethod
        def _get_arguments_from_pretrained(cls, *args: Any, **kwargs: Any) -> list[Any]:
            return [*super()._get_arguments_from_pretrained(*args, **kwargs), None]

    return Still.from_pretrained(spec.model, revision=spec.revision or "main")


def _plain_processor(spec: Spec, config: Any) -> Any:
    """Tokenizer and image processor alone, for models with a fixed number of image tokens."""
    from transformers import AutoImageProcessor, AutoTokenizer

    length, token_id = (
        getattr(config, key, None) for key in ("image_seq_length", "image_token_id")
    )
    if not length or token_id is None:
        raise ValueError("its pictures are no fixed number of tokens")
    revision = spec.revision or "main"
    tokenizer = AutoTokenizer.from_pretrained(spec.model, revision=revision)
    image_processor = AutoImageProcessor.from_pretrained(spec.model, revision=revision)
    return _PlainProcessor(tokenizer, image_processor, int(token_id), int(length))


class _PlainProcessor:
    """The little of a processor that is needed: repeats image tokens, encodes texts, pictures."""

    def __init__(self, tokenizer: Any, image_processor: Any, token_id: int, length: int) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.chat_template = getattr(tokenizer, "chat_template", None)
        self.image_token = str(tokenizer.convert_ids_to_tokens(token_id))
        self.length = length

    def apply_chat_template(self, messages: Any, **kwargs: Any) -> str:
        return str(self.tokenizer.apply_chat_template(messages, **kwargs))

    def __call__(
        self, text: list[str], images: list[list[Image.Image]] | None, **kwargs: Any
    ) -> Any:
        repeated = [one.replace(self.image_token, self.image_token * self.length) for one in text]
        inputs = self.tokenizer(repeated, **kwargs)
        if images is not None:
            flat = [picture for shown in images for picture in shown]
            inputs.update(self.image_processor(flat, return_tensors="pt"))
        return inputs
