"""Photos and clips in a bucket: S3, or a server that speaks its language (MinIO, Ceph).

Needs requirements-s3.txt. The bucket is private: nobody is given an address of it, the views read
from it and serve what they have read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage


@contextmanager
def as_disk_errors() -> Iterator[None]:
    """Whoever works with files knows what to do where a disk refuses; a bucket refuses likewise."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(f"the bucket refused: {type(error).__name__}") from error


class Bucket(S3Storage):  # type: ignore[misc]  # comes without types
    """Raises OSError where the bucket cannot be reached or refuses, FileNotFoundError as a disk."""

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        with as_disk_errors():
            opened: File[bytes] = super()._open(name, mode)
            if "r" in mode:
                opened.file  # noqa: B018  (fetched here and now: later nobody expects trouble)
            return opened

    def _save(self, name: str, content: "File[bytes]") -> str:
        with as_disk_errors():
            return str(super()._save(name, content))

    def delete(self, name: str) -> None:
        with as_disk_errors():
            super().delete(name)

    def exists(self, name: str) -> bool:
        with as_disk_errors():
            return bool(super().exists(name))

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        with as_disk_errors():
            folders, files = super().listdir(name)
            return folders, files

    def get_modified_time(self, name: str) -> datetime:
        with as_disk_errors():
            changed: datetime = super().get_modified_time(name)
            return changed
