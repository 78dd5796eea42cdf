"""Typed readers of the environment that refuse nonsense instead of guessing."""

import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


LOOPBACK = {"localhost", "127.0.0.1", "::1"}
ROLES = ("clinician", "caregiver", "administrator", "auditor")
OF_ALL, FOR_ALL = "organisation:", ("administrator", "auditor")
KEY_PREFIX = "whsec_"  # of Standard Webhooks: base64 follows
KEY_BYTES = 24


def https_or_loopback(name: str, address: str) -> str:
    """The address as it is, if it is empty, of https, or of http on this very machine.

    Raises:
        ImproperlyConfigured: it is none of these.
    """
    try:
        parts = urlsplit(address)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not address or (safe and parts.hostname and parts.port != 0):
            return address
    except ValueError:
        pass
    raise ImproperlyConfigured(f"{name} must begin with https:// (http:// only on loopback).")


def webhook_secrets(name: str, words: list[str]) -> list[bytes]:
    """Keys that sign, as Standard Webhooks writes them: "whsec_" and base64 of 24 bytes or more.

    Raises:
        ImproperlyConfigured: one cannot be read; it is not repeated.
    """
    keys = []
    for word in words:
        try:
            key = b64decode(word.removeprefix(KEY_PREFIX), validate=True)
        except ValueError:
            key = b""
        if not word.startswith(KEY_PREFIX) or len(key) < KEY_BYTES:
            raise ImproperlyConfigured(
                f'{name}: each secret is "{KEY_PREFIX}" and base64 of {KEY_BYTES} bytes.'
            )
        keys.append(key)
    return keys


def group_roles(name: str, words: list[str]) -> list[tuple[str, str, str]]:
    """What the groups of a provider may do: "group=role@site", as (group, role, site).

    For a whole organisation the site is "organisation:name", the role administrator or auditor.

    Raises:
        ImproperlyConfigured: one is written otherwise, or there is no such role.
    """
    found = []
    for word in words:
        group, _, rest = word.rpartition("=")
        role, _, site = rest.partition("@")
        if not group or not site or role not in ROLES:
            raise ImproperlyConfigured(
                f"{name}: {word!r} is not GROUP=ROLE@SITE with one of {', '.join(ROLES)}."
            )
        if site.startswith(OF_ALL) and role not in FOR_ALL:
            raise ImproperlyConfigured(
                f"{name}: {word!r}: of an organisation one is {' or '.join(FOR_ALL)}."
            )
        found.append((group, role, site))
    return found


def bucket(name: str, endpoint: str, region: str) -> dict[str, object]:
    """Django's storage in a bucket; empty parts are left to boto3."""
    options: dict[str, object] = {
        "bucket_name": name,
        "default_acl": None,
        # Names are made here and never come twice: nobody need ask whether one is taken.
        "file_overwrite": True,
        "signature_version": "s3v4",
    }
    if endpoint:
        options |= {"endpoint_url": endpoint, "addressing_style": "path"}
    if region:
        options["region_name"] = region
    return {"BACKEND": "alarm_site.bucket.Bucket", "OPTIONS": options}


class Environment:
    """Reads settings by name; a value that does not parse stops the start with its name.

    Args:
        values: the variables, by default those of the process.

    Raises:
        ImproperlyConfigured: from every reader, in one sentence that names the variable.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self.values = os.environ if values is None else values

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, "").strip() or default

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if value.strip().lower() not in TRUE | FALSE:
            raise ImproperlyConfigured(f"{name}={value!r}: say 1 or 0.")
        return value.strip().lower() in TRUE

    def number(self, name: str, default: float, *, low: float, high: float) -> float:
        raw = self.text(name)
        try:
            value = float(raw) if raw else default
        except ValueError:
            raise ImproperlyConfigured(f"{name}={raw!r} is not a number.") from None
        if not low <= value <= high:
            raise ImproperlyConfigured(f"{name}={raw} must lie between {low:g} and {high:g}.")
        return value

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        value = self.number(name, default, low=low, high=high)
        if value != int(value):
            raise ImproperlyConfigured(f"{name}={value:g} must be a whole number.")
        return int(value)

    def words(self, name: str, default: str = "") -> list[str]:
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def path(self, name: str, default: Path) -> Path:
        return Path(self.text(name, str(default))).expanduser().resolve()
