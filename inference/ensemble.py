"""The ensemble: who is in it, by the members' file and the console, and what a run pins of it."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from inference.backends.registry import ANY_DOMAIN, FrameMode, MemberSpec, fingerprint, read_members
from inference.models import Member
from inference.pipeline.domains import Domain

CODE_VERSION = "0.1.0"


@lru_cache(maxsize=4)
def _read(path: Path, _changed: float) -> tuple[MemberSpec, ...]:
    return read_members(path)


def all_members() -> tuple[MemberSpec, ...]:
    """Every member: those of the file, then those that were taken in at the console.

    Whoever asks sees both as they are now. A name that the file has is the file's.
    """
    known = file_members()
    names = {spec.name for spec in known}
    rows = Member.objects.filter(status=Member.Status.ACTIVE)
    return (*known, *(row.spec for row in rows if row.name not in names))


def file_members() -> tuple[MemberSpec, ...]:
    """The members of the file; it is read again when it has changed. Needs no database."""
    path = Path(settings.ALARM_MEMBERS)
    return _read(path, path.stat().st_mtime) if path.is_file() else ()


def members_of(domain_id: str) -> tuple[MemberSpec, ...]:
    """The members that were trained for, or may be asked about, a domain; some take any."""
    return tuple(spec for spec in all_members() if takes(spec, domain_id))


def takes(spec: MemberSpec, domain_id: str) -> bool:
    """Whether a member may be asked about a domain."""
    return domain_id in spec.domains or ANY_DOMAIN in spec.domains


def member(name: str) -> MemberSpec:
    """One member by name.

    Raises:
        LookupError: it is not configured any more.
    """
    for spec in all_members():
        if spec.name == name:
            return spec
    raise LookupError(f"member {name} is not configured")


def asked_member(name: str) -> MemberSpec:
    """A member, or a candidate that is tried.

    Raises:
        LookupError: it is neither, or its server is not allowed any more.
    """
    row = Member.objects.filter(name=name, status=Member.Status.CANDIDATE).first()
    return checked(row.spec if row else member(name))


def checked(spec: MemberSpec) -> MemberSpec:
    """The member, if its server may be asked now. Raises LookupError."""
    if spec.backend == "openai_compatible" and Member.objects.filter(name=spec.name).exists():
        problem = address_problem(str(spec.options.get("base_url", "")))
        if problem:
            raise LookupError(f"member {spec.name}: {problem}")
    return spec


def address_problem(url: str) -> str:
    """Why a member that was added in the console may not be asked at this address; "" if it may.

    Its host, or host:port, must be among ALARM_MODEL_HOSTS: whoever adds members must not make this
    server call whatever it can reach. Pictures go there, so beyond the own network only by https.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "its address cannot be read"
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query:
        return "its address must look like https://host/v1"
    allowed = {one.lower() for one in settings.ALARM_MODEL_HOSTS}
    if not {host, f"{host}:{port}"} & allowed:
        return f"{host} is not among ALARM_MODEL_HOSTS, which the operator sets"
    if parts.scheme == "http" and not _own_network(host):
        return f"{host} is beyond the own network: say https"
    return ""


def _own_network(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host


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
