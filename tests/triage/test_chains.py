"""History cannot be rewritten unnoticed: the database refuses it, and the chains show it."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import make_case, make_policy, make_site
from tests.triage.conftest import Cast
from triage import guards
from triage.chain import canonical, event_hash, is_signed, name_of, sign
from triage.models import AuditEvent, Case, ChainHead, Review, Site
from triage.selectors.chains import verify
from triage.services import asking, queue, reviews
from triage.services.glass import break_glass
from triage.services.history import record

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


@pytest.fixture
def history(cast: Cast) -> Case:
    """A case with a history of four lines, at a site with one of three."""
    make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label="Cut", version=case.version
    )
    for _ in range(2):
        record("photo seen", site=cast.clinic, actor=cast.colleague, case=case)
    for share in (0.1, 1e-7, 1e16):
        record("set readings", site=cast.clinic, actor=cast.administrator, share=share)
    return case


SELDOM = {
    f"triage_{name}"
    for name in (
        "withdrawal",
        "ask",
        "erasure",
        "shadowdecision",
        "guardrail",
        "domainversion",
        "domainpublication",
        "trialrun",
    )
}


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def place(case: Case, position: int) -> int:
    return AuditEvent.objects.get(case=case, position=position).pk


def kinds(site: Site | None = None) -> set[str]:
    return {found.kind for found in verify(site).findings}


@contextmanager
def forger() -> Iterator[None]:
    """Somebody who owns the database and cleans up behind them."""
    with guards.lifted():
        yield


def test_an_untouched_history_is_intact(history: Case, cast: Cast) -> None:
    found = verify()
    assert (found.findings, found.intact) == ([], True)
    assert found.events == AuditEvent.objects.count() == 7
    assert verify(cast.clinic).events == 7
    assert verify(cast.elsewhere).events == 0


def test_each_line_holds_the_hash_of_the_one_before(history: Case) -> None:
    lines = list(AuditEvent.objects.filter(case=history).order_by("position"))
    assert [line.position for line in lines] == [1, 2, 3, 4]
    assert [line.previous for line in lines[1:]] == [line.hash for line in lines[:-1]]
    head = ChainHead.objects.get(case=history)
    assert (head.length, head.hash) == (4, lines[-1].hash)


def change(case: Case) -> None:
    sql("UPDATE triage_auditevent SET verb = 'skipped' WHERE id = %s", place(case, 2))


def change_details(case: Case) -> None:
    sql("UPDATE triage_auditevent SET details = '{}' WHERE id = %s", place(case, 1))


def change_time(case: Case) -> None:
    sql(
        "UPDATE triage_auditevent SET created_at = '2020-01-01 00:00:00+00:00' WHERE id = %s",
        place(case, 4),
    )


def change_actor(case: Case) -> None:
    sql("UPDATE triage_auditevent SET actor_id = NULL WHERE id = %s", place(case, 3))


def remove(case: Case) -> None:
    sql("DELETE FROM triage_auditevent WHERE id = %s", place(case, 2))


def remove_first(case: Case) -> None:
    sql("DELETE FROM triage_auditevent WHERE id = %s", place(case, 1))


def close_the_gap(case: Case) -> None:
    remove(case)
    for position in (3, 4):
        pk = place(case, position)
        sql("UPDATE triage_auditevent SET position = %s WHERE id = %s", position - 1, pk)


def truncate(case: Case) -> None:
    sql("DELETE FROM triage_auditevent WHERE id = %s", place(case, 4))


def truncate_with_the_head(case: Case) -> None:
    """As one who knows the code, but not the key."""
    truncate(case)
    last = AuditEvent.objects.get(case=case, position=3).hash
    sql("UPDATE triage_chainhead SET length = 3, hash = %s WHERE case_id = %s", last, key(case))


def empty(case: Case) -> None:
    sql("DELETE FROM triage_auditevent WHERE case_id = %s", key(case))


def forget(case: Case) -> None:
    empty(case)
    sql("DELETE FROM triage_chainhead WHERE case_id = %s", key(case))


def behead(case: Case) -> None:
    sql("DELETE FROM triage_chainhead WHERE case_id = %s", key(case))


def append(case: Case) -> None:
    """A line at the end, hashed as it should be: only the head does not know it."""
    last = AuditEvent.objects.get(case=case, position=4)
    line = AuditEvent(site=case.site, case=case, verb="photo seen", position=5, previous=last.hash)
    line.hash = hash_of(line)
    line.save()


def insert(case: Case) -> None:
    for position in (4, 3):
        pk = place(case, position)
        sql("UPDATE triage_auditevent SET position = %s WHERE id = %s", position + 1, pk)
    before = AuditEvent.objects.get(case=case, position=2)
    line = AuditEvent(site=case.site, case=case, verb="read", position=3, previous=before.hash)
    line.hash = hash_of(line)
    line.save()


def reorder(case: Case) -> None:
    first, second = place(case, 2), place(case, 3)
    for pk, position in ((first, 99), (second, 2), (first, 3)):
        sql("UPDATE triage_auditevent SET position = %s WHERE id = %s", position, pk)


def move_to_the_site(case: Case) -> None:
    sql("UPDATE triage_auditevent SET case_id = NULL, position = 4 WHERE id = %s", place(case, 4))


def rewrite_all(case: Case) -> None:
    """The whole chain made anew without its second line; the signature cannot be."""
    remove(case)
    last = "0" * 64
    for position, line in enumerate(AuditEvent.objects.filter(case=case).order_by("position"), 1):
        line.position, line.previous = position, last
        last = hash_of(line)
        sql(
            "UPDATE triage_auditevent SET position = %s, previous = %s, hash = %s WHERE id = %s",
            position, line.previous, last, line.pk,
        )  # fmt: skip
    sql("UPDATE triage_chainhead SET length = 3, hash = %s WHERE case_id = %s", last, key(case))


def key(case: Case) -> object:
    return case.pk if connection.vendor == "postgresql" else case.pk.hex


def hash_of(line: AuditEvent) -> str:
    """Anybody can compute it."""
    return event_hash(
        chain=name_of(line.site_id, line.case_id),
        position=line.position,
        at=line.created_at,
        actor=line.actor_id,
        verb=line.verb,
        details=line.details,
        previous=line.previous,
    )


@pytest.mark.parametrize(
    ("forge", "kind"),
    [
        (change, "changed"),
        (change_details, "changed"),
        (change_time, "changed"),
        (change_actor, "changed"),
        (remove, "removed"),
        (remove_first, "removed"),
        (close_the_gap, "changed"),
        (truncate, "truncated"),
        (truncate_with_the_head, "unsigned"),
        (empty, "truncated"),
        (forget, "missing"),
        (behead, "missing"),
        (append, "inserted"),
        (insert, "changed"),
        (reorder, "changed"),
        (move_to_the_site, "inserted"),
        (rewrite_all, "unsigned"),
    ],
)
def test_what_is_rewritten_behind_the_product_is_found(
    history: Case, cast: Cast, forge: Callable[[Case], None], kind: str
) -> None:
    with forger():
        forge(history)
    assert kind in kinds()
    assert kind in kinds(cast.clinic)
    assert kinds(cast.elsewhere) == set(), "another site's history is not concerned"
    with pytest.raises(CommandError, match=name_of(0, history.pk)):
        call_command("audit", "verify", stdout=io.StringIO())


def test_a_site_whose_history_is_gone_is_found(history: Case, cast: Cast) -> None:
    with forger():
        sql("DELETE FROM triage_auditevent WHERE case_id IS NULL")
        sql("DELETE FROM triage_chainhead WHERE case_id IS NULL AND site_id = %s", cast.clinic.pk)
    assert [(f.kind, f.chain) for f in verify().findings] == [("missing", f"site/{cast.clinic.pk}")]


def test_a_guard_that_was_dropped_is_found(history: Case) -> None:
    guards.take_down()
    assert {found.kind for found in verify().findings} == {"unguarded"}
    guards.put_up()
    assert verify().intact


@pytest.mark.parametrize("guard", guards.GUARDS, ids=lambda guard: guard.table)
def test_the_database_itself_refuses_to_delete(
    history: Case, cast: Cast, guard: guards.Guard
) -> None:
    asking.consent(site=cast.household, person=cast.caregiver, purpose="watch", given=True)
    break_glass(case=history, user=cast.administrator, reason="fault", words="It is blurred.")
    if guard.table in SELDOM:
        pytest.skip("no row of it here; the trigger is the others'")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        sql(f"DELETE FROM {guard.table}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE triage_auditevent SET verb = 'skipped'",
        "UPDATE triage_auditevent SET created_at = '2020-01-01 00:00:00+00:00'",
        "UPDATE triage_chainhead SET case_id = NULL WHERE case_id IS NOT NULL",
        "UPDATE triage_review SET label = 'Burns'",
        "UPDATE triage_review SET comment = 'other'",
        "UPDATE triage_decision SET outcome = 'accept', score = 0, threshold = 1",
        "UPDATE triage_calibration SET parameters = '{}'",
        "UPDATE triage_policy SET threshold = 0.9",
        "UPDATE triage_policy SET proposed_by_id = 1",
    ],
)
def test_the_database_itself_refuses_to_change(history: Case, statement: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        sql(statement)


def test_a_comment_is_not_even_blanked_while_its_case_is_not_erased(history: Case) -> None:
    with forger():
        Review.objects.update(comment="a word")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        sql("UPDATE triage_review SET comment = ''")


def test_what_may_change_of_a_policy_does(history: Case) -> None:
    sql("UPDATE triage_policy SET status = 'retired'")
    sql("UPDATE triage_policy SET threshold = threshold")


def test_a_broken_act_leaves_no_line_and_no_gap(history: Case, cast: Cast) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        record("photo seen", site=cast.clinic, case=history)
        raise RuntimeError
    record("photo seen", site=cast.clinic, case=history)
    assert verify().intact
    assert ChainHead.objects.get(case=history).length == 5


def test_a_replaced_key_is_believed_as_long_as_it_is_named(history: Case, settings: object) -> None:
    settings.ALARM_AUDIT_KEYS = ["new", *settings.ALARM_AUDIT_KEYS]  # type: ignore[attr-defined]
    assert verify().intact
    record("photo seen", site=history.site, case=history)
    settings.ALARM_AUDIT_KEYS = ["new"]  # type: ignore[attr-defined]
    assert kinds() == {"unsigned"}
    signed = {head.case_id for head in ChainHead.objects.all()} - {
        found.chain for found in verify().findings
    }
    assert history.pk in signed


def test_an_export_finds_even_what_the_owner_of_the_key_makes_anew(
    history: Case, cast: Cast, tmp_path: Path
) -> None:
    out = tmp_path / "history.jsonl"
    call_command("audit", "export", "--out", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 7
    call_command("audit", "verify", "--against", str(out), stdout=io.StringIO())
    with forger():
        forget(history)
    record("opened", site=cast.clinic, case=history)
    assert verify().intact, "it looks whole by itself"
    with pytest.raises(CommandError, match="rewritten"):
        call_command("audit", "verify", "--against", str(out), stdout=io.StringIO())


def test_of_a_cases_and_anothers_lines_none_is_both_chains(cast: Cast) -> None:
    one, other = make_case(cast.clinic, SPLIT), make_case(cast.clinic, SPLIT)
    record("photo seen", site=cast.clinic, case=one)
    assert ChainHead.objects.get(case=other).length == 1
    assert ChainHead.objects.get(case=one).length == 2


def test_a_site_begins_with_a_chain() -> None:
    site = make_site()
    head = ChainHead.objects.get(site=site, case=None)
    assert (head.length, verify(site).intact) == (0, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.floats(
        allow_nan=False, allow_infinity=False
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_equal_values_are_written_alike(value: object) -> None:
    assert canonical(json.loads(json.dumps(value))) == canonical(value)


@pytest.mark.parametrize(("one", "other"), [(1.0, 1), (1e16, 10**16), (1e300, 10**300), (-0.0, 0)])
def test_numbers_that_a_database_writes_otherwise_are_written_alike(one: float, other: int) -> None:
    assert canonical({"n": one}) == canonical({"n": other})


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(float("nan"))


def test_a_signature_is_of_one_length_and_one_key() -> None:
    signature = sign("key", chain="site/1", length=3, last="0" * 64)
    ask = {"chain": "site/1", "length": 3, "last": "0" * 64}
    assert is_signed(["other", "key"], signature, **ask)  # type: ignore[arg-type]
    assert not is_signed(["other"], signature, **ask)  # type: ignore[arg-type]
    assert not is_signed(["key"], signature, **(ask | {"length": 2}))  # type: ignore[arg-type]
    assert not is_signed(["key"], "é", **ask)  # type: ignore[arg-type]
