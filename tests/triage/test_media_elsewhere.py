"""Photos and clips in a bucket, or sent by the proxy: seen by the same people, and nobody else."""

from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from alarm_site.bucket import Bucket
from alarm_site.environment import bucket
from inference.services.observations import frames_of
from tests.media import clips
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.management.commands.sweep import sweep
from triage.models import AuditEvent, Case, Erasure
from triage.services.erasing import erase_case, finish_erasures
from triage.services.intake import DiskFull, open_case

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
NAME = "alarm-media"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, settings: Settings) -> None:
    settings.ALARM_MEMBERS = tmp_path / "none.toml"
    settings.MEDIA_ROOT = tmp_path / "media"


@cache
def moving() -> bytes:
    return clips.clip(clips.shots(2.0, jump_s=1.2), "mp4", "mpeg4")


def signed(person: object) -> Client:
    client = Client()
    client.force_login(person)  # type: ignore[arg-type]
    return client


# In a bucket --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that speaks S3; its address."""
    served = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    yield f"http://{host}:{port}"
    served.stop()


@pytest.fixture
def kept(server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The storage is an empty bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-tests")
    link = boto3.resource("s3", endpoint_url=server, region_name="eu-central-1")
    place = {"LocationConstraint": "eu-central-1"}
    made = link.create_bucket(Bucket=NAME, CreateBucketConfiguration=place)
    settings.STORAGES = settings.STORAGES | {"default": bucket(NAME, server, "eu-central-1")}
    yield
    made.objects.all().delete()
    made.delete()


def names() -> set[str]:
    storage: Any = default_storage
    assert isinstance(storage._wrapped, Bucket)
    return {one.key for one in storage.bucket.objects.all()}


@pytest.mark.usefixtures("kept")
def test_what_comes_in_lies_in_the_bucket_alone(cast: Cast, settings: Settings) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    media = case.observation.media
    assert names() == {media.original.name, media.shown.name, media.thumbnail.name}
    assert not Path(settings.MEDIA_ROOT).exists()
    [picture] = frames_of(case.observation)
    assert picture.size == (media.width, media.height)


@pytest.mark.usefixtures("kept")
def test_a_photo_is_seen_by_the_view_alone_and_never_cached(cast: Cast) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    answer = signed(cast.clinician).get(reverse("photo", args=[case.pk]))
    assert answer.status_code == 200 and answer.content[:2] == b"\xff\xd8"
    assert answer["Cache-Control"] == "private, no-store"
    assert AuditEvent.objects.filter(case=case, verb="photo seen").count() == 1
    assert signed(cast.outsider).get(reverse("photo", args=[case.pk])).status_code == 404
    assert Client().get(reverse("photo", args=[case.pk])).status_code == 302


@pytest.mark.usefixtures("kept")
def test_a_clip_is_sent_piece_by_piece(cast: Cast) -> None:
    case = open_case(site=cast.clinic, data=moving()).case
    client, address = signed(cast.clinician), reverse("clip", args=[case.pk])
    whole = client.get(address).content
    piece = client.get(address, headers={"Range": "bytes=10-19"})
    assert (piece.status_code, piece.content) == (206, whole[10:20])
    assert piece["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert piece["Cache-Control"] == "private, no-store"


@pytest.mark.usefixtures("kept")
def test_erasing_empties_the_bucket(cast: Cast) -> None:
    case = open_case(site=cast.clinic, data=moving()).case
    Case.objects.filter(pk=case.pk).update(status="accepted")
    assert len(names()) > 5
    erase_case(case=case, actor=cast.administrator, reason="asked for")
    assert finish_erasures() == 1
    assert names() == set()
    assert signed(cast.clinician).get(reverse("photo", args=[case.pk])).status_code == 404


@pytest.mark.usefixtures("kept")
def test_a_bucket_that_refuses_is_a_full_disk(cast: Cast, server: str, settings: Settings) -> None:
    erased = open_case(site=cast.clinic, data=photo((1, 2, 3))).case
    Case.objects.filter(pk=erased.pk).update(status="accepted")
    settings.STORAGES = settings.STORAGES | {"default": bucket("another", server, "eu-central-1")}
    with pytest.raises(DiskFull):
        open_case(site=cast.clinic, data=photo())
    assert Case.objects.count() == 1
    erase_case(case=erased, actor=cast.administrator, reason="asked for")
    assert finish_erasures() == 0
    assert Erasure.objects.get().files_gone_at is None, "it is tried again"
    with pytest.raises(OSError, match="refused"):
        default_storage.listdir("x")


@pytest.mark.usefixtures("kept")
def test_what_is_not_in_the_bucket_is_not_found(cast: Cast) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    default_storage.delete(str(case.observation.media.shown.name))
    assert signed(cast.clinician).get(reverse("photo", args=[case.pk])).status_code == 404


@pytest.mark.usefixtures("kept")
def test_a_sweep_finds_orphans_in_the_bucket_and_comes_to_its_end(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    stored, pk = names(), case.observation.pk.hex
    orphan = f"{pk[:2]}/{pk[:2]}{UUID(int=7).hex[2:]}/original"
    default_storage.save(orphan, ContentFile(b"nobody's"))
    monkeypatch.setattr(
        "triage.management.commands.sweep.random.randrange", lambda _: int(pk[:2], 16)
    )
    assert sweep()["orphans"] == 0, "it may still be coming"
    monkeypatch.setattr("inference.services.observations.STILL_COMING", timedelta(0))
    assert sweep()["orphans"] == 1
    assert names() == stored


@pytest.mark.usefixtures("kept")
def test_a_bucket_that_is_gone_holds_up_no_other_step(
    cast: Cast, server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STORAGES = settings.STORAGES | {"default": bucket("another", server, "eu-central-1")}
    with pytest.raises(OSError, match="refused"):
        default_storage.get_modified_time("x")
    told = Mock(return_value=0)
    monkeypatch.setattr("triage.management.commands.sweep.hint_due", told)
    with pytest.raises(ExceptionGroup, match="the bucket refused"):
        sweep()
    told.assert_called_once_with()


# By the proxy -------------------------------------------------------------------------------------


@pytest.fixture
def behind(settings: Settings) -> None:
    settings.ALARM_SENDFILE = "/protected/"


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("route", ["photo", "thumbnail", "clip", "frame"])
def test_the_proxy_is_told_what_to_send_once_it_is_allowed(cast: Cast, route: str) -> None:
    case = open_case(site=cast.clinic, data=moving()).case
    media = case.observation.media
    file = {
        "photo": media.shown,
        "thumbnail": media.thumbnail,
        "clip": media.clip,
        "frame": media.frames.get(position=0).shown,
    }[route]
    address = reverse(route, args=[case.pk, *([0] if route == "frame" else [])])
    answer = signed(cast.clinician).get(address)
    assert answer.content == b""
    assert answer["X-Accel-Redirect"] == f"/protected/{file.name}"
    assert answer["Content-Type"] == ("video/mp4" if route == "clip" else "image/jpeg")
    assert answer["Cache-Control"] == "private, no-store"
    for person in (cast.outsider, cast.administrator, cast.stranger):
        assert "X-Accel-Redirect" not in signed(person).get(address).headers
    assert "X-Accel-Redirect" not in Client().get(address).headers
    Path(file.path).unlink()
    assert signed(cast.clinician).get(address).status_code == 404


@pytest.mark.usefixtures("behind")
def test_a_look_at_a_clip_is_written_down_whoever_sends_it(cast: Cast) -> None:
    case = open_case(site=cast.clinic, data=moving()).case
    address = reverse("clip", args=[case.pk])

    def seen_after(person: object, wanted: str) -> int:
        signed(person).get(address, headers={"Range": wanted} if wanted else {})
        return AuditEvent.objects.filter(case=case, verb="clip seen").count()

    assert seen_after(cast.clinician, "bytes=5-") == 1, "who skips the first byte has looked too"
    assert seen_after(cast.clinician, "bytes=9-20") == 1
    assert seen_after(cast.clinician, "bytes=-5") == 1
    assert seen_after(cast.clinician, "bytes=0-") == 2
    assert seen_after(cast.clinician, "bytes=1-2,0-") == 3, "nginx may send all of it"
    assert seen_after(cast.clinician, "") == 4


def test_without_a_proxy_the_view_sends(cast: Cast) -> None:
    case = open_case(site=cast.clinic, data=photo()).case
    answer = signed(cast.clinician).get(reverse("photo", args=[case.pk]))
    assert "X-Accel-Redirect" not in answer.headers and answer.content
