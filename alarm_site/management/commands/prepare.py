"""What ./run needs before the first child starts, in one process: Django loads once, not thrice."""

import io
import json

from django.core.management import call_command
from django.core.management.base import BaseCommand

from triage.services.push import make_key


class Command(BaseCommand):
    help = "Migrate, collect, create the demonstration; print queues and accounts as JSON."

    def handle(self, **_: object) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        make_key()
        call_command("collectstatic", interactive=False, verbosity=0)
        words = {"people": said_by("demo"), "queues": said_by("queues")}
        self.stdout.write(json.dumps(words))


def said_by(command: str) -> str:
    """What a command prints."""
    output = io.StringIO()
    call_command(command, stdout=output)
    return output.getvalue().strip()
