"""What people see, and what they do not."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inference.drawings import samples
from tests.factories import make_case, make_policy
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.choices import CaseStatus
from triage.models import AuditEvent, Case
from triage.services import queue

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")
Signed = Callable[[str], Client]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: object) -> None:
    settings.ALARM_MEMBERS = tmp_path / "none.toml"  # type: ignore[attr-defined]
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]


@pytest.fixture
def signed(cast: Cast) -> Signed:
    def as_person(name: str) -> Client:
        client = Client()
        client.force_login(getattr(cast, name))
        return client

    return as_person


@pytest.mark.parametrize(
    ("name", "landing"),
    [("clinician", "queue"), ("caregiver", "household"), ("administrator", "policies")],
)
def test_everybody_lands_on_their_own_page(signed: Signed, name: str, landing: str) -> None:
    assert signed(name).get("/").headers["Location"] == reverse(landing)


def test_the_case_page_shows_what_the_ensemble_said(cast: Cast, signed: Signed) -> None:
    policy = make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    html = signed("clinician").get(reverse("case", args=[case.pk])).content.decode()
    for words in ("alpha thinks Burns", "gamma thinks Cut", f"version {policy.version}"):
        assert words in html
    assert "less sure than the policy allows" in html


def test_an_audits_page_holds_nothing_of_the_machines_answer(cast: Cast, signed: Signed) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    case = make_case(cast.clinic)
    client = signed("clinician")
    secrets = (b"thinks", b"All 3 members", b"low uncertainty", b"held by alpha")
    before = [client.get(reverse("queue")), client.get(reverse("cases"))]
    before += [client.get(reverse("case", args=[case.pk]))]
    client.post(reverse("claim", args=[case.pk]))
    before += [client.get(reverse(name, args=[case.pk])) for name in ("case", "case-panel")]
    for page in before:
        assert page.status_code == 200
        for secret in secrets:
            assert secret not in page.content
    case.refresh_from_db()
    lease = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert lease
    answer = {"label": "Cut", "token": str(lease.token), "version": case.version}
    client.post(reverse("review", args=[case.pk]), answer)
    shown = client.get(reverse("case", args=[case.pk])).content
    assert [secret for secret in secrets if secret in shown] == list(secrets)


def test_a_caregiver_gets_a_plain_summary_without_traces_or_scores(
    cast: Cast, signed: Signed
) -> None:
    case = make_case(cast.household, ("fall", "fall", "pet"))
    html = signed("caregiver").get(reverse("case", args=[case.pk])).content.decode()
    assert "alpha" not in html
    assert "entropy" not in html.lower()
    assert "somebody has fallen" in html


def test_no_list_tells_a_caregiver_of_members_or_stages(cast: Cast, signed: Signed) -> None:
    make_case(cast.household, ("fall", "fall", None))
    for name in ("household", "cases"):
        html = signed("caregiver").get(reverse(name)).content.decode()
        assert "gamma" not in html
        assert "Member" not in html
        assert "Reasoning" not in html


def test_an_untrained_household_says_so(signed: Signed) -> None:
    html = signed("caregiver").get(reverse("household")).content.decode()
    assert "not trained" in html or "not been trained" in html


def test_a_refused_answer_keeps_what_was_typed(cast: Cast, signed: Signed) -> None:
    case = make_case(cast.clinic, SPLIT)
    client = signed("clinician")
    client.post(reverse("claim", args=[case.pk]))
    lease = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert lease
    answer = {"label": "Cut", "comment": "two days old", "token": str(lease.token), "version": 1}
    response = client.post(reverse("review", args=[case.pk]), answer)
    assert response.status_code == 409
    assert "two days old" in response.content.decode()
    assert "has changed since you opened it" in response.content.decode()


def test_submit_and_next_goes_on_to_the_next_case(cast: Cast, signed: Signed) -> None:
    make_case(cast.clinic, SPLIT), make_case(cast.clinic, SPLIT)
    client = signed("clinician")
    first = client.post(reverse("claim-next")).headers["Content-Location"]
    case = Case.objects.get(status=CaseStatus.IN_REVIEW)
    lease = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert lease
    answer = {"label": "Cut", "token": str(lease.token), "version": case.version, "next": "1"}
    response = client.post(reverse("review", args=[case.pk]), answer)
    second = Case.objects.get(status=CaseStatus.IN_REVIEW)
    address = reverse("case", args=[second.pk]) + "?in=queue"
    assert response.status_code == 200
    assert first != address == response.headers["Content-Location"]
    html = response.content.decode()
    assert f'data-address="{address}"' in html, "a reload asks for the case"
    assert reverse("review", args=[second.pk]) in html
    assert reverse("undo", args=[case.pk]) in html, "the answer before can be taken back"


def test_an_answer_is_taken_back_from_the_page_of_the_next_case(cast: Cast, signed: Signed) -> None:
    for _ in range(2):
        make_case(cast.clinic, SPLIT)
    client = signed("clinician")
    client.post(reverse("claim-next"))
    first = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert first
    answer = {"label": "Cut", "token": str(first.token), "version": first.case.version, "next": "1"}
    client.post(reverse("review", args=[first.case_id]), answer)
    second = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert second and second.case_id != first.case_id
    page = client.post(reverse("undo", args=[first.case_id]), follow=True)
    assert b"your answer was taken back" in page.content.lower()
    held = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert held and held.case_id == first.case_id
    assert Case.objects.get(pk=second.case_id).status == CaseStatus.DEFERRED


def test_the_next_case_costs_few_queries(cast: Cast, signed: Signed) -> None:
    make_policy(cast.clinic)
    for _ in range(3):
        make_case(cast.clinic, SPLIT)
    client = signed("clinician")
    client.post(reverse("claim-next"))
    lease = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert lease
    answer = {
        "label": "Cut",
        "token": str(lease.token),
        "version": lease.case.version,
        "next": "1",
    }
    with CaptureQueriesContext(connection) as captured:
        client.post(reverse("review", args=[lease.case_id]), answer)
    assert len(captured) <= 44


@pytest.mark.parametrize("way", ["skip", "pass", "pass to a colleague", "retake"])
def test_whatever_is_done_with_a_case_the_next_one_comes(
    cast: Cast, signed: Signed, way: str
) -> None:
    make_case(cast.clinic, SPLIT), make_case(cast.clinic, SPLIT)
    client = signed("clinician")
    client.post(reverse("claim-next"))
    lease = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert lease
    sent = {
        "skip": {"reason": "time"},
        "pass": {},
        "pass to a colleague": {"to": cast.colleague.pk},
        "retake": {"reason": "dark", "token": lease.token, "version": lease.case.version},
    }[way]
    answer = client.post(reverse(way.split()[0], args=[lease.case_id]), sent)
    following = Case.objects.get(status=CaseStatus.IN_REVIEW)
    assert following != lease.case
    address = reverse("case", args=[following.pk]) + "?in=queue"
    assert answer.headers["Content-Location"] == address


def test_the_help_names_every_key_that_works(cast: Cast, signed: Signed) -> None:
    """A key of a page that the list does not name cannot be found, nor given another one."""
    for name, place, start, labels in (
        ("clinician", cast.clinic, "queue", SPLIT),
        ("caregiver", cast.household, "household", ("fall", "pet", "pet")),
    ):
        case, client = make_case(place, labels), signed(name)
        if name == "clinician":
            client.post(reverse("claim", args=[case.pk]))
        pages = [reverse(start), reverse("cases"), reverse("case", args=[case.pk])]
        html = "".join(client.get(page).content.decode() for page in pages)
        works = set(re.findall('data-key="(.)"', html)) - set("0123456789")
        assert works, name
        assert works <= set(re.findall('data-shortcut="(.)"', html)), name
        assert works >= set("v+-k"), name
        assert "<dt><kbd>1</kbd> to" in html and "<dt><kbd>0</kbd>" in html, name


def test_the_help_knows_who_asks(cast: Cast, signed: Signed) -> None:
    assert "choose a label" in signed("clinician").get(reverse("cases")).content.decode()
    assert "choose a label" not in signed("caregiver").get(reverse("cases")).content.decode()
    german = {"Accept-Language": "de"}
    html = signed("clinician").get(reverse("cases"), headers=german).content.decode()
    assert "choose a label" not in html


@pytest.mark.parametrize(
    ("name", "site"), [("administrator", "clinic"), ("caregiver", "household")]
)
def test_a_site_goes_by_its_own_clock(cast: Cast, signed: Signed, name: str, site: str) -> None:
    client, place = signed(name), getattr(cast, site)
    client.post(reverse("time-zone"), {"zone": "Asia/Kathmandu"})
    place.refresh_from_db()
    assert place.time_zone == "Asia/Kathmandu"
    assert AuditEvent.objects.filter(site=place, verb="set the time zone").count() == 1
    for wrong in ("", "Mars/Olympus", "../etc/passwd", "x" * 300):
        client.post(reverse("time-zone"), {"zone": wrong})
    place.refresh_from_db()
    assert place.time_zone == "Asia/Kathmandu"


def test_an_empty_queue_is_told_apart_from_one_that_is_all_taken(
    cast: Cast, signed: Signed
) -> None:
    client = signed("clinician")
    nothing = client.post(reverse("claim-next"), follow=True).content.decode()
    assert "Nothing waits" in nothing
    make_case(cast.clinic, SPLIT)
    queue.claim_next(site=cast.clinic, user=cast.colleague)
    taken = client.post(reverse("claim-next"), follow=True).content.decode()
    assert "held by others" in taken


def test_looking_at_a_photo_is_written_down(cast: Cast, signed: Signed) -> None:
    case = make_case(cast.clinic, SPLIT)
    path = Path(settings.MEDIA_ROOT) / "shown"
    path.write_bytes(photo())
    response = signed("clinician").get(reverse("photo", args=[case.pk]))
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.content == photo()
    assert AuditEvent.objects.filter(verb="photo seen", case=case, actor=cast.clinician).exists()


def test_uploading_several_files_says_for_each_what_became_of_it(signed: Signed) -> None:
    upload = [
        SimpleUploadedFile("good.jpg", photo()),
        SimpleUploadedFile("bad.jpg", b"<html>"),
    ]
    html = signed("clinician").post(reverse("upload"), {"files": upload}).content.decode()
    case = Case.objects.get()
    assert reverse("case", args=[case.pk]) in html
    assert "is no photo or clip that we can read" in html


def test_uploading_nothing_says_what_to_do(signed: Signed) -> None:
    response = signed("clinician").post(reverse("upload"), {})
    assert response.status_code == 422
    assert "Choose at least one photo" in response.content.decode()


def test_a_drawn_sample_is_marked_as_a_drawing(signed: Signed) -> None:
    name = samples("wound")[0].name
    client = signed("clinician")
    client.post(reverse("upload"), {"sample": name})
    case = Case.objects.get()
    assert case.observation.drawn
    assert "drawing" in client.get(reverse("case", args=[case.pk])).content.decode().lower()


def test_what_a_model_writes_is_shown_as_text(cast: Cast, signed: Signed) -> None:
    from inference.models import StageTrace
    from inference.services.runs import finish_run

    case = make_case(cast.clinic, SPLIT, finish=False)
    attack = {"reasoning": "<script>alert(1)</script>", "label": "Burns"}
    StageTrace.objects.filter(stage="analysis").update(fields=attack)
    finish_run(run_id=case.observation.runs.get().id)
    html = signed("clinician").get(reverse("case", args=[case.pk])).content.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_pages_allow_no_inline_script(signed: Signed) -> None:
    response = signed("clinician").get(reverse("queue"))
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_all_that_wait_are_listed_as_the_queue_goes(cast: Cast, signed: Signed) -> None:
    """Audits and disputes too, page after page, also while one of them is taken."""
    make_policy(cast.clinic)
    assert make_case(cast.clinic).status == CaseStatus.ACCEPTED
    waiting = [make_case(cast.clinic, SPLIT) for _ in range(5)]
    now = timezone.now()
    for case, status, hours in zip(
        waiting,
        ("deferred", "audit", "disputed", "deferred", "audit"),
        (3, 1, 2, 0, 2),  # two of them due at the same time
        strict=True,
    ):
        due = now + timedelta(hours=hours)
        Case.objects.filter(pk=case.pk).update(status=status, due_at=due, waiting_due_at=due)
    client = signed("clinician")
    assert "?status=waiting" not in client.get(reverse("queue")).content.decode()
    with patch("triage.selectors.queue.SHOWN", 2):
        assert "?status=waiting" in client.get(reverse("queue")).content.decode()
        seen, after = [], ""
        for _ in range(3):
            answer = client.get(reverse("cases"), {"status": "waiting", "after": after})
            page = answer.context["page"]
            seen += [row.case.pk for row in page.rows]
            after = page.next
            if len(seen) == 2:
                queue.claim(case=page.rows[-1].case, user=cast.colleague)
    assert after == "" and "the most urgent first" in answer.content.decode()
    assert seen == [waiting[number].pk for number in (3, 1, 2, 4, 0)]


def test_a_list_of_cases_can_be_narrowed_and_turned(cast: Cast, signed: Signed) -> None:
    make_policy(cast.clinic)
    accepted = make_case(cast.clinic)
    deferred = make_case(cast.clinic, SPLIT)
    client = signed("clinician")
    for narrowed, shown, left_out in (
        ({"status": "deferred"}, deferred, accepted),
        ({"status": "accepted"}, accepted, deferred),
        ({"q": deferred.number}, deferred, accepted),
        ({"q": "Burns"}, accepted, deferred),
        ({"q": str(accepted.pk), "status": "accepted"}, accepted, deferred),
    ):
        html = client.get(reverse("cases"), narrowed).content.decode()
        assert reverse("case", args=[shown.pk]) in html, narrowed
        assert reverse("case", args=[left_out.pk]) not in html, narrowed
    with patch("triage.selectors.queue.SHOWN", 1):
        first = client.get(reverse("cases"))
        page = first.context["page"]
        second = client.get(reverse("cases"), {"after": page.next}).context["page"]
    assert page.rows[0].case != second.rows[0].case
    assert client.get(reverse("cases"), {"after": "no-uuid"}).status_code == 200


def test_an_administrator_sees_the_policy_in_force_and_its_replay(
    cast: Cast, signed: Signed
) -> None:
    policy = make_policy(cast.clinic)
    client = signed("administrator")
    assert f"{policy.version}" in client.get(reverse("policies")).content.decode()
    assert client.get(reverse("policy", args=[policy.pk])).status_code == 200
    refused = client.post(reverse("refit"), follow=True).content.decode()
    assert "There are 0 expert labels" in refused


def test_signing_in_never_offers_accounts_outside_the_demonstration() -> None:
    assert Client().get(reverse("sign-in")).context["demo_accounts"] == []


def test_until_the_decision_only_progress_is_shown(cast: Cast, signed: Signed) -> None:
    case = make_case(cast.clinic, SPLIT, finish=False)
    html = signed("clinician").get(reverse("case", args=[case.pk])).content.decode()
    assert "Answered." in html
    assert "thinks" not in html
