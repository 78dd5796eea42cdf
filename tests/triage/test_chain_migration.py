"""A history from before the chains is chained as it stands, by the migration itself."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from tests.factories import make_case, make_site, make_user
from triage import guards
from triage.models import AuditEvent, ChainHead
from triage.selectors.chains import verify

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def migrate_to(name: str) -> MigrationExecutor:
    executor = MigrationExecutor(connection)
    executor.migrate([("triage", name)])
    return MigrationExecutor(connection)


def test_what_was_there_before_is_chained_in_the_order_of_its_writing() -> None:
    names = sorted(
        name for app, name in MigrationExecutor(connection).loader.graph.nodes if app == "triage"
    )
    chained = next(name for name in names if name.endswith("_audit_chain"))
    before = names[names.index(chained) - 1]
    site = make_site()
    case, person = make_case(site, finish=False), make_user(site)
    quiet = make_site()
    with guards.lifted():
        ChainHead.objects.all().delete()
    guards.take_down()
    old = migrate_to(before).loader.project_state([("triage", before)]).apps
    event = old.get_model("triage", "AuditEvent")
    for verb, at in (("opened", case.pk), ("photo seen", case.pk), ("policy proposed", None)):
        event.objects.create(
            site_id=site.pk, case_id=at, actor_id=person.pk, verb=verb, details={"share": 1e-7}
        )
    migrate_to(names[-1])
    guards.put_up()
    rows = AuditEvent.objects.filter(case=case).order_by("position")
    assert [(row.position, row.verb) for row in rows] == [(1, "opened"), (2, "photo seen")]
    assert AuditEvent.objects.get(case=None).position == 1
    assert ChainHead.objects.get(site=quiet, case=None).length == 0
    found = verify()
    assert (found.events, found.findings) == (3, [])
    assert rows[0].created_at < timezone.now()
