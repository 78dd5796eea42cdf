"""Devices send, people answer; every error says what to do."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from inference.models import Observation
from tests.factories import make_case, make_policy
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.models import AuditEvent, Case, DeviceToken
from triage.services.tokens import issue_token

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


@pytest.fixture(autouse=True)
def no_members(tmp_path: Path, settings: object) -> None:
    settings.ALARM_MEMBERS = tmp_path / "none.toml"  # type: ignore[attr-defined]
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]


@pytest.fixture
def device(cast: Cast) -> Client:
    token = issue_token(site=cast.clinic, name="camera")
    return Client(headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def clinician(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.clinician)
    return client


def send(client: Client, data: bytes = b"", **fields: str) -> object:
    upload = SimpleUploadedFile("evil<name>.exe", data or photo())
    return client.post("/api/v1/observations", {"file": upload, **fields})


def test_a_device_sends_and_gets_a_receipt(cast: Cast, device: Client) -> None:
    response = send(device, subject="P-1")
    assert response.status_code == 201  # type: ignore[attr-defined]
    receipt = response.json()  # type: ignore[attr-defined]
    case = Case.objects.get(pk=receipt["case"])
    assert case.site == cast.clinic
    assert set(receipt) == {"id", "case", "status", "received_at"}
    again = device.get(f"/api/v1/observations/{receipt['id']}")
    assert again.json()["case"] == receipt["case"]


def test_sending_twice_is_one_observation(device: Client) -> None:
    first, second = send(device), send(device)
    assert (first.status_code, second.status_code) == (201, 200)  # type: ignore[attr-defined]
    assert first.json()["id"] == second.json()["id"]  # type: ignore[attr-defined]
    assert Observation.objects.count() == 1


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer", "Bearer a b", "Bearer \xff"])
def test_a_wrong_token_is_refused(header: str) -> None:
    response = send(Client(headers={"Authorization": header}))
    assert response.status_code == 401  # type: ignore[attr-defined]
    assert "Ask your administrator" in response.json()["detail"]  # type: ignore[attr-defined]
    assert not Observation.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
)
def test_a_token_that_has_ended_is_refused(device: Client, change: dict[str, object]) -> None:
    DeviceToken.objects.update(**change)
    assert send(device).status_code == 401  # type: ignore[attr-defined]


def test_a_token_is_stored_as_a_digest_alone(cast: Cast) -> None:
    token = issue_token(site=cast.clinic, name="camera")
    row = DeviceToken.objects.get()
    assert token not in str(vars(row))
    assert len(row.digest) == 64


@pytest.mark.parametrize(
    ("data", "code"), [(b"hello", "not_an_image"), (photo(side=256)[:-40], "truncated")]
)
def test_what_is_no_photo_is_refused_in_words(device: Client, data: bytes, code: str) -> None:
    response = send(device, data)
    assert response.status_code == 422  # type: ignore[attr-defined]
    assert response.json()["code"] == code  # type: ignore[attr-defined]
    assert "Send" in response.json()["detail"]  # type: ignore[attr-defined]


def test_a_call_without_a_file_says_so(device: Client) -> None:
    response = device.post("/api/v1/observations", {})
    assert response.status_code == 400
    assert "file" in response.json()["detail"]


@pytest.mark.parametrize("path", ["cases", "policies"])
def test_a_device_cannot_read(device: Client, path: str) -> None:
    assert device.get(f"/api/v1/{path}").status_code == 403


def test_a_device_cannot_see_another_sites_receipt(cast: Cast, device: Client) -> None:
    other = make_case(cast.elsewhere)
    assert device.get(f"/api/v1/observations/{other.observation_id}").status_code == 404


def test_a_clinician_claims_and_answers(cast: Cast, clinician: Client) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = clinician.post("/api/v1/cases/next/claim").json()
    assert lease["case"] == str(case.pk)
    answer = {"token": lease["token"], "version": lease["version"], "label": "Cut"}
    response = clinician.post(f"/api/v1/cases/{case.pk}/reviews", answer, "application/json")
    assert (response.status_code, response.json()["status"]) == (201, "resolved")
    again = clinician.post(f"/api/v1/cases/{case.pk}/undo").json()
    assert again["token"] != lease["token"]


def test_an_empty_queue_is_no_error(clinician: Client, cast: Cast) -> None:
    assert clinician.post("/api/v1/cases/next/claim").status_code == 204


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [({"label": "Papercut"}, 422, "label"), ({"version": 1}, 409, "changed")],
)
def test_a_bad_answer_says_what_to_do(
    cast: Cast, clinician: Client, change: dict[str, object], status: int, code: str
) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = clinician.post("/api/v1/cases/next/claim").json()
    answer = {"token": lease["token"], "version": lease["version"], "label": "Cut"} | change
    response = clinician.post(f"/api/v1/cases/{case.pk}/reviews", answer, "application/json")
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_case_has_its_answers_scores_and_decision(cast: Cast, clinician: Client) -> None:
    make_policy(cast.clinic)
    case = make_case(cast.clinic, SPLIT)
    body = clinician.get(f"/api/v1/cases/{case.pk}").json()
    assert [row["label"] for row in body["hypotheses"]] == ["Burns", "Cut"]
    assert body["decision"]["reasons"][0]["code"] == "above_threshold"
    assert body["scores"]["vote_entropy"] == pytest.approx(0.6365, abs=1e-4)
    assert body["scores"]["s1"] is not None


def test_an_audit_is_answered_blind(cast: Cast, clinician: Client) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    case = make_case(cast.clinic)
    body = clinician.get(f"/api/v1/cases/{case.pk}").json()
    assert body["blind"] is True
    assert (body["label"], body["hypotheses"], body["decision"]) == ("", [], None)
    assert body["scores"] == {}


def test_cases_are_listed_newest_first_and_of_ones_own_site(
    cast: Cast, clinician: Client, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    mine = [make_case(cast.clinic, SPLIT) for _ in range(3)]
    make_case(cast.elsewhere, SPLIT)
    with django_assert_max_num_queries(6):  # type: ignore[attr-defined]
        body = clinician.get("/api/v1/cases").json()
    assert [row["id"] for row in body["results"]] == [str(case.pk) for case in reversed(mine)]


def test_an_administrator_publishes(cast: Cast) -> None:
    draft = make_policy(cast.clinic, status="draft")
    client = Client()
    client.force_login(cast.administrator)
    assert client.post(f"/api/v1/policies/{draft.pk}/publish").json()["status"] == "active"
    assert client.post(f"/api/v1/policies/{draft.pk}/publish").status_code == 409
    assert AuditEvent.objects.filter(verb="policy published").count() == 1


def test_the_api_describes_itself(client: Client) -> None:
    response = client.get("/api/schema/", headers={"Accept": "application/json"})
    assert response.status_code == 200
    assert b"/api/v1/observations" in response.content


def test_an_interval_is_written_in_one_room() -> None:
    rooms = (Path(__file__).parents[2] / "triage/api").glob("*.py")
    found = [one.name for one in rooms if "    low = serializers.FloatField()" in one.read_text()]
    assert found == ["shares.py"]


def test_what_has_an_interval_keeps_its_name_in_the_schema(client: Client) -> None:
    schema = client.get("/api/schema/?format=json").json()["components"]["schemas"]
    for name in ("Share", "Rate", "DomainShare", "Agreement", "Bin", "ReadersAgreement", "Watch"):
        assert {"low", "high"} <= set(schema[f"{name}Out"]["properties"]), name
