"""Which members there are, and which backend answers for each.

Members stand in a TOML file, a line or a table each:

    [members]
    lite0 = { model = "lite0", domains = ["wound"] }

    [members.qwen]
    backend = "openai_compatible"
    model = "qwen2.5-vl"
    domains = ["wound"]
    options = { base_url = "http://127.0.0.1:8080/v1", api_key_env = "QWEN_API_KEY" }

A member with `domains = ["*"]` is asked about any domain, also about those that people write here.

Three options are read here, for every backend. `frames`: "together" (the default) shows all frames
of a clip in one prompt; "each" asks about every frame alone and sums its answers up. `price` and
`price_in`: what a million generated tokens, and a million that go in, cost, in the one currency of
all prices.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.backends.base import Backend
from inference.backends.errors import ModelUnavailable, faults_in_words

BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "huggingface": "inference.backends.huggingface.HuggingFaceBackend",
        "openai_compatible": "inference.backends.openai_compatible.OpenAICompatibleBackend",
        "replay": "inference.backends.replay.ReplayBackend",
        "scripted": "inference.backends.scripted.ScriptedBackend",
    }
)
"""Short name -> dotted name of a class that is made with a MemberSpec and is a Backend."""

ON_DISK = frozenset({"huggingface", "replay"})
"""The backends whose model may be a folder or file beside the members' file."""

ANY_DOMAIN = "*"
MEMBERS_FILE = Path(__file__).parents[1] / "members" / "members.toml"

_SAMPLES, _SAMPLE_BYTES = 64, 2**20


class MembersError(ValueError):
    """The members' file cannot be read; the message names the file, the member and the fault."""


class FrameMode(StrEnum):
    """How a member is asked about a clip: all frames in one prompt, or each frame alone."""

    TOGETHER = "together"
    EACH = "each"


@dataclass(frozen=True)
class MemberSpec:
    """One member of an ensemble, as configured.

    backend   a short name of BACKENDS or a dotted name
    model     a folder, a file, a hub id, or the model's name on a server
    options   what the backend makes of them
    frames    how it is asked about clips
    price     of a million generated tokens, >= 0; None where nobody has said
    price_in  of a million tokens that go in, >= 0
    """

    name: str
    backend: str = "huggingface"
    model: str = ""
    domains: tuple[str, ...] = ()
    revision: str = ""
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    frames: FrameMode = FrameMode.TOGETHER
    price: float | None = None
    price_in: float = 0.0


class _MemberEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    backend: Annotated[str, Field(min_length=1)] = "huggingface"
    model: str = ""
    domains: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    revision: str = ""
    options: dict[str, object] = {}


_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def read_members(path: Path = MEMBERS_FILE) -> tuple[MemberSpec, ...]:
    """The members of a file, in its order. A model folder beside the file may be named relatively.

    Raises MembersError.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MembersError(f"{path}: {error}") from error
    entries = content.pop("members", None)
    if not isinstance(entries, dict) or content:
        raise MembersError(f"{path}: a [members] table is wanted and nothing else")
    return tuple(_read_member(path, name, entry) for name, entry in entries.items())


def _read_member(path: Path, name: str, content: object) -> MemberSpec:
    if not _NAME.fullmatch(name):
        raise MembersError(
            f"{path}: member {name!r}: a name is 1 to 40 of a-z, 0-9, _ and -, no _ or - first"
        )
    try:
        entry = _MemberEntry.model_validate(content)
    except ValidationError as error:
        raise MembersError(f"{path}: member {name!r}: {faults_in_words(error)}") from error
    if "." not in entry.backend and entry.backend not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise MembersError(f"{path}: member {name!r}: backend {entry.backend!r} is none of {known}")
    model = entry.model
    if entry.backend in ON_DISK and model and (path.parent / model).exists():
        model = str((path.parent / model).resolve())
    frames = _frame_mode(path, name, entry.options.pop("frames", FrameMode.TOGETHER))
    price = _price(path, name, "price", entry.options)
    price_in = _price(path, name, "price_in", entry.options) or 0.0
    said = entry.model_dump(exclude={"model"})
    return MemberSpec(name=name, **said, model=model, frames=frames, price=price, price_in=price_in)


def _price(path: Path, name: str, option: str, options: dict[str, object]) -> float | None:
    wanted = options.pop(option, None)
    if wanted is None:
        return None
    number = not isinstance(wanted, bool) and isinstance(wanted, int | float)
    if number and 0 <= wanted < float("inf"):  # type: ignore[operator]
        return float(wanted)  # type: ignore[arg-type]
    raise MembersError(
        f"{path}: member {name!r}: option {option} = {wanted!r}: say a number from 0 on"
    )


def _frame_mode(path: Path, name: str, wanted: object) -> FrameMode:
    try:
        return FrameMode(str(wanted))
    except ValueError:
        known = " or ".join(f'"{mode}"' for mode in FrameMode)
        raise MembersError(
            f"{path}: member {name!r}: option frames = {wanted!r}: say {known}"
        ) from None


@cache
def load_backend(spec: MemberSpec) -> Backend:
    """The backend of a member, made once a process. Raises ModelUnavailable."""
    module, _, attribute = BACKENDS.get(spec.backend, spec.backend).rpartition(".")
    try:
        make = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelUnavailable(f"{spec.name}: backend {spec.backend!r}: {error}") from error
    return cast(Backend, make(spec))


def fingerprint(spec: MemberSpec) -> str:
    """What a Run pins of a member's model: that of its folder or file, else its revision."""
    path = Path(spec.model)
    if not spec.model or not path.exists():
        return spec.revision
    return _digest([path]) if path.is_file() else folder_fingerprint(path)


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 (hex) of the files in a model's folder; "" where there is none.

    Of files above 64 MB the size and 64 evenly spaced megabytes count. Pages about the model
    (*.md) and hidden files do not.
    """
    if not folder.is_dir():
        return ""
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix != ".md" and not path.name.startswith(".")
    )
    return _digest(paths)


def _digest(paths: Iterable[Path]) -> str:
    return _stamped_digest(tuple((path, _stamp(path)) for path in paths))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _stamped_digest(stamped: tuple[tuple[Path, tuple[int, int]], ...]) -> str:
    """The stamps only make the cache notice a change; the digest is of names and contents."""
    digest = hashlib.sha256()
    for path, (size, _) in stamped:
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _SAMPLES * _SAMPLE_BYTES:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
