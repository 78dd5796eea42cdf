"""Nonsense in the environment stops the start with its name."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from alarm_site.environment import Environment, https_or_loopback, webhook_secrets


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


@pytest.mark.parametrize(
    "address",
    ["", "https://a.example/x", "http://127.0.0.1:9/x", "http://localhost/", "http://[::1]/"],
)
def test_a_webhook_goes_by_https_or_stays_on_this_machine(address: str) -> None:
    assert https_or_loopback("X", address) == address


@pytest.mark.parametrize(
    "address",
    [
        "http://a.example/",
        "ftp://localhost/",
        "https://",
        "localhost",
        "http://127.0.0.1.a.example/",
        "https://a.example:99999/",
        "http://[::1",
    ],
)
def test_any_other_address_stops_the_start(address: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X must begin"):
        https_or_loopback("X", address)


def test_a_secret_is_read_or_refused_without_being_repeated() -> None:
    good = "whsec_" + "QUJD" * 8
    assert webhook_secrets("X", [good, good]) == [b"ABC" * 8] * 2
    assert webhook_secrets("X", []) == []
    for bad in ("whsec_QUJD", "QUJD" * 8, "whsec_" + "?" * 32):
        with pytest.raises(ImproperlyConfigured) as refused:
            webhook_secrets("X", [bad])
        assert bad not in str(refused.value)


def reconcile(data: Path) -> subprocess.CompletedProcess[str]:
    foreign = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY")
    kept = {key: one for key, one in os.environ.items() if key not in foreign}
    return subprocess.run(
        [sys.executable, "manage.py", "reconcile"],
        env={**kept, "ALARM_DATA": str(data)},
        capture_output=True,
        text=True,
    )


def test_a_command_says_what_to_do_where_there_is_no_data_folder(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    done = reconcile(missing)
    assert done.returncode == 1
    assert done.stderr.startswith(f"There is no data folder {missing}. Name the one that ./run")


def test_a_command_says_what_to_do_where_the_database_has_no_tables(tmp_path: Path) -> None:
    done = reconcile(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("The database has no tables yet: manage.py migrate makes them")
