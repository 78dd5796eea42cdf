"""Storing what was seen, whole or not at all."""

import contextlib
from collections.abc import Iterator
from datetime import datetime

from django.core.files.base import ContentFile
from django.db import models

from inference.media import Sanitised
from inference.models import Media, Observation


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
    )
    with _files_or_nothing(media):
        media.original.save("original", ContentFile(original), save=False)
        media.shown.save("shown", ContentFile(sanitised.image), save=False)
        media.thumbnail.save("thumbnail", ContentFile(sanitised.thumbnail), save=False)
        media.save()
    return observation


@contextlib.contextmanager
def _files_or_nothing(media: Media) -> Iterator[None]:
    try:
        yield
    except BaseException:
        forget_files(media)
        raise


def forget_files(media: Media) -> None:
    """Remove the files of a media row that will not be kept."""
    for file in (media.original, media.shown, media.thumbnail):
        if isinstance(file, models.fields.files.FieldFile) and file.name:
            file.storage.delete(file.name)
