"""How somebody is helped, or kept, from signing in, by whoever has the server."""

from argparse import ArgumentParser
from collections.abc import Callable

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from triage.errors import TriageError
from triage.services import people

ACTS: dict[str, Callable[..., None]] = {
    "reset": people.reset_second_factor,
    "unlock": people.lift_lock,
    "disable": people.disable,
}


class Command(BaseCommand):
    help = (
        "Forget a person's second factors (reset), let them try again after too many failed "
        "sign-ins (unlock), or sign them out for good (disable). Their sites' histories keep it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=sorted(ACTS))
        parser.add_argument("name", help="with which they sign in")

    def handle(self, *, act: str, name: str, **_: object) -> None:
        user = User.objects.filter(username=name).first()
        sites = people.sites_of(user) if user else []
        if not user or not sites:
            raise CommandError(f"Nobody of the name {name!r} belongs to a site.")
        try:
            ACTS[act](user=user, site=sites[0], actor=None)
        except TriageError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Done: {act} {name}, in the history of {sites[0].name}.")
