"""Is every observation accounted for?"""

from django.core.management.base import BaseCommand, CommandError

from triage.selectors.accounts import accounts


class Command(BaseCommand):
    help = "Check the accounting identity; ends with an error when a case was lost or doubled."

    def handle(self, **_: object) -> None:
        found = accounts()
        states = ", ".join(f"{count} {state}" for state, count in found.in_state.items())
        self.stdout.write(f"{found.observations} observations = {states}")
        if not found.balanced:
            raise CommandError(f"The accounts do not balance: {found}")
