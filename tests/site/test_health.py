"""Alive is not ready: what fails is named, and nothing else is said."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import OperationalError
from django.test import Client
from pytest_django import Settings

PARTS = {"database", "broker", "migrations"}


def ready(**headers: str) -> tuple[int, dict[str, str]]:
    response = Client(headers=headers).get("/readyz")
    return response.status_code, json.loads(response.content)


def test_alive_asks_nobody() -> None:
    """Without access to the database: pytest-django would raise."""
    response = Client().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert "no-store" in response["Cache-Control"]


@pytest.mark.django_db
def test_all_is_well() -> None:
    assert ready() == (200, {"status": "ok", **dict.fromkeys(PARTS, "ok")})


def failing(status: int, said: dict[str, str]) -> set[str]:
    assert status == 503
    assert said.pop("status") == "failed"
    assert set(said.values()) <= {"ok", "failed"}, "nothing but words of our own"
    assert set(said) == PARTS
    return {part for part, word in said.items() if word == "failed"}


@pytest.mark.django_db
def test_a_broker_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    assert failing(*ready()) == {"broker"}


@pytest.mark.django_db
def test_a_broker_that_is_there(settings: Settings, valkey_url: str) -> None:
    settings.REDIS_URL = valkey_url
    assert ready()[0] == 200


@pytest.mark.django_db
def test_a_migration_that_is_not_applied() -> None:
    MigrationRecorder(connection).record_unapplied("triage", "0001_initial")
    assert failing(*ready()) == {"migrations"}


@pytest.mark.django_db
def test_a_database_that_is_gone() -> None:
    secret = OperationalError("connection to server at 10.0.0.7, user alarm, password=x failed")
    with patch.object(connection, "cursor", side_effect=secret):
        assert failing(*ready()) == {"database", "migrations"}


@pytest.mark.django_db
def test_nobody_is_sent_to_https_for_it(settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    for path in ("/healthz", "/readyz", "/metrics"):
        assert Client().get(path).status_code == 200
    assert Client().get("/sign-in/").status_code == 301


def test_only_reading() -> None:
    assert Client().post("/healthz").status_code == 405


def test_a_connection_that_the_database_has_dropped_is_not_used_again() -> None:
    assert connection.settings_dict["CONN_HEALTH_CHECKS"] is True
