"""The Celery queues that the one embedded worker listens to."""

from django.core.management.base import BaseCommand

from inference import ensemble
from inference.dispatch import ADDED, queue_name
from triage.services.reviews import TRIAGE_QUEUE


class Command(BaseCommand):
    help = "Print the queues of all configured members, joined by commas."

    def handle(self, **_: object) -> None:
        names = [queue_name(spec.name) for spec in ensemble.file_members()]
        self.stdout.write(",".join([*names, ADDED, TRIAGE_QUEUE]))
