"""A deterministic backend without a model: for demonstrations, load tests and fault tests.

It fills the request's JSON schema. What it says follows from a hash of the picture, the member's
name and the request's seed, so that the same run always gives the same answers. It sees nothing,
and its texts say so.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import (
    DeadlineExceeded,
    GenerationFailed,
    ModelUnavailable,
    faults_in_words,
)
from inference.backends.registry import MemberSpec

Share = Annotated[float, Field(ge=0, le=1)]

ANY, REFLECTION = "any", "reflection"
_STEPS = 8
_SHAPES = ("long", "round", "small", "wide", "uneven", "narrow")
_SHADES = ("pale", "dark", "bright", "dull", "mottled", "reddish")


class ScriptedOptions(BaseModel):
    """The options of a scripted member.

    agreement  share of pictures on which all members asked with the same seed agree
    place      the member's place in its ensemble; members at different places (modulo the number
               of labels) never agree beyond that share; by default it follows from the name
    flips      share of answers whose label changes on reflection
    answers    a picture's hash, "any" or "reflection" -> fields to say instead, or a whole raw text
    delay_s    seconds that each answer takes
    fail       the fault to show, and `fail_on` in which of the two generations
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    agreement: Share = 0.7
    place: int | None = None
    flips: Share = 0.1
    answers: dict[str, str | dict[str, str]] = {}
    delay_s: Annotated[float, Field(ge=0)] = 0.0
    fail: Literal[
        "", "hang", "garbage", "nan", "unknown_label", "unavailable", "empty", "truncated"
    ] = ""
    fail_on: Literal["both", "answer", "reflection"] = "both"


class ScriptedBackend:
    """Answers without looking. Raises ModelUnavailable on options that it does not know."""

    def __init__(self, spec: MemberSpec) -> None:
        try:
            self.options = ScriptedOptions.model_validate(dict(spec.options))
        except ValidationError as error:
            raise ModelUnavailable(f"{spec.name}: {faults_in_words(error)}") from error
        self.name = spec.name

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        """One answer a request. Raises BackendError."""
        return [self._answer(request, on_text) for request in requests]

    def _answer(self, request: Request, on_text: OnText | None) -> Generation:
        started = time.monotonic()
        text = self._faulty(request, self._text(request))
        self._speak(text, request.deadline_s, on_text)
        return Generation(
            text=text,
            tokens=len(text.split()),
            seconds=time.monotonic() - started,
            logprob=-_share(self.name, request.seed, text),
        )

    def _speak(self, text: str, deadline_s: float, on_text: OnText | None) -> None:
        """Take `delay_s`, telling what was said so far in steps."""
        pause = min(self.options.delay_s, deadline_s) / _STEPS
        for step in range(1, _STEPS + 1):
            if pause:
                time.sleep(pause)
            if on_text is not None:
                on_text(text[: len(text) * step // _STEPS])
        if self.options.delay_s > deadline_s:
            raise DeadlineExceeded(f"{self.name}: no answer within {deadline_s:g} s")

    def _text(self, request: Request) -> str:
        texts, labels = _wanted(request)
        picture = picture_hash(request.images)
        answers = self.options.answers
        if request.images:
            told = answers.get(picture, answers.get(ANY, {}))
            label = self._label(labels, picture, request.seed)
        else:
            told = answers.get(REFLECTION, {})
            label = self._second_thought(labels, request)
        if isinstance(told, str):
            return told
        content = {key: self._words(key, label, picture, request) for key in texts}
        return json.dumps(content | {"label": label} | told)

    def _label(self, labels: Sequence[str], picture: str, seed: int) -> str:
        """The common label on an agreed picture; else the one at this member's place."""
        order = sorted(labels, key=lambda label: _share("order", seed, picture, label))
        if self._agrees(picture, seed):
            return order[0]
        place = self.options.place
        return order[(_number(self.name) if place is None else place) % len(order)]

    def _agrees(self, picture: str, seed: int) -> bool:
        return _share("agreement", seed, picture) < self.options.agreement

    def _second_thought(self, labels: Sequence[str], request: Request) -> str:
        """The label of the answer that the prompt shows, or now and then the next one."""
        shown = re.findall(r'"label": "([^"]*)"', request.prompt)
        own = next((said for said in reversed(shown) if said in labels), labels[0])
        flips = _share("flip", self.name, request.seed, request.prompt) < self.options.flips
        return labels[(labels.index(own) + flips) % len(labels)]

    def _words(self, key: str, label: str, picture: str, request: Request) -> str:
        """Members that agree on a picture use the same words for it."""
        speaker = "all" if request.images and self._agrees(picture, request.seed) else self.name
        chance = _number("words", speaker, key, request.seed, picture)
        shade, shape = _SHADES[chance % len(_SHADES)], _SHAPES[chance // 64 % len(_SHAPES)]
        return f"Scripted {key}, no model has looked: a {shade}, {shape} area, most like {label}."

    def _faulty(self, request: Request, text: str) -> str:
        now = "answer" if request.images else "reflection"
        if self.options.fail_on not in ("both", now):
            return text
        match self.options.fail:
            case "hang":
                time.sleep(request.deadline_s)
                raise DeadlineExceeded(f"{self.name}: no answer within {request.deadline_s:g} s")
            case "unavailable":
                raise ModelUnavailable(f"{self.name}: its model is not there")
            case "garbage":
                return "%% <html> no answer at all {{"
            case "empty":
                return ""
            case "truncated":
                return text[: len(text) // 2]
            case "nan":
                return json.dumps(json.loads(text) | {"label": float("nan")})
            case "unknown_label":
                return json.dumps(json.loads(text) | {"label": "no such label"})
        return text


def picture_hash(images: Sequence[Image.Image]) -> str:
    """SHA-256 (hex) over sizes and RGB values of the pictures; the key of `answers`."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.size}".encode() + image.convert("RGB").tobytes())
    return digest.hexdigest()


def _wanted(request: Request) -> tuple[list[str], list[str]]:
    """The keys that take a text and the labels to choose from, as the schema has them."""
    properties = (request.schema or {}).get("properties")
    label = properties.get("label") if isinstance(properties, Mapping) else None
    if not isinstance(properties, Mapping) or not isinstance(label, Mapping):
        raise GenerationFailed("a scripted member needs a JSON schema with a label")
    return [key for key in properties if key != "label"], list(label["enum"])


def _number(*parts: object) -> int:
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _share(*parts: object) -> float:
    return _number(*parts) / 2**64
