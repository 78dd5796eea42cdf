"""What somebody sends who means no good: the server lives, and nobody is served what was sent."""

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from tests.media import files
from tests.triage.conftest import Cast
from triage.models import Case

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
AT_ONCE = 10
TELLING = (b"<script", b"<html", b"Secret", b"GPS", b"/etc/passwd", b"%PDF")


@pytest.fixture
def clinician(cast: Cast, tmp_path: Path, settings: Any) -> Client:
    settings.ALARM_MEMBERS = tmp_path / "none.toml"
    settings.MEDIA_ROOT = tmp_path / "media"
    client = Client(raise_request_exception=False)
    client.force_login(cast.clinician)
    return client


def test_140_hostile_files_are_answered_one_by_one(
    cast: Cast, clinician: Client, tmp_path: Path
) -> None:
    sent = files.hostile()
    assert len(sent) == 140
    for start in range(0, len(sent), AT_ONCE):
        batch = sent[start : start + AT_ONCE]
        upload = [SimpleUploadedFile(name.replace("/", "\u2044"), data) for name, data in batch]
        answer = clinician.post(reverse("upload"), {"files": upload})
        assert answer.status_code in (200, 422), batch
        page = answer.content.decode()
        assert "<img src=x" not in page and "alert('hello')" not in page
    stored = {path.parent.parent for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(tmp_path / "media") for path in stored)
    _nobody_is_served_what_was_sent(cast, clinician)


def _nobody_is_served_what_was_sent(cast: Cast, clinician: Client) -> None:
    outsider, nobody = Client(), Client()
    outsider.force_login(cast.outsider)
    cases = list(Case.objects.all())
    assert len(files.ODD_NAMES) < len(cases) < 140, "good pictures with odd names are taken in"
    for case in cases:
        for route in ("photo", "thumbnail"):
            address = reverse(route, args=[case.pk])
            shown = clinician.get(address)
            assert shown.headers["Content-Type"] == "image/jpeg"
            assert "no-store" in shown.headers["Cache-Control"]
            assert shown.content.startswith(b"\xff\xd8\xff")
            assert not [one for one in TELLING if one in shown.content]
            assert outsider.get(address).status_code == 404
            assert nobody.get(address).status_code == 302
