"""The tests' tables are made from the models; the migrations make the same ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from triage import guards

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
# In three join tables Django's own migrations count in wider integers than its models do.
OURS = ("inference_", "triage_")


@contextmanager
def empty_database(folder: Path) -> Iterator[tuple[BaseDatabaseWrapper, dict[str, str]]]:
    """A database beside that of the tests, and the environment in which the product uses it."""
    other = connections["default"].copy("migrated")
    if other.vendor == "sqlite":
        other.settings_dict["NAME"] = folder / "db.sqlite3"
        connections["migrated"] = other  # SQLite's introspection looks for it by its name
        yield other, {"DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}"}
        other.close()
        del connections["migrated"]
        return
    name = f"{other.settings_dict['NAME']}_migrated"
    other.settings_dict["NAME"] = name
    server, _, _database = os.environ["DATABASE_URL"].rpartition("/")
    with other._nodb_cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield other, {"DATABASE_URL": f"{server}/{name}"}
        finally:
            other.close()
            cursor.execute(f"DROP DATABASE {name}")


def tables(of: BaseDatabaseWrapper) -> dict[str, Any]:
    """Each table's columns, and its constraints where the database knows these by their names."""
    look, named = of.introspection, of.vendor == "postgresql"
    with of.cursor() as cursor:
        return {
            name: (
                {column.name: column for column in look.get_table_description(cursor, name)},
                look.get_constraints(cursor, name) if named else {},
            )
            for name in look.table_names(cursor)
        }


def triggers(of: BaseDatabaseWrapper) -> set[str]:
    with of.cursor() as cursor:
        cursor.execute(guards.TRIGGERS[of.vendor])
        return {name for (name,) in cursor.fetchall()}


def test_they_make_the_tables_that_the_tests_run_on(tmp_path: Path) -> None:
    with empty_database(tmp_path) as (migrated, environment):
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=settings.BASE_DIR,
            env={**os.environ, **environment},
            check=True,
        )
        made, wanted = tables(migrated), tables(connection)
        assert made.keys() == wanted.keys()
        for name, parts in wanted.items():
            if name.startswith(OURS):
                assert made[name] == parts, name
        assert triggers(migrated) == triggers(connection) != set()
