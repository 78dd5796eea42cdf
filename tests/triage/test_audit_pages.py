"""The auditor's pages: all of the history, none of the pictures, and whether it is intact."""

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inference.models import StageTrace
from tests.factories import make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from triage import guards
from triage.models import AuditEvent, Case, Subject
from triage.selectors.audit_log import Filters, found_events, harmless
from triage.services import queue, reviews
from triage.services.history import record

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


@pytest.fixture
def case(cast: Cast) -> Case:
    make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    subject = Subject.objects.create(site=cast.clinic, pseudonym="P-secret")
    Case.objects.filter(pk=case.pk).update(subject=subject)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case,
        token=lease.token,
        user=cast.clinician,
        label="Cut",
        version=case.version,
        comment="Mrs Miller's left heel",
    )
    return case


def signed_in(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


@pytest.fixture
def auditor(cast: Cast) -> Client:
    return signed_in(cast.auditor)


def test_an_auditor_lands_on_the_history(auditor: Client) -> None:
    assert auditor.get(reverse("start"))["Location"] == reverse("audit")


def test_the_history_says_who_did_what_with_which_hash(auditor: Client, case: Case) -> None:
    page = auditor.get(reverse("audit")).content.decode()
    event = AuditEvent.objects.get(verb="resolved")
    for words in ("resolved", "clinician", f"case {case.number}", event.hash[:8]):
        assert words in page


def test_another_sites_history_is_not_in_it(auditor: Client, cast: Cast) -> None:
    record("set readings", site=cast.elsewhere, actor=cast.outsider)
    assert "outsider" not in auditor.get(reverse("audit")).content.decode()


def test_what_did_this_person_see(auditor: Client, cast: Cast, case: Case) -> None:
    record("photo seen", site=cast.clinic, actor=cast.colleague, case=case, frame=2)
    record("photo seen", site=cast.clinic, actor=cast.clinician, case=case)
    found = found_events(cast.clinic, Filters(person="colleague", seen=True))
    assert [(one.verb, one.case_id) for one in found] == [("photo seen", case.pk)]
    asked = {"person": "colleague", "seen": "1"}
    page = auditor.get(reverse("audit"), asked).content.decode()
    assert page.count('class="log-who">colleague') == 1
    assert 'class="log-who">clinician' not in page
    assert "frame: 2" in page


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(verb="resolved"), {"resolved"}),
        (Filters(person="clinician"), {"resolved"}),
        (Filters(case="ffffffff"), set()),
        (Filters(case="nonsense"), set()),
        (Filters(since=timezone.now().date() + timedelta(days=2)), set()),
        (Filters(until=timezone.now().date() - timedelta(days=2)), set()),
        (Filters(until=timezone.now().date()), {"decided", "resolved"}),
        (Filters(since=timezone.now().date()), {"decided", "resolved"}),
    ],
)
def test_the_history_is_narrowed(
    cast: Cast, case: Case, filters: Filters, expected: set[str]
) -> None:
    assert {one.verb for one in found_events(cast.clinic, filters)} == expected


def test_a_case_is_found_by_its_number(cast: Cast, case: Case) -> None:
    make_case(cast.clinic, SPLIT)
    found = found_events(cast.clinic, Filters(case=case.number.upper()))
    assert {one.case_id for one in found} == {case.pk}


@pytest.mark.parametrize(
    "query",
    ["after=x", "since=yesterday", "case=%00", "after=99999999999999999999", "until=9999-12-31"],
)
def test_a_filter_that_cannot_be_read_is_left_out(auditor: Client, case: Case, query: str) -> None:
    response = auditor.get(f"{reverse('audit')}?{query}")
    assert response.status_code == 200
    assert "resolved" in response.content.decode()


def test_older_lines_follow_without_a_gap(auditor: Client, cast: Cast) -> None:
    now = timezone.now()
    events = [record("skipped", site=cast.clinic, actor=cast.clinician) for _ in range(60)]
    rewrite(AuditEvent.objects.filter(site=cast.clinic), created_at=now)
    first = auditor.get(reverse("audit")).context["page"]
    then = auditor.get(reverse("audit"), {"after": first.after}).context["page"]
    seen = [row.event.pk for row in (*first.rows, *then.rows)]
    assert seen == [event.pk for event in reversed(events)]
    assert then.after is None


