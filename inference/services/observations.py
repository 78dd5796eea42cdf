"""Storing what was seen, whole or not at all."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from PIL import Image

from inference.media import Sanitised
from inference.models import Frame, Media, Observation, media_folder

STILL_COMING = timedelta(hours=1)


def store_observation(
    *,
    domain_id: str,
    original: bytes,
    sanitised: Sanitised,
    captured_at: datetime | None = None,
    drawn: bool = False,
) -> Observation:
    """Write one observation and its media. Call it inside a transaction.

    Raises:
        OSError: the disk refused; the files that were already written are gone again.
    """
    observation = Observation.objects.create(domain=domain_id, captured_at=captured_at, drawn=drawn)
    media = Media(
        observation=observation,
        sha256=sanitised.sha256,
        width=sanitised.width,
        height=sanitised.height,
        duration_s=sanitised.duration_s,
    )
    with _files_or_nothing(media):
        media.original.save("original", ContentFile(original), save=False)
        media.shown.save("shown", ContentFile(sanitised.image), save=False)
        media.thumbnail.save("thumbnail", ContentFile(sanitised.thumbnail), save=False)
        if sanitised.clip:
            media.clip.save("clip", ContentFile(sanitised.clip), save=False)
        media.save()
        if sanitised.clip:
            _store_frames(media, sanitised)
    return observation


def repeat_observation(seen: Observation) -> Observation:
    """The same files under another id: they stay where they lie, and go with those of `seen`."""
    again = Observation.objects.create(domain=seen.domain, drawn=seen.drawn)
    media, frames = seen.media, list(seen.media.frames.all())
    media.pk, media.observation, media._state.adding = None, again, True
    media.save()
    for frame in frames:
        frame.pk, frame.media = None, media
    Frame.objects.bulk_create(frames)
    return again


def _store_frames(media: Media, sanitised: Sanitised) -> None:
    for position, seen in enumerate(sanitised.frames):
        frame = Frame(media=media, position=position, at_s=seen.at_s)
        frame.shown.save("shown", ContentFile(seen.image), save=False)
        frame.thumbnail.save("thumbnail", ContentFile(seen.thumbnail), save=False)
        frame.save()


@contextlib.contextmanager
def _files_or_nothing(media: Media) -> Iterator[None]:
    try:
        yield
    except BaseException:
        forget_files(media)
        raise


def forget_files(media: Media) -> None:
    """Remove all files of an observation that will not be kept, those of its frames too.

    The rows may be gone already: an observation's files are what lies in its folder.
    """
    _empty(media_folder(media))


def forget_orphans(prefix: str) -> int:
    """Remove the files of a process that died before it had stored the rows that name them.

    A photo without rows could be found, and erased, by nobody.

    Args:
        prefix: the first two digits of an observation's id, "00" to "ff": the folder to look into.

    Returns:
        The number of observations that never were.
    """
    with contextlib.suppress(FileNotFoundError):
        old = [name for name in default_storage.listdir(prefix)[0] if _is_old(f"{prefix}/{name}")]
        kept = Observation.objects.filter(pk__in=[UUID(name) for name in old])
        orphans = set(old) - {pk.hex for pk in kept.values_list("pk", flat=True)}
        for name in orphans:
            _empty(f"{prefix}/{name}")
        return len(orphans)
    return 0


def _is_old(folder: str) -> bool:
    """By its newest file: in a bucket a folder is only a part of names, and has no time."""
    inside = [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    newest = max(map(default_storage.get_modified_time, inside or [folder]))
    return timezone.now() - newest > STILL_COMING


def _empty(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        for name in default_storage.listdir(folder)[1]:
            default_storage.delete(f"{folder}/{name}")
        default_storage.delete(folder)


def frames_of(observation: Observation) -> list[Image.Image]:
    """The RGB pictures that the members look at, in order: a clip's frames, or the photo alone.

    Raises:
        OSError: a file is missing or cannot be read.
    """
    media = observation.media
    shown = [frame.shown for frame in media.frames.all()] or [media.shown]
    return [_picture(file) for file in shown]


def _picture(file: FieldFile) -> Image.Image:
    with file.open("rb") as opened:
        image = Image.open(opened)
        image.load()
    return image if image.mode == "RGB" else image.convert("RGB")
