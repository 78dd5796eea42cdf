"""Erase what was kept long enough; the sweep does it too."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from triage.models import Site
from triage.selectors.retention import CLASSES, overdue
from triage.services.erasing import finish_erasures, retain


class Command(BaseCommand):
    help = (
        "Erase the media of cases that were kept as long as their site says; see docs/security.md."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *, dry_run: bool, **_: object) -> None:
        if dry_run:
            sites = Site.objects.all()
            due = sum(overdue(site, name).count() for site in sites for name in CLASSES)
            self.stdout.write(f"{due} cases would be erased")
            return
        done = 0
        while more := retain():
            done += more
        self.stdout.write(f"{done} cases erased, files of {finish_erasures()} more gone")
