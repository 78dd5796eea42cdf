"""Domains: what is watched for. A shipped one is a data file, `domains/<id>.toml`; one that people
have written is the same content from a database row. Both are validated by the same rules.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from string import Template
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from inference.backends.errors import faults_in_words

FOLDER = Path(__file__).with_name("domains")
ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
MAX_LABEL, MAX_LINE, MAX_PROMPT, MAX_LABELS = 80, 300, 4000, 40
PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "prompt": frozenset({"labels"}),
    "reflection": frozenset({"rules", "answer"}),
}


@dataclass(frozen=True)
class Fault:
    """What is wrong in a definition: a code, where it stands, and what the sentence about it needs.

    field  "prompt", "labels", "labels.2.rule"; "" for the whole
    """

    field: str
    code: str
    values: Mapping[str, object]


class DomainError(ValueError):
    """The domain is unknown, or its content is not valid; the message names where and the fault."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Label:
    """One answer of a domain: severity 1 (can wait) to 3 (urgent), `plain` in caregivers' words."""

    id: str
    title: str
    normal: bool
    severity: int
    plain: str


@dataclass(frozen=True)
class Domain:
    """A label set with its prompts.

    prompt      template of stages 1 and 2, with $labels
    reflection  template of stage 3, with $rules and $answer
    rules       label id -> one short sentence: what must be seen
    question    what a caregiver is asked
    """

    id: str
    version: str
    title: str
    labels: tuple[Label, ...]
    prompt: str
    reflection: str
    rules: Mapping[str, str] = field(hash=False)
    question: str

    @property
    def label_ids(self) -> tuple[str, ...]:
        return tuple(label.id for label in self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the whole content, for a Run to pin; comments do not count."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def _line(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("unprintable", "holds a line break or an invisible character")
    return text


def _name(text: str) -> str:
    if any(mark in text for mark in ',"'):
        raise PydanticCustomError("marks", "must hold no comma and no quotation mark")
    return text


def _paragraphs(text: str) -> str:
    _line(text.replace("\r\n", " ").replace("\n", " "))
    return text.replace("\r\n", "\n")


def _template(name: str) -> AfterValidator:
    """The text must hold each of its placeholders, and no other $ sign."""
    expected = PLACEHOLDERS[name]
    wanted = " and ".join(f"${item}" for item in sorted(expected))

    def check(text: str) -> str:
        template = Template(text)
        if not template.is_valid() or set(template.get_identifiers()) != expected:
            raise PydanticCustomError(
                "placeholders",
                "{name} must hold {wanted} and no other $ sign",
                {"name": name, "wanted": wanted},
            )
        return text

    return AfterValidator(check)


_Line = Annotated[str, Field(min_length=1, max_length=MAX_LINE), AfterValidator(_line)]
_Name = Annotated[str, Field(min_length=1, max_length=MAX_LABEL), AfterValidator(_line)]
_Prompt = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT), AfterValidator(_paragraphs)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", str_strip_whitespace=True)


class _LabelContent(_StrictModel):
    id: Annotated[_Name, AfterValidator(_name)]
    title: _Name
    normal: bool
    severity: Annotated[int, Field(ge=1, le=3)]
    plain: _Line
    rule: _Line


class _Content(_StrictModel):
    version: _Name
    title: _Name
    question: _Line
    prompt: Annotated[_Prompt, _template("prompt")]
    reflection: Annotated[_Prompt, _template("reflection")]
    labels: Annotated[list[_LabelContent], Field(min_length=2, max_length=MAX_LABELS)]

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        names = [label.id.casefold() for label in self.labels]
        twice = [at for at, name in enumerate(names) if name in names[:at]]
        if twice:
            raise PydanticCustomError(
                "duplicate",
                "duplicate labels: {names}",
                {"names": ", ".join(names[at] for at in twice), "at": twice},
            )
        return self


def domain_ids() -> tuple[str, ...]:
    """The ids of the domains that are shipped, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@lru_cache
def load_domain(domain_id: str) -> Domain:
    """The shipped domain of that id. Raises DomainError if it is unknown or its file is wrong."""
    if domain_id not in domain_ids():
        raise DomainError(f"unknown domain {domain_id!r}; known are {', '.join(domain_ids())}")
    return read_domain(FOLDER / f"{domain_id}.toml")


def read_domain(path: Path) -> Domain:
    """Read and validate one domain file; its stem is the id. Raises DomainError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DomainError(f"{path.name}: {error}") from error
    return domain_from(path.stem, content, source=path.name)


def domain_from(domain_id: str, content: Mapping[str, Any], *, source: str = "") -> Domain:
    """The domain that a definition describes, be it from a file or from a row.

    Raises:
        DomainError: the definition is not valid; `faults` says where, field by field.
    """
    try:
        read = _Content.model_validate(content)
    except ValidationError as error:
        words = f"{source or domain_id}: {faults_in_words(error)}"
        raise DomainError(words, _faults(error)) from error
    return Domain(
        id=domain_id,
        labels=tuple(Label(**label.model_dump(exclude={"rule"})) for label in read.labels),
        rules={label.id: label.rule for label in read.labels},
        **read.model_dump(exclude={"labels"}),
    )


def content_of(domain: Domain) -> dict[str, Any]:
    """The definition of a domain as `domain_from` reads it: plain JSON."""
    labels = [asdict(label) | {"rule": domain.rules[label.id]} for label in domain.labels]
    plain = {name: getattr(domain, name) for name in _Content.model_fields if name != "labels"}
    return plain | {"labels": labels}


_CODES = {
    "missing": "empty",
    "string_too_short": "empty",
    "string_too_long": "long",
    "too_short": "few_labels",
    "too_long": "many_labels",
    "greater_than_equal": "severity",
    "less_than_equal": "severity",
}
_OWN_CODES = frozenset({"unprintable", "marks", "placeholders", "duplicate"})


def _faults(error: ValidationError) -> list[Fault]:
    found = []
    for one in error.errors():
        code = one["type"] if one["type"] in _OWN_CODES else _CODES.get(one["type"], "kind")
        values = one.get("ctx", {})
        places = [f"labels.{at}.id" for at in values.get("at", ())]
        found += [
            Fault(place, code, values) for place in places or [".".join(map(str, one["loc"]))]
        ]
    return found
