"""No query goes past the wall between sites: neither in the code nor in the SQL of a request."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.test import Client

from tests.factories import make_camera, make_case, make_policy, make_user
from tests.tenancy import bypasses, is_unscoped, sources, tenant_models, watched
from tests.triage.conftest import Cast
from tests.triage.test_access import EVERYBODY, ROUTES, url_of
from triage.choices import AlertKind, PolicyStatus
from triage.models import Alert, Case, DomainVersion, LegalHold, Policy
from triage.services import queue
from triage.tenancy import SiteRow

pytestmark = pytest.mark.django_db

BY_A_WORKER = "a worker's, about the one row that its message names; no request names it"
OF_ALL = "a sweep, metric or command over the whole installation, of which no page shows a row"
ALLOWED = {
    "inference/services/observations.py:forget_orphans": OF_ALL,
    "triage/guards.py:put_up": "writes triggers",
    "triage/guards.py:take_down": "drops triggers",
    "triage/guards.py:_triggers": "reads the names of triggers",
    "triage/guards.py:_statements": "reads the names of columns",
    "triage/management/commands/audit.py:_export": OF_ALL,
    "triage/receivers.py:show_progress": BY_A_WORKER,
    "triage/selectors/accounts.py:accounts": OF_ALL,
    "triage/selectors/chains.py:_differs": "by one chain, or all where the command asks for all",
    "triage/selectors/chains.py:_again": "by one chain, or all where the command asks for all",
    "triage/selectors/chains.py:_events": "of one site, or all where the command asks for all",
    "triage/selectors/chains.py:_heads": "of one site, or all where the command asks for all",
    "triage/selectors/chains.py:_unchained": "narrowed to the site two lines below",
    "triage/selectors/fitted.py:_load": "kept in memory under the key of a calibration in hand",
    "triage/selectors/fitted.py:_load_learned": "kept under the key of a calibration in hand",
    "triage/selectors/operations.py:operations": OF_ALL,
    "triage/selectors/operations.py:_runs": OF_ALL,
    "triage/selectors/past.py:past_cases": "kept under the key of a calibration in hand",
    "triage/services/decisions.py:_decide": BY_A_WORKER,
    "triage/services/delivery.py:hint_due": OF_ALL,
    "triage/services/delivery.py:_claim": BY_A_WORKER,
    "triage/services/erasing.py:finish_erasures": OF_ALL,
    "triage/services/guard.py:watch_lately": OF_ALL,
    "triage/services/history.py:record_each": "by cases in hand, which the caller has locked",
    "triage/services/queue.py:end_expired_leases": OF_ALL,
    "triage/services/tokens.py:find_token": "signs a device in: its token says which site",
    "triage/services/trials.py:advance_all": OF_ALL,
    "triage/services/trials.py:advance": BY_A_WORKER,
    "triage/services/trials.py:_ask": BY_A_WORKER,
    "triage/simulation/loop.py:_run_members": OF_ALL,
    "triage/tasks.py:push_ask": BY_A_WORKER,
    "triage/tasks.py:push_call": BY_A_WORKER,
    "triage/tasks.py:push_settled": BY_A_WORKER,
}
# inference knows neither sites nor people (a contract holds that): workers take what the queue
# names, and triage reaches a run only through a case in hand.
WORKERS = (
    "inference/services/jobs.py",
    "inference/services/runs.py",
    "inference/services/sweep.py",
)


@pytest.fixture
def world(cast: Cast) -> tuple[Case, Policy]:
    """Rows of every kind at two sites, so that a query that forgets the site finds too much."""
    for site in (cast.elsewhere, cast.clinic):
        policy = make_policy(site, status=PolicyStatus.DRAFT)
        case = make_case(site, ("Burns", "Cut", "Cut"), camera=make_camera(site))
        boss = make_user(site, "administrator")
        LegalHold.objects.create(site=site, case=case, reason="court", set_by=boss)
        Alert.objects.create(site=site, kind=AlertKind.DRIFT, value=3, limit=2)
        make_case(site)
        queue.claim_next(site=site, user=make_user(site))
    return case, policy


# In the code


def test_every_query_says_whose_rows_it_asks_for() -> None:
    found = {
        one.where
        for path, source in sources("triage", "inference")
        for one in bypasses(source, path)
    }
    found = {where for where in found if not where.startswith(WORKERS)}
    assert found == set(ALLOWED), "scope it, or explain it; and drop what is no longer there"


def test_the_docs_count_the_exceptions() -> None:
    said = (settings.BASE_DIR / "docs" / "security.md").read_text()
    assert f"{len(ALLOWED)} functions are" in said


LEAKS = {
    "by a key of the address": "return Case.objects.get(pk=pk)",
    "by a key in a shortcut": "return get_object_or_404(Case, pk=pk, site=1)",
    "by a key after something harmless": "return Case.objects.select_related('site').get(pk=pk)",
    "all of them": "return Case.objects.all()",
    "by a state alone": "return Policy.objects.filter(status='draft')",
    "in a list": "return [one for one in Review.objects.filter(reviewer=pk)]",
    "by another manager": "return Subject._default_manager.filter(pk=pk)",
    "by what is empty": "return Case.objects.filter(subject__isnull=True)",
    "by the one or the other": "return Case.objects.filter(Q(site=pk) | Q(pk=pk))",
    "all but a site's": "return Case.objects.exclude(site=pk)",
    "what the members said": "return StageTrace.objects.filter(member='alpha')",
    "a file": "return Media.objects.get(pk=pk)",
    "as SQL": "return connection.cursor().execute('SELECT * FROM triage_case')",
}


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("room", ["triage/views/x.py", "triage/api/x.py", "triage/selectors/x.py"])
def test_a_query_that_forgets_the_site_is_found(leak: str, room: str) -> None:
    source = f"def leak(pk):\n    {LEAKS[leak]}\n"
    assert [one.where for one in bypasses(source, room)] == [f"{room}:leak"]


@pytest.mark.parametrize("room", ["views", "api", "selectors", "services"])
def test_what_begins_with_a_site_is_no_leak(room: str) -> None:
    source = (
        "def own(site, pk):\n    return Case.objects.of(site).filter(status='open').get(pk=pk)\n"
    )
    assert not bypasses(source, f"triage/{room}/x.py")


def test_where_wishes_arrive_a_keyword_is_not_enough() -> None:
    """A keyword can be forgotten with the next change; `of` stands at the beginning or not."""
    source = "def own(site, pk):\n    return Case.objects.filter(site=site).get(pk=pk)\n"
    assert bypasses(source, "triage/views/x.py")
    assert not bypasses(source, "triage/selectors/x.py")


def test_a_row_in_hand_may_be_locked_by_its_key() -> None:
    assert not bypasses("Case.objects.select_for_update().get(pk=case.pk)", "triage/services/x.py")
    assert bypasses("Case.objects.select_for_update().get(pk=wanted)", "triage/services/x.py")


def test_every_row_of_a_site_can_be_asked_for_by_site() -> None:
    of_triage = [
        one for one in tenant_models().values() if one.__module__.startswith("triage.models.")
    ]
    assert [one.__name__ for one in of_triage if not issubclass(one, SiteRow)] == []


@pytest.mark.parametrize(
    "name", sorted(name for name, one in tenant_models().items() if issubclass(one, SiteRow))
)
def test_the_way_to_the_site_is_one(world: tuple[Case, Policy], cast: Cast, name: str) -> None:
    model: Any = tenant_models()[name]
    here, there = (
        set(model.objects.of(site).values_list("pk", flat=True))
        for site in (cast.clinic, cast.elsewhere)
    )
    assert not here & there


def test_of_gives_the_own_rows_alone(world: tuple[Case, Policy], cast: Cast) -> None:
    case, policy = world
    assert case in Case.objects.of(cast.clinic)
    assert case not in Case.objects.of(cast.elsewhere)
    assert list(Policy.objects.of(cast.clinic)) == [policy]
    assert not DomainVersion.objects.of(cast.clinic).exists()
    with pytest.raises(Http404):
        get_object_or_404(Case.objects.of(cast.elsewhere), pk=case.pk)


# In a request


@pytest.mark.parametrize("role", sorted(EVERYBODY - {"caregiver"}))
def test_the_sql_of_a_request_names_the_site_or_a_row_of_it(
    cast: Cast, world: tuple[Case, Policy], role: str
) -> None:
    found = {}
    for route in ROUTES:
        with watched(cast.clinic) as seen:
            _call(getattr(cast, role), route, *world)
        found[route] = seen.unscoped + seen.foreign
    assert {route: sql for route, sql in found.items() if sql} == {}


def test_a_stranger_to_the_site_does_not_even_load_its_rows(
    cast: Cast, world: tuple[Case, Policy]
) -> None:
    """Not found is found out by the database: nothing of another site is read and then hidden."""
    everything = make_user(cast.elsewhere, "administrator", "everything")
    for role in ("clinician", "auditor"):
        everything.memberships.create(site=cast.elsewhere, role=role)
    found = {}
    for route in ROUTES:
        with watched(cast.elsewhere) as seen:
            _call(everything, route, *world)
        found[route] = seen.foreign
    assert {route: rows for route, rows in found.items() if rows} == {}


def _call(user: object, route: str, case: Case, policy: Policy) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(user)  # type: ignore[arg-type]
    answer = getattr(client, ROUTES[route][0])(url_of(route, case, policy))
    if answer.streaming:
        b"".join(answer)


def test_a_leak_at_run_time_is_seen(cast: Cast, world: tuple[Case, Policy]) -> None:
    """Also one that no reading of the code would find."""
    model: Any = tenant_models()["Case"]
    with watched(cast.elsewhere) as seen:
        list(model.objects.filter(status="deferred"))
    assert len(seen.unscoped) == 1
    assert seen.foreign


def test_a_foreign_row_is_seen_even_by_its_key(cast: Cast, world: tuple[Case, Policy]) -> None:
    with watched(cast.elsewhere) as seen:
        Case.objects.get(pk=world[0].pk)
    assert seen.unscoped == []
    assert seen.foreign == [f"Case {world[0].pk} of site {cast.clinic.pk}"]


@pytest.mark.parametrize(
    ("sql", "leaks"),
    [
        ('SELECT 1 FROM "triage_case" WHERE "triage_case"."site_id" = %s', False),
        ('SELECT 1 FROM "triage_case" WHERE "triage_case"."status" = %s', True),
        ('SELECT COUNT(*) FROM "triage_review"', True),
        ('SELECT 1 FROM "triage_review" WHERE "triage_review"."case_id" IN (%s)', False),
        ('UPDATE "triage_policy" SET "status" = %s WHERE "triage_policy"."status" = %s', True),
        ('DELETE FROM "triage_draft" WHERE "triage_draft"."case_id" = %s', False),
        ('SELECT 1 FROM "auth_user"', False),
    ],
)
def test_what_counts_as_naming_the_site(sql: str, leaks: bool) -> None:
    assert is_unscoped(sql) == leaks


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    yield
    assert not connection.execute_wrappers, "watching ends with the block"
