"""Domains: what is watched for. Each is a data file, `domains/<id>.toml`, validated when read."""

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from string import Template
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.backends.errors import faults_in_words

FOLDER = Path(__file__).with_name("domains")

Text = Annotated[str, Field(min_length=1)]


class DomainError(ValueError):
    """The domain is unknown, or its file is not valid; the message names the file and the fault."""


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


class _StrictModel(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", str_strip_whitespace=True)


class _LabelFile(_StrictModel):
    id: Text
    title: Text
    normal: bool
    severity: Annotated[int, Field(ge=1, le=3)]
    plain: Text
    rule: Text


class _DomainFile(_StrictModel):
    version: Text
    title: Text
    question: Text
    prompt: Text
    reflection: Text
    labels: Annotated[list[_LabelFile], Field(min_length=2)]

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        counts = Counter(label.id.casefold() for label in self.labels)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"duplicate labels: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _templates_are_whole(self) -> Self:
        _require_names("prompt", self.prompt, {"labels"})
        _require_names("reflection", self.reflection, {"rules", "answer"})
        return self


def _require_names(name: str, text: str, expected: set[str]) -> None:
    template = Template(text)
    if not template.is_valid() or set(template.get_identifiers()) != expected:
        wanted = " and ".join(f"${item}" for item in sorted(expected))
        raise ValueError(f"{name} must hold {wanted} and no other $ sign")


def domain_ids() -> tuple[str, ...]:
    """The ids of the domains that are shipped, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@lru_cache
def load_domain(domain_id: str) -> Domain:
    """The domain of that id. Raises DomainError if it is unknown or its file is not valid."""
    if domain_id not in domain_ids():
        raise DomainError(f"unknown domain {domain_id!r}; known are {', '.join(domain_ids())}")
    return read_domain(FOLDER / f"{domain_id}.toml")


def read_domain(path: Path) -> Domain:
    """Read and validate one domain file; its stem is the id. Raises DomainError."""
    try:
        content = _DomainFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise DomainError(f"{path.name}: {faults_in_words(error)}") from error
    except (OSError, ValueError) as error:
        raise DomainError(f"{path.name}: {error}") from error
    return Domain(
        id=path.stem,
        labels=tuple(Label(**label.model_dump(exclude={"rule"})) for label in content.labels),
        rules={label.id: label.rule for label in content.labels},
        **content.model_dump(exclude={"labels"}),
    )