def test_a_long_history_costs_the_same_few_queries(
    auditor: Client, cast: Cast, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for _ in range(50):
        record("skipped", site=cast.clinic, actor=cast.clinician)
    with django_assert_max_num_queries(8):  # type: ignore[attr-defined]
        auditor.get(reverse("audit"))


def test_the_button_says_that_all_is_intact_and_is_written_down(
    auditor: Client, cast: Cast, case: Case
) -> None:
    page = auditor.post(reverse("audit-verify")).content.decode()
    assert "The history is intact: 2 lines" in page
    event = AuditEvent.objects.get(verb="history verified")
    assert (event.actor, event.details) == (cast.auditor, {"events": 2, "found": []})


def test_the_button_says_what_is_not_intact(auditor: Client, case: Case) -> None:
    with guards.lifted():
        AuditEvent.objects.filter(verb="decided").update(verb="resolved")
    page = auditor.post(reverse("audit-verify")).content.decode()
    assert "The history is not intact." in page
    assert f"case/{case.pk.hex}" in page


def test_the_record_of_a_case_names_hashes_and_no_subject(auditor: Client, case: Case) -> None:
    page = auditor.get(reverse("audit-case", args=[case.pk])).content.decode()
    assert case.sha256 in page
    assert "alpha thinks Burns" in page
    assert AuditEvent.objects.get(verb="resolved").hash in page
    for secret in ("P-secret", "Miller", "<img", reverse("photo", args=[case.pk])):
        assert secret not in page
    body = auditor.get(reverse("api-audit-case", args=[case.pk]))
    assert body.json()["sha256"] == case.sha256
    assert "P-secret" not in body.content.decode()
    assert "Miller" not in body.content.decode()


def test_the_record_shows_what_came_too_late_as_such(auditor: Client, case: Case) -> None:
    StageTrace.objects.filter(run__observation__case=case, member="gamma").update(late=True)
    page = auditor.get(reverse("audit-case", args=[case.pk])).content.decode()
    assert "gamma thinks" in page and page.count("came too late, not counted") == 3
    said = auditor.get(reverse("api-audit-case", args=[case.pk])).json()["said"]
    assert {one["member"]: one["late"] for one in said} == {
        "alpha": False,
        "beta": False,
        "gamma": True,
    }


@pytest.mark.parametrize("route", ["photo", "thumbnail", "clip", "case"])
def test_an_auditor_sees_no_picture(auditor: Client, case: Case, route: str) -> None:
    assert auditor.get(reverse(route, args=[case.pk])).status_code == 403


@pytest.mark.parametrize("route", ["audit-export", "api-audit-export"])
def test_an_export_is_whole_and_written_down(auditor: Client, case: Case, route: str) -> None:
    response = auditor.get(reverse(route))
    lines = b"".join(response.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    rows = [json.loads(line) for line in lines]
    assert [row["verb"] for row in rows] == ["decided", "resolved"]
    assert rows[1]["previous"] == rows[0]["hash"]
    assert response["Cache-Control"] == "private, no-store"
    assert AuditEvent.objects.filter(verb="history exported").count() == 1


def test_a_spreadsheet_computes_nothing_of_an_export(
    auditor: Client, cast: Cast, case: Case
) -> None:
    cast.clinician.username = "=cmd|'/c calc'!A0"
    cast.clinician.save()
    response = auditor.get(reverse("audit-export"), {"form": "csv"})
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[1]["who"] == "'=cmd|'/c calc'!A0"
    assert not any(
        str(cell).startswith(("=", "+", "-", "@")) for row in rows for cell in row.values()
    )


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_what_begins_like_a_formula_is_quoted(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert harmless(f"a{cell}") == f"a{cell}"


def test_the_api_lists_and_verifies(auditor: Client, cast: Cast, case: Case) -> None:
    body = auditor.get(reverse("api-audit"), {"verb": "resolved"}).json()
    assert [(row["verb"], row["actor"]) for row in body["results"]] == [("resolved", "clinician")]
    assert auditor.post(reverse("api-audit-verify")).json() == {
        "intact": True,
        "events": 2,
        "chains": 2,
        "findings": [],
    }


def test_every_look_at_a_picture_is_a_line_with_who_and_what(
    cast: Cast, case: Case, tmp_path: object, settings: object
) -> None:
    client = signed_in(cast.clinician)
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]
    for name in ("original", "shown", "thumbnail"):
        (tmp_path / name).write_bytes(b"jpeg")  # type: ignore[operator]
    for route in ("photo", "photo", "thumbnail", "thumbnail"):
        assert client.get(reverse(route, args=[case.pk])).status_code == 200
    looks = AuditEvent.objects.filter(case=case, actor=cast.clinician, verb__endswith="seen")
    assert sorted(looks.values_list("verb", flat=True)) == [
        "photo seen",
        "photo seen",
        "thumbnail seen",
    ]


def test_no_address_and_no_log_names_a_subject(
    cast: Cast, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    client = signed_in(cast.clinician)
    with caplog.at_level("DEBUG"):
        page = client.get(reverse("case", args=[case.pk])).content.decode()
        client.get(reverse("cases"))
    assert "P-secret" in page
    assert not any("P-secret" in part for part in page.split('"')[1::2] if part.startswith("/"))
    written = [line for line in caplog.messages if "SELECT" not in line and "INSERT" not in line]
    assert not any("P-secret" in line for line in written)
