"""No room for photos: nothing is half stored, the sender is told, and people go on reviewing."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image
from pytest_django.fixtures import Settings

from inference.models import Media, Observation
from tests.factories import make_case, make_site, make_user
from tests.pictures import jpeg
from triage.models import Case
from triage.selectors.accounts import accounts
from triage.services import queue, reviews
from triage.services.tokens import issue_token

pytestmark = pytest.mark.django_db
ROOM = 16 << 20
URL = "/api/v1/observations"


class SmallDisk(FileSystemStorage):
    """For where nobody may mount: writes what fits, and then what a full disk says."""

    def _save(self, name: str, content: Any) -> str:
        used = sum(one.stat().st_size for one in Path(self.location).rglob("*") if one.is_file())
        if used + content.size > ROOM:
            half = Path(self.path(name))
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(content.read()[: max(0, ROOM - used)])
            raise OSError(errno.ENOSPC, "No space left on device")
        return str(super()._save(name, content))  # type: ignore[misc]


@pytest.fixture
def disk(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A disk of 16 MB for media."""
    settings.MEDIA_ROOT, settings.ALARM_MEMBERS = tmp_path / "media", tmp_path / "none.toml"
    settings.MEDIA_ROOT.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(settings.MEDIA_ROOT))
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        with patch("django.core.files.storage.default_storage._wrapped", SmallDisk()):
            yield settings.MEDIA_ROOT
    else:
        yield settings.MEDIA_ROOT
        subprocess.run(("umount", str(settings.MEDIA_ROOT)), check=True)


def noise(seed: int) -> bytes:
    """About a megabyte and a half: what cannot be made smaller."""
    picture = Image.effect_noise((1400, 1400), 90 + seed)
    return jpeg(picture.convert("RGB"))


def stored(disk: Path) -> list[Path]:
    return [path for path in disk.rglob("*") if path.is_file()]


def test_a_full_disk_takes_nothing_half_and_stops_nobody(disk: Path) -> None:
    site = make_site()
    person = make_user(site)
    waiting = make_case(site, ("Burns", "Burns", "Cut"))
    camera = Client(headers={"Authorization": f"Bearer {issue_token(site=site, name='camera')}"})

    def send(seed: int) -> int:
        upload = SimpleUploadedFile("a.jpg", noise(seed))
        return int(camera.post(URL, {"file": upload}).status_code)

    answers = [send(seed) for seed in range(16)]
    taken = answers.count(201)
    assert 0 < taken < 16
    assert answers == [201] * taken + [507] * (16 - taken)
    assert Observation.objects.count() == Case.objects.count() == taken + 1
    assert accounts().balanced
    kept = Media.objects.exclude(observation=waiting.observation)
    named = {getattr(one, name).path for one in kept for name in ("original", "shown", "thumbnail")}
    assert {str(path) for path in stored(disk)} == named
    assert all(path.stat().st_size for path in stored(disk))

    lease = queue.claim(case=waiting, user=person)
    waiting.refresh_from_db()
    reviews.submit_review(
        case=waiting, token=lease.token, user=person, label="Cut", version=waiting.version
    )

    for path in stored(disk)[:6]:
        path.unlink()
    assert send(15) == 201, "what was refused may be sent again once there is room"
