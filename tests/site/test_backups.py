"""A back-up is worth what was got back from it: the same history, the same accounts, each file."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from alarm_site import backups
from alarm_site.backups import BackupFailed, back_up, drop_old, faults, read_manifest, stamps
from alarm_site.management.commands import restore
from inference.models import Media
from tests.factories import make_policy, make_site
from tests.media import clips
from tests.pictures import photo
from tests.services import postgres_programs
from triage import guards
from triage.models import AuditEvent, Case
from triage.selectors.accounts import accounts
from triage.services.erasing import erase_case
from triage.services.intake import open_case

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cases, one with a clip; PostgreSQL's programs can be found."""
    settings.ALARM_MEMBERS = tmp_path / "none.toml"
    settings.MEDIA_ROOT = tmp_path / "media"
    if connection.vendor == "postgresql":
        programs = postgres_programs(tmp_path, None)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    site = make_site()
    make_policy(site)
    for shade in (10, 20, 30):
        open_case(site=site, data=photo((shade, shade, shade)))
    open_case(site=site, data=clips.clip(clips.shots(1.0), "mp4", "mpeg4"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a server that has nothing yet, with the same keys."""
    data = tmp_path / "new"
    data.mkdir()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "alarm_site.settings",
        "ALARM_DATA": str(data),
        "ALARM_DEMO": "0",
        "SECRET_KEY": configured.SECRET_KEY,
        "REDIS_URL": "memory://localhost",
        "DATABASE_URL": f"sqlite:///{data}/db.sqlite3",
    }
    if connection.vendor == "sqlite":
        yield environment
        return
    name = f"restored_{os.getpid()}"
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
        there = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        yield {**environment, "DATABASE_URL": there}
        link.execute(f"DROP DATABASE {name} WITH (FORCE)")


def restored(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "restore", str(folder)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_all_comes_back_elsewhere_and_is_verified(
    tmp_path: Path, elsewhere: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copies"
    call_command("backup", folder)
    call_command("backup", folder, "--check")
    assert "is whole" in capsys.readouterr().out
    done = restored(folder, elsewhere)
    assert done.returncode == 0, done.stderr
    assert f"{AuditEvent.objects.count()} events in" in done.stdout
    assert "The history is intact." in done.stdout
    books = accounts()
    states = ", ".join(f"{count} {state}" for state, count in books.in_state.items())
    assert f"4 observations = {states}" in done.stdout
    [place] = stamps(folder)
    names = read_manifest(place).media
    assert f"{len(names)} files are there." in done.stdout and len(names) > 12
    media = Path(elsewhere["ALARM_DATA"]) / "media"
    for name in names:
        assert (media / name).read_bytes() == Path(configured.MEDIA_ROOT, name).read_bytes()
    again = restored(folder, elsewhere)
    assert again.returncode == 1 and "not empty" in again.stderr


def test_a_history_that_was_rewritten_in_the_copy_is_noticed_though_all_is_signed(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    """Somebody who owns database and folder, and lets the next back-up be made."""
    with guards.lifted():
        event = AuditEvent.objects.filter(verb="opened").latest("pk")
        AuditEvent.objects.filter(pk=event.pk).update(verb="forgotten")
    call_command("backup", tmp_path / "copies")
    done = restored(tmp_path / "copies", elsewhere)
    assert done.returncode == 1 and "The history is not intact." in done.stderr


def spoil_database(place: Path) -> None:
    path = place / backups.DATABASE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def spoil_photo(place: Path) -> None:
    name = next(iter(read_manifest(place).media))
    (place.parent / backups.MEDIA / name).write_bytes(photo((1, 1, 1)))


def lose_photo(place: Path) -> None:
    name = next(iter(read_manifest(place).media))
    (place.parent / backups.MEDIA / name).unlink()


def forget_photo(place: Path) -> None:
    path = place / backups.MANIFEST
    name = next(iter(read_manifest(place).media))
    lines = [line for line in path.read_text().split("\n") if name not in line]
    path.write_text("\n".join(lines))


@pytest.mark.any_database
@pytest.mark.parametrize("spoil", [spoil_database, spoil_photo, lose_photo, forget_photo])
def test_a_copy_that_was_changed_is_not_restored(
    tmp_path: Path, spoil: object, elsewhere: dict[str, str]
) -> None:
    place = back_up(tmp_path / "copies")
    assert list(faults(place)) == []
    spoil(place)  # type: ignore[operator]
    with pytest.raises(CommandError, match=r"not whole|was changed"):
        call_command("backup", tmp_path / "copies", "--check")
    with pytest.raises(BackupFailed, match=r"missing|was changed"):
        backups.restore(place)


@pytest.mark.any_database
def test_another_key_believes_nothing(tmp_path: Path, settings: Settings) -> None:
    place = back_up(tmp_path)
    settings.ALARM_AUDIT_KEYS = ["another"]
    with pytest.raises(BackupFailed, match="ALARM_AUDIT_KEY"):
        read_manifest(place)
    settings.ALARM_AUDIT_KEYS = ["another", configured.SECRET_KEY]
    assert read_manifest(place).media


@pytest.mark.any_database
def test_a_file_is_copied_once_and_goes_with_the_last_copy_that_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    first = back_up(folder, now=datetime(2026, 1, 1, tzinfo=UTC))
    case = Case.objects.latest("created_at")
    Case.objects.filter(pk=case.pk).update(status="accepted", waiting_due_at=None)
    erased = Path(str(case.observation.media.original.name))
    mark = folder / backups.MEDIA / str(Media.objects.earliest("pk").original.name)
    os.utime(mark, (1, 1))
    erase_case(case=case, actor=None, reason="asked for")
    second = back_up(folder, now=datetime(2026, 1, 2, tzinfo=UTC))
    assert mark.stat().st_mtime == 1, "what lies there is not copied again"
    assert str(erased) in read_manifest(first).media
    assert str(erased) not in read_manifest(second).media
    assert (folder / backups.MEDIA / erased).exists()
    assert drop_old(folder, keep=1) == 1
    assert stamps(folder) == [second]
    assert not (folder / backups.MEDIA / erased).exists()
    assert list(faults(second)) == []


@pytest.mark.any_database
def test_what_broke_off_is_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(backups, "_copy_media", full)
    with pytest.raises(CommandError, match="No space left"):
        call_command("backup", tmp_path)
    assert stamps(tmp_path) == []
    with pytest.raises(CommandError, match="no such back-up"):
        call_command("restore", tmp_path)


@pytest.mark.any_database
def test_nobody_else_reads_a_copy(tmp_path: Path) -> None:
    place = back_up(tmp_path / "copies")
    for path in (place, *place.rglob("*"), *(tmp_path / "copies/media").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def lost(media: Media) -> Path:
    path = Path(configured.MEDIA_ROOT, str(media.shown.name))
    path.unlink()
    return path


@pytest.mark.any_database
def test_a_copy_without_its_photos_is_a_failure_and_costs_no_good_one(
    tmp_path: Path, settings: Settings
) -> None:
    good = back_up(tmp_path / "copies", now=datetime(2026, 1, 1, tzinfo=UTC))
    shutil.rmtree(tmp_path / "copies" / backups.MEDIA)
    settings.MEDIA_ROOT = tmp_path / "wrong"
    with pytest.raises(CommandError, match=r"without \d+ files .* ALARM_DATA"):
        call_command("backup", tmp_path / "copies", "--keep=1")
    assert good.exists()
    with pytest.raises(CommandError, match="missing already when it was made"):
        call_command("backup", tmp_path / "copies", "--check")


@pytest.mark.any_database
def test_what_was_erased_while_the_copy_was_made_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = Media.objects.latest("pk")
    lost(media)
    copy = backups._copy

    def erased_meanwhile(name: str, path: Path) -> None:
        Media.objects.filter(pk=media.pk).update(shown="")
        copy(name, path)

    monkeypatch.setattr(backups, "_copy", erased_meanwhile)
    assert list(faults(back_up(tmp_path))) == []


def test_a_restore_asks_for_an_empty_store_of_media(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    place = back_up(tmp_path / "copies")
    name = next(iter(read_manifest(place).media))
    other = Path(elsewhere["ALARM_DATA"], "media", name)
    other.parent.mkdir(parents=True)
    other.write_bytes(b"somebody else")
    done = restored(tmp_path / "copies", elsewhere)
    assert done.returncode == 1 and "store of media is not empty" in done.stderr
    assert other.read_bytes() == b"somebody else"


@pytest.mark.any_database
def test_a_file_that_came_back_as_another_is_noticed(tmp_path: Path) -> None:
    manifest = read_manifest(back_up(tmp_path))
    command = restore.Command(stdout=io.StringIO())
    command._count_files(manifest)
    name = next(iter(manifest.media))
    Path(configured.MEDIA_ROOT, name).write_bytes(b"another")
    with pytest.raises(CommandError, match=f"1 files are not what they were, such as {name}"):
        command._count_files(manifest)
    Path(configured.MEDIA_ROOT, name).unlink()
    with pytest.raises(CommandError, match=f"such as {name}"):
        command._count_files(manifest)


@pytest.mark.any_database
def test_a_copy_that_cannot_be_read_holds_up_no_new_one(tmp_path: Path) -> None:
    first = back_up(tmp_path, now=datetime(2026, 1, 1, tzinfo=UTC))
    (first / backups.MANIFEST).write_text("torn")
    (tmp_path / ".2026-01-02T000000Z").mkdir()
    photos = sorted((tmp_path / backups.MEDIA).rglob("*"))
    call_command("backup", tmp_path, "--keep=2")
    assert len(stamps(tmp_path)) == 2 and list(faults(stamps(tmp_path)[-1])) == []
    assert list(tmp_path.glob(".*")) == []
    assert sorted((tmp_path / backups.MEDIA).rglob("*")) == photos
