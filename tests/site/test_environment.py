"""Nonsense in the environment stops the start with its name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from alarm_site.environment import Environment


@pytest.mark.parametrize(("raw", "value"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_a_flag_is_one_or_the_other(raw: str, value: bool) -> None:
    assert Environment({"X": raw}).flag("X", not value) is value


def test_what_is_not_set_has_its_default() -> None:
    nothing = Environment({})
    assert nothing.flag("X", True) is True
    assert nothing.integer("X", 7, low=0, high=9) == 7
    assert nothing.words("X", "a, b") == ["a", "b"]
    assert nothing.path("X", Path("/nowhere")) == Path("/nowhere")


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("perhaps", lambda env: env.flag("X", False)),
        ("ten", lambda env: env.integer("X", 1, low=0, high=9)),
        ("10", lambda env: env.integer("X", 1, low=0, high=9)),
        ("1.5", lambda env: env.integer("X", 1, low=0, high=9)),
        ("nan", lambda env: env.number("X", 1, low=0, high=9)),
        ("inf", lambda env: env.number("X", 1, low=0, high=9)),
    ],
)
def test_nonsense_is_refused_by_name(raw: str, read: Callable[[Environment], object]) -> None:
    with pytest.raises(ImproperlyConfigured, match="X"):
        read(Environment({"X": raw}))
