"""A copy of all that is kept, elsewhere."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from alarm_site.backups import BackupFailed, back_up, drop_old, faults, read_manifest, stamps


class Command(BaseCommand):
    help = "Copy database and media into FOLDER, or check the newest copy there."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--keep", type=int, default=0, help="drop all but the newest so many")
        parser.add_argument("--check", action="store_true", help="only read the newest one")

    def handle(self, *, folder: Path, keep: int, check: bool, **_: object) -> None:
        try:
            if check:
                self._check(folder)
                return
            place = back_up(folder)
            if missing := read_manifest(place).missing:
                raise CommandError(
                    f"{place} was made without {len(missing)} files that the database names, such "
                    f"as {missing[0]}; no older one was dropped. Do ALARM_DATA and ALARM_S3_BUCKET "
                    "say where the media are?"
                )
            dropped = drop_old(folder, keep=keep) if keep > 0 else 0
        except (BackupFailed, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{place} was made, {dropped} older ones were dropped.")

    def _check(self, folder: Path) -> None:
        if not (places := stamps(folder)):
            raise CommandError(f"There is no back-up in {folder}.")
        if found := list(faults(places[-1])):
            raise CommandError(f"{places[-1]} is not whole.\n" + "\n".join(found[:20]))
        self.stdout.write(f"{places[-1]} is whole.")
