"""What is taken along is what the page would have shown."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import make_case, make_policy
from tests.triage.conftest import Cast
from triage.choices import CaseStatus
from triage.models import AuditEvent, Case, Subject
from triage.selectors import export
from triage.services import queue, reviews

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")
ALIKE = ("Burns", "Burns", "Burns")
Taken = Callable[..., str]


@pytest.fixture
def taken(cast: Cast) -> Taken:
    def as_text(**wanted: str) -> str:
        client = Client()
        client.force_login(cast.clinician)
        answer = client.get(reverse("export"), wanted)
        assert answer.status_code == 200
        return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]

    return as_text


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def answer(case: Case, cast: Cast, label: str) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    reviews.submit_review(
        case=case,
        token=lease.token,
        user=cast.clinician,
        label=label,
        version=Case.objects.get(pk=case.pk).version,
    )


def test_a_resolved_case_comes_with_both_answers_and_its_probability(
    cast: Cast, taken: Taken
) -> None:
    policy = make_policy(cast.clinic)
    answer(make_case(cast.clinic, SPLIT), cast, "Cut")
    [row] = lines(taken(form="jsonl"))
    assert (row["label"], row["machine_label"], row["answers"]) == ("Cut", "Burns", 1)
    assert (row["label_probability"], row["policy"]) == (1.0, policy.version)


def test_an_open_audit_comes_without_the_machines_answer(cast: Cast, taken: Taken) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    case = make_case(cast.clinic, ALIKE)
    assert case.status == CaseStatus.AUDIT
    for form in ("csv", "jsonl", "label-studio"):
        text = taken(form=form)
        assert str(case.pk) in text
        assert "Burns" not in text


def test_a_spreadsheet_runs_nothing(cast: Cast, taken: Taken) -> None:
    make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    case.subject = Subject.objects.create(site=cast.clinic, pseudonym='=HYPERLINK("x")')
    case.save(update_fields=["subject"])
    [row] = csv.DictReader(io.StringIO(taken(form="csv")))
    assert row["subject"] == '\'=HYPERLINK("x")'


def test_label_studio_gets_an_annotation_and_a_prediction(cast: Cast, taken: Taken) -> None:
    make_policy(cast.clinic)
    answer(make_case(cast.clinic, SPLIT), cast, "Cut")
    [task] = json.loads(taken(form="label-studio"))
    assert task["annotations"][0]["result"][0]["value"] == {"choices": ["Cut"]}
    assert task["predictions"][0]["result"][0]["value"] == {"choices": ["Burns"]}


def test_no_case_makes_an_empty_list(taken: Taken) -> None:
    assert json.loads(taken(form="label-studio")) == []


def test_a_status_narrows_it_and_other_sites_stay_out(cast: Cast, taken: Taken) -> None:
    make_policy(cast.clinic)
    answered, _waiting = make_case(cast.clinic, SPLIT), make_case(cast.clinic, SPLIT)
    answer(answered, cast, "Cut")
    make_case(cast.elsewhere, SPLIT)
    assert [row["case"] for row in lines(taken(form="jsonl", status="resolved"))] == [
        str(answered.pk)
    ]
    assert len(lines(taken(form="jsonl"))) == 2


def test_every_case_comes_once_across_chunks(
    cast: Cast, taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "CHUNK", 2)
    made = {str(make_case(cast.clinic, SPLIT).pk) for _ in range(5)}
    Case.objects.update(created_at=Case.objects.earliest("created_at").created_at)
    rows = lines(taken(form="jsonl"))
    assert len(rows) == 5
    assert {row["case"] for row in rows} == made


def test_more_cases_cost_no_more_queries(cast: Cast, taken: Taken) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            taken(form="jsonl")
        return len(captured)

    make_policy(cast.clinic)
    make_case(cast.clinic, SPLIT)
    few = cost()
    for _ in range(5):
        make_case(cast.clinic, SPLIT)
    assert cost() == few


def test_the_history_keeps_who_took_it(cast: Cast, taken: Taken) -> None:
    taken(form="csv")
    event = AuditEvent.objects.get(verb="exported")
    assert event.actor == cast.clinician
    assert event.details["form"] == "csv"


def test_an_unknown_form_is_refused_and_nothing_is_recorded(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.clinician)
    assert client.get(reverse("export"), {"form": "xls"}).status_code == 302
    assert client.get(reverse("api-export"), {"form": "xls"}).status_code == 400
    assert not AuditEvent.objects.filter(verb="exported").exists()
