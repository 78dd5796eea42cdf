"""Copies of all that is kept, and whether they are whole.

A folder of back-ups holds

    2026-11-28T031500Z/database     SQLite's file, or pg_dump's own format
    2026-11-28T031500Z/manifest     what belongs to it: every file with its SHA-256, signed
    media/                          photos and clips; shared, for a file never changes

The database is copied first: whatever it names was stored before. The manifest is signed with the
first ALARM_AUDIT_KEY, so that who can write to the folder cannot make up a back-up.
"""

import hashlib
import hmac
import json
import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import connection

from inference.models import Frame, Media

log = logging.getLogger(__name__)
STAMP = "%Y-%m-%dT%H%M%SZ"
DATABASE, MANIFEST, MEDIA = "database", "manifest", "media"
FILES = ("original", "shown", "thumbnail", "clip")


class BackupFailed(Exception):
    """Why there is no back-up, or why one is not restored, in one sentence."""


@dataclass(frozen=True)
class Manifest:
    """What belongs to a back-up.

    vendor    "sqlite" or "postgresql"
    database  SHA-256 (hex) of the database's copy
    media     name -> SHA-256 (hex) of each photo and clip
    missing   names that the database held to the end and nobody could read when it was made
    """

    vendor: str
    database: str
    media: dict[str, str]
    missing: list[str]

    @property
    def text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, indent=0)


# Making one -------------------------------------------------------------------------------------


def back_up(folder: Path, *, now: datetime | None = None) -> Path:
    """Copy database and media into a new folder below `folder`; gives that folder.

    Raises:
        BackupFailed: the database could not be copied, or there is a back-up of this second.
        OSError: the disk refused.
    """
    stamp = (now or datetime.now(UTC)).strftime(STAMP)
    place, unfinished = folder / stamp, folder / f".{stamp}"
    if place.exists():
        raise BackupFailed(f"{place} is there already.")
    with _for_nobody_else():
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _dump(unfinished / DATABASE)
        hashes, missing = _copy_media(folder / MEDIA, known=_known(folder))
        manifest = Manifest(connection.vendor, _digest(unfinished / DATABASE), hashes, missing)
        text = manifest.text
        (unfinished / MANIFEST).write_text(f"{_signature(text)}\n{text}")
        unfinished.rename(place)
    return place


