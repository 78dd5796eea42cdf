"""Whatever is sent to the API, what comes back is an answer and never a breakdown."""

import json
from collections import Counter
from typing import Any

import pytest
import schemathesis
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core import NotSet
from schemathesis.core.result import Ok

from tests.factories import make_case, make_policy, make_site, make_user
from triage.choices import PolicyStatus, Role
from triage.models import Membership, Site

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
REQUESTS = 1500
SPLIT = ("Burns", "Burns", "Cut")


@pytest.fixture
def site(db: None) -> Site:
    return make_site("Clinic")


@pytest.fixture
def there(site: Site) -> dict[str, object]:
    """Keys of what there is, by the beginning of the path that asks for it."""
    make_policy(site)
    draft = make_policy(site, threshold=0.1, status=PolicyStatus.DRAFT)
    cases = [make_case(site, SPLIT) for _ in range(3)]
    return {"/api/v1/cases/": cases[0].pk, "/api/v1/policies/": draft.pk}


@pytest.fixture
def everybody(site: Site) -> Client:
    """Somebody in every role."""
    person = make_user(site, Role.CLINICIAN, "everybody")
    for role in (Role.ADMINISTRATOR, Role.AUDITOR):
        Membership.objects.create(user=person, site=site, role=role)
    client = Client(raise_request_exception=False)
    client.force_login(person)
    return client


def send(client: Client, case: Any) -> int:
    """What schemathesis made up, sent by Django's own client; the status of the answer."""
    body = "" if isinstance(case.body, NotSet) else json.dumps(case.body, default=repr)
    answer = client.generic(
        case.method,
        case.formatted_path,
        data=body,
        content_type=case.media_type or "application/json",
        query_params={key: one for key, one in (case.query or {}).items() if one is not None},
    )
    return answer.status_code


def test_no_request_that_the_schema_allows_breaks_anything(
    everybody: Client, there: dict[str, object]
) -> None:
    document = everybody.get(reverse("api-schema"), {"format": "json"}).json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    statuses: Counter[int] = Counter()
    broken: list[str] = []

    def ask(case: Any) -> None:
        found = [key for beginning, key in there.items() if case.path.startswith(beginning)]
        if found and "pk" in case.path_parameters and statuses.total() % 2:
            case.path_parameters["pk"] = found[0]
        status = send(everybody, case)
        statuses[status] += 1
        if status >= 500:
            broken.append(f"{case.method} {case.formatted_path} {case.query} {case.body}: {status}")

    examples = settings(
        max_examples=-(-REQUESTS // len(operations)),
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for operation in operations:
        examples(given(case=operation.as_strategy())(ask))()
    assert not broken
    assert statuses.total() >= REQUESTS
    assert statuses[200] > REQUESTS / 10, f"most were turned away at the door: {statuses}"
