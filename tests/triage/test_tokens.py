"""Cameras' tokens end, are revoked and counted; a repeated request has one effect."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from inference.media import sanitise
from inference.models import Observation
from tests.factories import make_camera, make_case, make_site
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.errors import Conflict, TooMany
from triage.management.commands.sweep import sweep
from triage.models import AuditEvent, Case, DeviceToken, IdempotencyKey
from triage.services import tokens
from triage.services.tokens import find_token, issue_token, renew_token, revoke_token

pytestmark = pytest.mark.django_db
URL = "/api/v1/observations"


@pytest.fixture(autouse=True)
def no_members(tmp_path: Path, settings: object) -> None:
    settings.ALARM_MEMBERS = tmp_path / "none.toml"  # type: ignore[attr-defined]
    settings.MEDIA_ROOT = tmp_path  # type: ignore[attr-defined]


def device_of(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def device(cast: Cast) -> Client:
    return device_of(issue_token(site=cast.clinic, name="camera"))


@pytest.fixture
def administrator(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.administrator)
    return client


def send(client: Client, data: bytes = b"", key: str | None = None, **fields: str):  # type: ignore[no-untyped-def]
    upload = SimpleUploadedFile("a.jpg", data or photo())
    headers = {"Idempotency-Key": key} if key is not None else None
    return client.post(URL, {"file": upload, **fields}, headers=headers)


def test_a_token_ends_by_itself(cast: Cast, settings: object) -> None:
    settings.ALARM_TOKEN_DAYS = 30  # type: ignore[attr-defined]
    token = issue_token(site=cast.clinic, name="door")
    camera = DeviceToken.objects.get()
    assert camera.expires_at is not None
    left = camera.expires_at - timezone.now()
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    DeviceToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert send(device_of(token)).status_code == 401
    fresh = renew_token(camera=camera)
    assert find_token(fresh) == camera
    assert send(device_of(fresh)).status_code == 201


def test_a_revoked_token_is_refused_at_once_and_once(cast: Cast, device: Client) -> None:
    camera = DeviceToken.objects.get()
    assert send(device).status_code == 201
    revoke_token(camera=camera, actor=cast.administrator)
    assert send(device, photo((22, 90, 60))).status_code == 401
    with pytest.raises(Conflict, match="already"):
        revoke_token(camera=camera, actor=cast.administrator)
    assert AuditEvent.objects.filter(verb="token revoked", actor=cast.administrator).count() == 1


def test_a_token_may_send_and_read_its_receipts_and_nothing_else(
    cast: Cast, device: Client, settings: Settings
) -> None:
    """Every route of the API but these two, with every method, and all pages."""
    settings.ALARM_TOKEN_CALLS = 100_000
    from tests.triage.test_access import ROUTES

    case = make_case(cast.clinic)
    for route in ROUTES:
        if route in ("api-observations", "api-receipt", "sign-out"):
            continue
        for args in ([], [case.pk], [1], [case.pk, 0]):
            try:
                url = reverse(route, args=args)
            except Exception:
                continue
            for method in ("get", "post", "put", "patch", "delete"):
                answer = getattr(device, method)(url)
                assert answer.status_code in (302, 403, 405), (route, method)


def test_the_last_use_is_known(cast: Cast, device: Client) -> None:
    assert DeviceToken.objects.get().used_at is None
    send(device)
    used = DeviceToken.objects.get().used_at
    assert used is not None
    assert timezone.now() - used < timedelta(seconds=60)


def test_who_sends_too_fast_is_told_when_to_come_again(
    cast: Cast, device: Client, settings: object
) -> None:
    settings.ALARM_TOKEN_CALLS = 3  # type: ignore[attr-defined]
    other = device_of(issue_token(site=cast.clinic, name="other"))
    codes = [device.get(f"{URL}/{make_case(cast.clinic).pk}").status_code for _ in range(3)]
    assert codes == [404] * 3
    late = send(device)
    assert (late.status_code, late.json()["code"]) == (429, "throttled")
    assert 1 <= int(late["Retry-After"]) <= 60
    assert not Observation.objects.filter(case__camera__name="camera").exists()
    assert send(other).status_code == 201, "another camera is not concerned"
    then = timezone.now() - timedelta(seconds=61)
    DeviceToken.objects.filter(name="camera").update(window_at=then)
    assert send(device, photo((22, 90, 60))).status_code == 201


def test_a_device_waits_while_the_ensemble_is_behind_and_people_do_not(
    cast: Cast, device: Client, settings: object
) -> None:
    settings.ALARM_BACKLOG = 2  # type: ignore[attr-defined]
    for _ in range(3):
        make_case(cast.elsewhere, finish=False)
    make_case(cast.clinic, finish=False)
    assert send(device).status_code == 201, "it is the second that waits for the ensemble"
    late = send(device, photo((88, 90, 60)))
    assert (late.status_code, late.json()["code"], late["Retry-After"]) == (429, "backlog", "60")
    person = Client()
    person.force_login(cast.clinician)
    assert send(person, photo((88, 90, 60))).status_code == 201


def test_a_full_disk_is_said_to_a_device(cast: Cast, device: Client) -> None:
    full = OSError(28, "No space left on device")
    with patch("inference.models.Media.save", side_effect=full):
        answer = send(device)
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    assert not Case.objects.exists()
    assert send(device).status_code == 201, "it may be sent again once there is room"


def test_the_same_request_gets_the_same_answer(device: Client) -> None:
    first, second = send(device, key="k"), send(device, key="k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert Observation.objects.count() == 1
    Case.objects.update(status="deferred", waiting_due_at=timezone.now())
    assert send(device, key="k").json() == first.json(), "the answer of then"


@pytest.mark.parametrize(
    "other",
    [{"data": photo((33, 90, 60))}, {"subject": "P-1"}, {"captured_at": "2026-01-01T00:00:00Z"}],
)
def test_another_body_under_the_same_key_is_refused(device: Client, other: dict[str, Any]) -> None:
    assert send(device, key="k").status_code == 201
    answer = send(device, key="k", **other)
    assert (answer.status_code, answer.json()["code"]) == (409, "key_reused")
    assert Observation.objects.count() == 1


def test_a_key_is_its_senders_own(cast: Cast, device: Client) -> None:
    other = device_of(issue_token(site=cast.household, name="other"))
    person = Client()
    person.force_login(cast.clinician)
    assert send(device, key="k").status_code == 201
    assert send(other, photo((44, 90, 60)), key="k").status_code == 201
    assert send(person, photo((55, 90, 60)), key="k").status_code == 201


def test_a_case_that_was_here_before_is_not_new_under_a_key(device: Client) -> None:
    assert send(device).status_code == 201
    assert send(device, key="k").status_code == 200


def test_a_refused_request_may_be_repeated(device: Client) -> None:
    assert send(device, b"no picture", key="k").status_code == 422
    assert send(device, b"no picture", key="k").status_code == 422
    assert send(device, key="x" * 201).status_code == 422
    assert not Case.objects.exists()


def test_keys_are_forgotten_after_a_day(device: Client) -> None:
    send(device, key="k")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=23))
    assert sweep()["keys_forgotten"] == 0
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert sweep()["keys_forgotten"] == 1


def test_the_page_shows_a_token_once(cast: Cast, administrator: Client) -> None:
    response = administrator.post(reverse("camera-issue"), {"name": " kitchen "})
    page = response.content.decode()
    camera = DeviceToken.objects.get(name="kitchen")
    [token] = [
        word for word in page.replace("<", " ").replace(">", " ").split() if "alarm_" in word
    ]
    assert find_token(token) == camera
    assert response["Cache-Control"] == "private, no-store"
    again = administrator.get(reverse("cameras")).content.decode()
    assert "kitchen" in again
    assert token not in again
    assert not AuditEvent.objects.filter(details__icontains=token).exists()


def test_the_page_renews_and_revokes(cast: Cast, administrator: Client) -> None:
    old = issue_token(site=cast.clinic, name="door")
    camera = DeviceToken.objects.get()
    assert (
        "alarm_" in administrator.post(reverse("camera-renew", args=[camera.pk])).content.decode()
    )
    assert find_token(old) is None
    page = administrator.post(reverse("camera-revoke", args=[camera.pk]), follow=True)
    assert "revoked" in page.content.decode()
    camera.refresh_from_db()
    assert camera.revoked_at is not None


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_a_camera_has_a_name(administrator: Client, name: str) -> None:
    administrator.post(reverse("camera-issue"), {"name": name})
    assert not DeviceToken.objects.exists()


def test_another_sites_camera_is_not_found(cast: Cast, administrator: Client) -> None:
    camera = make_camera(cast.elsewhere, "somebody's door")
    for route in ("camera-renew", "camera-revoke", "api-camera-renew", "api-camera-revoke"):
        assert administrator.post(reverse(route, args=[camera.pk])).status_code == 404
    assert camera.name not in administrator.get(reverse("cameras")).content.decode()


def test_the_api_does_the_same(cast: Cast, administrator: Client) -> None:
    made = administrator.post(reverse("api-cameras"), {"name": "door"}, "application/json")
    camera = find_token(made.json()["token"])
    assert camera is not None
    [row] = administrator.get(reverse("api-cameras")).json()
    assert (row["name"], row["state"], row["cases"]) == ("door", "active", 0)
    renewed = administrator.post(reverse("api-camera-renew", args=[camera.pk])).json()["token"]
    assert find_token(renewed) == camera
    assert administrator.post(reverse("api-camera-revoke", args=[camera.pk])).status_code == 204
    assert administrator.get(reverse("api-cameras")).json()[0]["state"] == "revoked"


def test_the_page_costs_the_same_few_queries(
    cast: Cast, administrator: Client, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for _ in range(5):
        make_camera(cast.clinic)
    with django_assert_max_num_queries(6):  # type: ignore[attr-defined]
        administrator.get(reverse("cameras"))


def test_the_command_says_how_long(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("token", cast.clinic.name, "door", "--days", "7")
    assert find_token(capsys.readouterr().out.strip()) is not None
    ends = DeviceToken.objects.get().expires_at
    assert ends is not None and ends < timezone.now() + timedelta(days=7, minutes=1)


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_with_one_key_are_one_effect_and_one_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the decoder says is kept, so that all fifty reach the database together."""
    token = issue_token(site=make_site(), name="camera")
    data = photo()
    kept = lru_cache(lambda sent, limits: sanitise(sent, limits=limits))
    monkeypatch.setattr("triage.services.intake.sanitise", lambda sent, limits: kept(sent, limits))

    def once(_number: int) -> tuple[int, str]:
        try:
            answer = send(device_of(token), data, key="k")
            return answer.status_code, answer.content.decode()
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as pool:
        answers = set(pool.map(once, range(50)))
    assert {status for status, _body in answers} == {201}
    assert len(answers) == 1
    assert (Case.objects.count(), Observation.objects.count()) == (1, 1)
    assert AuditEvent.objects.filter(verb="opened").count() == 1
    assert DeviceToken.objects.get().calls == 50


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_a_thousand_of_the_same_are_one_case(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one key, with keys of their own, and without: four clients that never give up."""
    settings.ALARM_TOKEN_CALLS = 10_000
    device = device_of(issue_token(site=make_site(), name="camera"))
    data = photo()
    kept = lru_cache(lambda sent, limits: sanitise(sent, limits=limits))
    monkeypatch.setattr("triage.services.intake.sanitise", lambda sent, limits: kept(sent, limits))

    def insist(client: int) -> set[tuple[int, str]]:
        try:
            keys = ("the same", f"{client}", None)
            answers = [send(device, data, key=keys[number % 3]) for number in range(250)]
            return {(answer.status_code, answer.json()["id"]) for answer in answers}
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        answers = set().union(*pool.map(insist, range(4)))
    assert {status for status, _id in answers} <= {200, 201}
    assert len({pk for _status, pk in answers}) == 1
    assert (Case.objects.count(), Observation.objects.count()) == (1, 1)
    assert AuditEvent.objects.filter(verb="opened").count() == 1


def test_a_minute_begins_with_its_first_call(cast: Cast, settings: object) -> None:
    settings.ALARM_TOKEN_CALLS = 2  # type: ignore[attr-defined]
    camera = make_camera(cast.clinic)
    tokens.count_call(camera)
    began = camera.window_at
    tokens.count_call(camera)
    assert (camera.calls, camera.window_at) == (2, began)
    with pytest.raises(TooMany):
        tokens.count_call(camera)
