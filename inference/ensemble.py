"""The ensemble that is configured here, and what a run pins of it."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from inference.backends.registry import ANY_DOMAIN, FrameMode, MemberSpec, fingerprint, read_members
from inference.pipeline.domains import Domain

CODE_VERSION = "0.1.0"


@lru_cache(maxsize=4)
def _read(path: Path, _changed: float) -> tuple[MemberSpec, ...]:
    return read_members(path)


def all_members() -> tuple[MemberSpec, ...]:
    """Every configured member; the file is read again when it has changed."""
    path = Path(settings.ALARM_MEMBERS)
    return _read(path, path.stat().st_mtime) if path.is_file() else ()


def members_of(domain_id: str) -> tuple[MemberSpec, ...]:
    """The members that were trained for, or may be asked about, a domain; some take any."""
    return tuple(
        spec for spec in all_members() if domain_id in spec.domains or ANY_DOMAIN in spec.domains
    )


def member(name: str) -> MemberSpec:
    """One member by name.

    Raises:
        LookupError: it is not configured any more.
    """
    for spec in all_members():
        if spec.name == name:
            return spec
    raise LookupError(f"member {name} is not configured")


def quorum_of(members: tuple[MemberSpec, ...]) -> int:
    """How many members must have answered in full before a case may be accepted; at least 1."""
    wanted = settings.ALARM_QUORUM or len(members)
    return max(1, min(wanted, len(members)))


def pins(domain: Domain, members: tuple[MemberSpec, ...]) -> dict[str, object]:
    """What an answer depends on besides the picture."""
    return {
        "code": CODE_VERSION,
        "domain": {"id": domain.id, "version": domain.version, "digest": domain.digest},
        "members": {
            spec.name: {
                "backend": spec.backend,
                "model": Path(spec.model).name,
                "fingerprint": fingerprint(spec),
                "frames": str(spec.frames),
            }
            for spec in members
        },
    }


def signature(pinned: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of who answered and what was asked: members, fingerprints, frames, domain.

    What was learned of one ensemble says nothing of another, nor of other weights or prompts.
    """
    members = {name: _identity(one) for name, one in pinned["members"].items()}
    asked = pinned.get("domain", {}).get("digest", "")
    return hashlib.sha256(json.dumps([asked, members], sort_keys=True).encode()).hexdigest()


def _identity(pinned: Mapping[str, str]) -> str:
    """Runs from before there were frames were asked about all pictures together."""
    frames = pinned.get("frames", FrameMode.TOGETHER)
    shown = "" if frames == FrameMode.TOGETHER else f" {frames}"
    return pinned.get("fingerprint", "") + shown


def current_signature(domain: Domain) -> str:
    """The signature of a run that would be opened now."""
    return signature(pins(domain, members_of(domain.id)))
