"""What every test can ask for."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import translation
from pytest_django import DjangoDbBlocker

from tests import services
from triage import guards

hypothesis.settings.register_profile("soak", max_examples=300, stateful_step_count=40)
DATABASE_FIXTURES = {"db", "transactional_db"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in the browser come last: their event loop stays on this thread to the end."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)
    for item in items:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        if item.get_closest_marker("django_db") or DATABASE_FIXTURES.intersection(fixtures):
            item.add_marker(pytest.mark.database)


@pytest.fixture(autouse=True)
def _services_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("services") and "DATABASE_URL" not in os.environ:
        pytest.fail("needs PostgreSQL and Valkey: ./test -k NAME starts them")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tables are there as if migrated. At the end, the connections that threads of asynchronous
    tests kept are ended: they hold the database."""
    with django_db_blocker.unblock():
        recorder = MigrationRecorder(connection)
        recorder.ensure_schema()
        recorder.migration_qs.bulk_create(
            recorder.Migration(app=app, name=name)
            for app, name in MigrationLoader(connection).disk_migrations or ()
        )
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )


@pytest.fixture(scope="module")
def module_rows(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A transaction around a module, for rows that its tests begin from, each in a savepoint."""
    around = transaction.atomic()
    with django_db_blocker.unblock():
        around.__enter__()
    yield
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The PostgreSQL that the tests run on, else one of its own; its URL."""
    if os.environ.get("DATABASE_URL", "").startswith("postgres"):
        yield os.environ["DATABASE_URL"]
    else:
        with services.postgres() as url:
            yield url


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The Valkey that the tests run on, else one of its own; its URL."""
    if os.environ.get("REDIS_URL"):
        yield os.environ["REDIS_URL"]
    else:
        with services.valkey() as url:
            yield url


@pytest.fixture(autouse=True)
def _tables_can_be_emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is written without a transaction around it is deleted afterwards, history too."""
    marker = request.node.get_closest_marker("django_db")
    committing = bool(marker and marker.kwargs.get("transaction"))
    if committing:
        request.getfixturevalue("transactional_db")
    yield
    if committing or "transactional_db" in request.fixturenames:
        guards.take_down()  # the flush that follows puts them up again


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """A request leaves its language behind in the thread; the next test begins in English."""
    yield
    translation.deactivate()
