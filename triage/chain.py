"""The arithmetic of the hash chains over the history: plain values in, hexadecimal out.

A chain is all that happened to one case, or to a site itself. Each event holds the hash of the one
before it; the head, signed with a key that is not in the database, says how long the chain is.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

START = "0" * 64
EXACT = 2**53


def name_of(site_id: int, case_id: UUID | None) -> str:
    """What a chain is called in hashes and exports."""
    return f"case/{case_id.hex}" if case_id else f"site/{site_id}"


def event_hash(
    *,
    chain: str,
    position: int,
    at: datetime,
    actor: int | None,
    verb: str,
    details: Mapping[str, object],
    previous: str,
) -> str:
    """SHA-256 of one event and, by `previous`, of all that came before it in its chain."""
    body = {
        "chain": chain,
        "position": position,
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": actor,
        "verb": verb,
        "details": details,
        "previous": previous,
    }
    return hashlib.sha256(canonical(body)).hexdigest()


def canonical(value: object) -> bytes:
    """JSON in the one form that a value keeps through either database.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(
        _settled(value), sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _settled(value: object) -> object:
    """PostgreSQL gives 1e16 back as a whole number: equal numbers must be written alike."""
    if isinstance(value, Mapping):
        return {str(key): _settled(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_settled(one) for one in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= EXACT:
        return float(value)
    return value


def sign(key: str, *, chain: str, length: int, last: str) -> str:
    """HMAC-SHA-256 of a head: only who has the key can say how long a chain is."""
    message = f"{chain}:{length}:{last}".encode()
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def is_signed(keys: Sequence[str], signature: str, *, chain: str, length: int, last: str) -> bool:
    """Whether one of the keys has signed this head; a key that was replaced is still believed."""
    expected = [sign(key, chain=chain, length=length, last=last) for key in keys]
    return any(hmac.compare_digest(signature.encode(), one.encode()) for one in expected)