@contextmanager
def _for_nobody_else() -> Iterator[None]:
    """What is made meanwhile, by programs that are started too, is its owner's alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _dump(path: Path) -> None:
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(path)) as copy:
            connection.connection.backup(copy)
    else:
        _postgres("pg_dump", "--format=custom", "--no-owner", f"--file={path}")


def _postgres(program: str, *words: str) -> None:
    """Runs a program of PostgreSQL on this database; the password goes by the environment."""
    (_psql, *where), values = connection.client.settings_to_cmd_args_env(
        connection.settings_dict, []
    )
    name = where.pop()
    command = [program, *words, *where, f"--dbname={name}"]
    try:
        environment = {**os.environ, **(values or {})}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BackupFailed(f"{program} is not installed (Debian: postgresql-client).") from None
    if done.returncode:
        raise BackupFailed(f"{program} failed: {done.stderr.strip().splitlines()[-1:]}")


def _copy_media(pool: Path, *, known: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """SHA-256 of each file that the database names, and the names that could not be read.

    What lies in the pool is not copied again: no name comes twice.
    """
    hashes, missing = {}, []
    for name in sorted(_named_files()):
        path = pool / name
        try:
            if not path.exists():
                _copy(name, path)
            hashes[name] = known.get(name) or _digest(path)
        except FileNotFoundError:
            missing.append(name)
    # What was erased meanwhile is not missed.
    return hashes, sorted(set(missing) & _named_files()) if missing else []


def _copy(name: str, path: Path) -> None:
    """Whole or not at all: a copy that broke off has another name."""
    with default_storage.open(name, "rb") as source:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as target:
            shutil.copyfileobj(source, target)
        part.rename(path)


def _named_files() -> set[str]:
    rows = [
        *Media.objects.values_list(*FILES),
        *Frame.objects.values_list("shown", "thumbnail"),
    ]
    return {name for row in rows for name in row if name}


def _known(folder: Path) -> dict[str, str]:
    """What the newest back-up that can be read knows of the pool's files."""
    for place in reversed(stamps(folder)):
        try:
            return read_manifest(place).media
        except BackupFailed as error:
            log.warning("an earlier back-up is not believed: %s", error)
    return {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _signature(text: str) -> str:
    key = settings.ALARM_AUDIT_KEYS[0].encode()
    return hmac.digest(key, text.encode(), "sha256").hex()


# Reading one ------------------------------------------------------------------------------------


def stamps(folder: Path) -> list[Path]:
    """The folders of its back-ups, the oldest first; one that broke off is none."""
    return sorted(path.parent for path in folder.glob(f"[0-9]*/{MANIFEST}"))


def read_manifest(place: Path) -> Manifest:
    """What a back-up says of itself.

    Raises:
        BackupFailed: it cannot be read, or no key of ALARM_AUDIT_KEY has signed it.
    """
    try:
        signature, _, text = (place / MANIFEST).read_text().partition("\n")
        keys = [key.encode() for key in settings.ALARM_AUDIT_KEYS]
        signed = [hmac.digest(key, text.encode(), "sha256").hex() for key in keys]
        if not any(hmac.compare_digest(signature.encode(), one.encode()) for one in signed):
            raise BackupFailed(f"{place / MANIFEST} was changed, or ALARM_AUDIT_KEY is another.")
        return Manifest(**json.loads(text))
    except (OSError, ValueError, TypeError) as error:
        raise BackupFailed(f"{place / MANIFEST} cannot be read: {error}") from error


def faults(place: Path) -> Iterator[str]:
    """What a back-up lacks and what is not as it was made, one sentence each. Reads all of it.

    Raises:
        BackupFailed: see `read_manifest`.
    """
    manifest = read_manifest(place)
    for name in manifest.missing:
        yield f"{name} was missing already when it was made."
    yield from _changes(place, manifest)


def _changes(place: Path, manifest: Manifest) -> Iterator[str]:
    pool = place.parent / MEDIA
    wanted = [(place / DATABASE, manifest.database)]
    wanted += [(pool / name, digest) for name, digest in manifest.media.items()]
    for path, digest in wanted:
        if not path.is_file():
            yield f"{path} is missing."
        elif _digest(path) != digest:
            yield f"{path} was changed."


def restore(place: Path) -> Manifest:
    """Fill an empty database and an empty store of media from a back-up that is as it was made.

    Raises:
        BackupFailed: it was changed, it is of another kind of database, or something is there.
    """
    manifest = read_manifest(place)
    if found := list(_changes(place, manifest)):
        raise BackupFailed(f"{len(found)} faults; the first: {found[0]}")
    if manifest.vendor != connection.vendor:
        raise BackupFailed(f"It is of {manifest.vendor}, this database is {connection.vendor}.")
    if connection.introspection.table_names():
        raise BackupFailed("The database is not empty: name a new one with DATABASE_URL.")
    if _holds_media():
        raise BackupFailed(
            "The store of media is not empty: name a new one with ALARM_DATA (or ALARM_S3_BUCKET), "
            "or move away what a restore that broke off has left there."
        )
    _load(place / DATABASE)
    for name in manifest.media:
        with (place.parent / MEDIA / name).open("rb") as file:
            default_storage.save(name, File(file))
    return manifest


def _holds_media() -> bool:
    try:
        return any(default_storage.listdir(""))
    except FileNotFoundError:
        return False


def stored_digest(name: str) -> str:
    """SHA-256 (hex) of a file in the store of media.

    Raises:
        OSError: it is not there or cannot be read.
    """
    digest = hashlib.sha256()
    with default_storage.open(name, "rb") as file:
        for chunk in file.chunks():
            digest.update(chunk)
    return digest.hexdigest()


def _load(path: Path) -> None:
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as copy:
            copy.backup(connection.connection)
    else:
        words = ("--no-owner", "--exit-on-error", "--single-transaction", str(path))
        _postgres("pg_restore", *words)


# Keeping few ------------------------------------------------------------------------------------


def drop_old(folder: Path, *, keep: int) -> int:
    """Remove all but the newest `keep` back-ups, the media that none of those names, and what broke
    off.

    So what was erased is gone from here too once the last back-up from before is.
    """
    places = stamps(folder)
    old = places[:-keep]
    for place in old:
        shutil.rmtree(place)
    for unfinished in folder.glob(".[0-9]*"):
        shutil.rmtree(unfinished)
    try:
        _drop_unnamed(folder / MEDIA, places[-keep:])
    except BackupFailed as error:
        log.warning("no photo is dropped, for one of the back-ups may need it: %s", error)
    return len(old)


def _drop_unnamed(pool: Path, places: Iterable[Path]) -> None:
    named = {name for place in places for name in read_manifest(place).media}
    for path in pool.rglob("*"):
        if path.is_file() and str(path.relative_to(pool)) not in named:
            path.unlink()
