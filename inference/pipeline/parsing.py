"""From a member's text to checked fields. Whatever a model says is treated as hostile input."""

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from inference.backends.errors import faults_in_words
from inference.pipeline.domains import Domain

MAX_BYTES = 16_000


class UnparsableOutput(ValueError):
    """The text holds no valid answer; the message says in words what is wrong with it."""


@dataclass(frozen=True)
class Answer:
    """Stages 1 and 2. `repaired`: the JSON had to be mended, so it may be shown, never accepted."""

    description: str
    reasoning: str
    label: str
    repaired: bool


@dataclass(frozen=True)
class Reflection:
    """Stage 3: the label after a second look at the member's own words."""

    reflection: str
    label: str
    repaired: bool


def parse_answer(text: str, domain: Domain) -> Answer:
    """Read the answer of stages 1 and 2. Raises UnparsableOutput and nothing else."""
    found, repaired = _read(text, _AnswerFields)
    label = _known_label(found.label, domain.label_ids)
    return Answer(found.description, found.reasoning, label, repaired)


def parse_reflection(text: str, domain: Domain) -> Reflection:
    """Read the answer of stage 3. Raises UnparsableOutput and nothing else."""
    found, repaired = _read(text, _ReflectionFields)
    return Reflection(found.reflection, _known_label(found.label, domain.label_ids), repaired)


def storable(text: str) -> str:
    """The raw text as a database can hold it: no NUL, no lone surrogate, MAX_BYTES at most."""
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace")
    return clean[:MAX_BYTES].decode("utf-8", "ignore")


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


_Text = Annotated[str, Field(min_length=1), AfterValidator(_without_nul)]


class _Fields(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="ignore", allow_inf_nan=False, str_strip_whitespace=True
    )

    label: _Text


class _AnswerFields(_Fields):
    description: _Text
    reasoning: _Text


class _ReflectionFields(_Fields):
    reflection: _Text


_FieldsT = TypeVar("_FieldsT", bound=_Fields)


def _read(text: str, shape: type[_FieldsT]) -> tuple[_FieldsT, bool]:
    content, repaired = _json_object(text)
    try:
        return shape.model_validate(content), repaired
    except ValidationError as error:
        raise UnparsableOutput(faults_in_words(error)) from error


def _json_object(text: str) -> tuple[dict[str, object], bool]:
    """The first JSON object in the text, and whether anything had to be cut or mended for it."""
    _refuse_hostile(text)
    start = text.find("{")
    if start < 0:
        raise UnparsableOutput("the answer holds no JSON object" if text.strip() else "no answer")
    try:
        content, end = _DECODER.raw_decode(text, start)
        return content, bool(text[:start].strip() or text[end:].strip())
    except json.JSONDecodeError as error:
        return _without_trailing_comma(text[start:], error), True
    except (ValueError, RecursionError) as error:
        raise UnparsableOutput(f"the answer is not valid JSON: {error}") from error


def _without_trailing_comma(text: str, fault: json.JSONDecodeError) -> dict[str, object]:
    body, comma, rest = text[: text.rfind("}") + 1].rpartition(",")
    if not comma or rest.strip() != "}":
        raise UnparsableOutput(f"the answer is not valid JSON: {fault}") from fault
    try:
        content: dict[str, object] = _DECODER.decode(body + rest)
    except (ValueError, RecursionError) as error:
        raise UnparsableOutput(f"the answer is not valid JSON: {error}") from error
    return content


def _refuse_hostile(text: str) -> None:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise UnparsableOutput(f"the answer is longer than {MAX_BYTES:,} bytes")
    if "\0" in text:
        raise UnparsableOutput("the answer holds a NUL character")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is not a finite number")
    return number


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice in it")
    return content


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique_keys
)


def _known_label(said: str, label_ids: Sequence[str]) -> str:
    for label_id in label_ids:
        if said.casefold() == label_id.casefold():
            return label_id
    raise UnparsableOutput(f"label {said[:60]!r} is not one of {', '.join(label_ids)}")


_NOT_THE_MODEL = "".join(
    rf"(?<!\b{word} )"
    for word in ("i", "i'd", "we", "to", "would", "can", "could", "should", "might", "may")
)
_ORDERS = re.compile(
    "|".join(
        (
            r"\b(ignore|disregard|forget|override|bypass)\b.{0,40}"
            r"\b(instructions?|prompts?|rules|guidelines|orders|everything above)\b",
            r"\b(system|developer) (prompt|message|instructions?)\b",
            r"\b(new|updated|hidden|secret) (instructions?|orders|prompt)\b",
            _NOT_THE_MODEL + r"\b(label|classify|categori[sz]e|mark|tag|report) "
            r"(this|it|the (image|photo|picture|wound|scene|case))\b.{0,30}\bas\b",
            _NOT_THE_MODEL + r"\b(answer|respond|reply|output|say|choose|pick|select) "
            r"(with|only|always|exactly|(the )?label)\b",
            r"\byou (are now|must|have to|are an? (ai|assistant|language model))\b",
            r"\b(pretend|act as if|role ?play|jailbreak)\b",
            r"\b(do not|don't|never) (defer|escalate|alert|review|flag)\b",
            r"<\|?\w+\|>|\[/?inst\]|<</?sys>>|#{2,} ?(system|instruction)",
        )
    )
)


def reads_like_instruction(text: str) -> bool:
    """Whether a text holds orders to a model, such as "ignore all rules" or "label this as".

    Meant for descriptions and reasonings: the prompts ask a member to quote writing that it sees.
    A handful of English phrases; a hit only ever defers a case, and no hit proves nothing.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    plain = "".join(mark for mark in plain if unicodedata.category(mark) != "Cf")
    return _ORDERS.search(" ".join(plain.split())) is not None
