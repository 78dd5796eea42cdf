"""What ./run calls on every start."""

from django.conf import settings
from django.core.management.base import BaseCommand

from triage.services.demo import PASSWORD, create_demonstration, demo_accounts


class Command(BaseCommand):
    help = "Create the demonstration on an empty database, and say who can sign in."

    def handle(self, **_: object) -> None:
        if not settings.ALARM_DEMO:
            return
        create_demonstration()
        for account in demo_accounts():
            name = account.username
            self.stdout.write(f"{name:<15} {PASSWORD:<12} {account.role} at {account.site}")
