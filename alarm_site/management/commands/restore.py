"""All that was kept, back from a copy, and whether it is what it was."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from alarm_site.backups import BackupFailed, Manifest, restore, stamps, stored_digest


class Command(BaseCommand):
    help = (
        "Fill an empty database and an empty media folder from the newest back-up in FOLDER (or "
        "from the one that --at names), bring it up to this program, and verify history, accounts "
        "and files."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--at", help="the back-up's name, such as 2026-11-28T031500Z")

    def handle(self, *, folder: Path, at: str | None, **_: object) -> None:
        places = [place for place in stamps(folder) if at in (None, place.name)]
        if not places:
            raise CommandError(f"There is no such back-up in {folder}.")
        try:
            manifest = restore(places[-1])
        except (BackupFailed, OSError) as error:
            raise CommandError(f"Nothing was believed of {places[-1]}. {error}") from error
        call_command("migrate", interactive=False, verbosity=0)
        call_command("audit", "verify", stdout=self.stdout)
        call_command("reconcile", stdout=self.stdout)
        self._count_files(manifest)

    def _count_files(self, manifest: Manifest) -> None:
        wrong = [name for name, digest in manifest.media.items() if not _holds(name, digest)]
        if wrong:
            raise CommandError(f"{len(wrong)} files are not what they were, such as {wrong[0]}.")
        self.stdout.write(f"{len(manifest.media)} files are there.")
        if manifest.missing:
            words = f"{len(manifest.missing)} files were missing when the back-up was made."
            self.stderr.write(words)


def _holds(name: str, digest: str) -> bool:
    try:
        return stored_digest(name) == digest
    except FileNotFoundError:
        return False
