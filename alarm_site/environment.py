"""Typed readers of the environment that refuse nonsense instead of guessing."""

import os
from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


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
