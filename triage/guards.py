"""Triggers that keep the database itself from rewriting history, on SQLite and PostgreSQL.

A guarded row can be inserted; of its columns only those change that its Guard names. Whoever owns
the database can drop a trigger: the hash chains (triage.chain) find what they change then.

The triggers are made after each migration and dropped before one, for SQLite loses a table's
triggers when a migration remakes it, and a migration may have to rewrite what is there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DEFAULT_DB_ALIAS

REFUSED = "append-only: history is not rewritten"
ERASED = "EXISTS (SELECT 1 FROM triage_erasure e WHERE e.case_id = NEW.case_id)"


@dataclass(frozen=True)
class Guard:
    """What may change in a table: `changing` columns freely, and once its case is erased
    `blanked` ones to nothing."""

    table: str
    changing: tuple[str, ...] = ()
    blanked: tuple[str, ...] = ()

    def trigger(self, act: str) -> str:
        return f"{self.table}_no_{act}"


GUARDS = (
    Guard("triage_auditevent"),
    Guard("triage_chainhead", changing=("length", "hash", "signature")),
    Guard("triage_review", blanked=("comment",)),
    Guard("triage_decision"),
    Guard("triage_calibration"),
    Guard("triage_withdrawal"),
    Guard(
        "triage_policy",
        changing=(
            "status",
            "published_by_id",
            "published_at",
            "retired_at",
            "shadow_at",
            "canary_share",
            "canary_at",
            "canary_by_id",
            "before_id",
            "guard_limit",
        ),
    ),
    Guard("triage_shadowdecision"),
    Guard("triage_domainversion", changing=("author_id",)),
    Guard("triage_domainpublication", changing=("published_by_id",)),
    Guard("triage_trialrun"),
    Guard("triage_guardrail"),
    Guard("triage_consent"),
    Guard(
        "triage_glassbreak",
        changing=("justified", "reviewed_by_id", "reviewed_at"),
        blanked=("words",),
    ),
    Guard("triage_ask"),
    Guard("triage_erasure", changing=("files_gone_at",)),
)
POSTGRES_FUNCTIONS = """
CREATE OR REPLACE FUNCTION triage_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF to_jsonb(NEW) - TG_ARGV = to_jsonb(OLD) - TG_ARGV THEN RETURN NEW; END IF;
  END IF;
  RAISE EXCEPTION '%: append-only: history is not rewritten', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE OR REPLACE FUNCTION triage_blanked_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY TG_ARGV LOOP
    IF to_jsonb(NEW) -> name <> to_jsonb(OLD) -> name AND NOT (
      to_jsonb(NEW) ->> name = ''
      AND EXISTS (SELECT 1 FROM triage_erasure e WHERE e.case_id = NEW.case_id)
    ) THEN
      RAISE EXCEPTION '%: append-only: history is not rewritten', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
    END IF;
  END LOOP;
  RETURN NEW;
END $$;
"""


def put_up(using: str = DEFAULT_DB_ALIAS) -> None:
    """Make the triggers that are missing on tables that are there."""
    connection = connections[using]
    missing = set(missing_triggers(using))
    if not missing:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(POSTGRES_FUNCTIONS)
        for guard in _there(connection):
            for name, statement in _statements(connection, guard):
                if name in missing:
                    cursor.execute(statement)


def take_down(using: str = DEFAULT_DB_ALIAS) -> None:
    """Drop the triggers: for a migration, and for tests that play somebody who could."""
    connection = connections[using]
    there = _triggers(connection)
    with connection.cursor() as cursor:
        for guard in _there(connection):
            for act in ACTS[connection.vendor]:
                name = guard.trigger(act)
                if name in there:
                    on = f" ON {guard.table}" if connection.vendor == "postgresql" else ""
                    cursor.execute(f"DROP TRIGGER {name}{on}")


@contextmanager
def lifted(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Without the triggers; inside a transaction PostgreSQL first checks what it has put off."""
    connection = connections[using]
    if connection.vendor == "postgresql" and connection.in_atomic_block:
        connection.check_constraints()
    take_down(using)
    try:
        yield
    finally:
        put_up(using)


def missing_triggers(using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """The names of triggers that ought to be there and are not (or, on PostgreSQL, are off)."""
    connection = connections[using]
    there = _triggers(connection)
    wanted = [
        guard.trigger(act)
        for guard in _there(connection)
        for act in ACTS[connection.vendor]
        if act != "unblanking" or guard.blanked
    ]
    return [name for name in wanted if name not in there]


ACTS = {
    "sqlite": ("change", "removal"),
    "postgresql": ("change", "removal", "emptying", "unblanking"),
}
TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'",
}


def _triggers(connection: BaseDatabaseWrapper) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS[connection.vendor])
        return {name for (name,) in cursor.fetchall()}


def _there(connection: BaseDatabaseWrapper) -> list[Guard]:
    tables = set(connection.introspection.table_names())
    return [guard for guard in GUARDS if guard.table in tables]


def _statements(connection: BaseDatabaseWrapper, guard: Guard) -> Sequence[tuple[str, str]]:
    if connection.vendor == "postgresql":
        return _postgres(guard)
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, guard.table)
    return _sqlite(guard, [column.name for column in described])


def _postgres(guard: Guard) -> list[tuple[str, str]]:
    free = ", ".join(f"'{name}'" for name in (*guard.changing, *guard.blanked))
    blanked = ", ".join(f"'{name}'" for name in guard.blanked)
    acts = {
        "change": ("UPDATE", "ROW", f"triage_append_only({free})"),
        "removal": ("DELETE", "ROW", "triage_append_only()"),
        "emptying": ("TRUNCATE", "STATEMENT", "triage_append_only()"),
    }
    if guard.blanked:
        acts["unblanking"] = ("UPDATE", "ROW", f"triage_blanked_only({blanked})")
    return [
        (
            guard.trigger(act),
            f"CREATE TRIGGER {guard.trigger(act)} BEFORE {event} ON {guard.table} "
            f"FOR EACH {each} EXECUTE FUNCTION {call}",
        )
        for act, (event, each, call) in acts.items()
    ]


def _sqlite(guard: Guard, columns: Sequence[str]) -> list[tuple[str, str]]:
    """`columns`: all of the table's."""
    fixed = [name for name in columns if name not in (*guard.changing, *guard.blanked)]
    changes = [f'OLD."{name}" IS NOT NEW."{name}"' for name in fixed]
    changes += [
        f'(OLD."{name}" IS NOT NEW."{name}" AND NOT (NEW."{name}" = \'\' AND {ERASED}))'
        for name in guard.blanked
    ]
    refuse = f"BEGIN SELECT RAISE(ABORT, '{guard.table}: {REFUSED}'); END"
    change, removal = guard.trigger("change"), guard.trigger("removal")
    return [
        (
            change,
            f"CREATE TRIGGER {change} BEFORE UPDATE ON {guard.table} "
            f"WHEN {' OR '.join(changes)} {refuse}",
        ),
        (removal, f"CREATE TRIGGER {removal} BEFORE DELETE ON {guard.table} {refuse}"),
    ]


def before_migration(*, using: str, plan: Sequence[Any] = (), **_: object) -> None:
    """pre_migrate: only where something is going to change."""
    if plan:
        take_down(using)


def after_migration(*, using: str, **_: object) -> None:
    """post_migrate."""
    put_up(using)
