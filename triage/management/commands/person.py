"""How somebody is helped, or kept, from signing in, by whoever has the server."""

from argparse import ArgumentParser
from collections.abc import Callable

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from triage.choices import FOR_ALL
from triage.errors import TriageError
from triage.models import Organisation
from triage.services import people

ACTS: dict[str, Callable[..., None]] = {
    "reset": people.reset_second_factor,
    "unlock": people.lift_lock,
    "disable": people.disable,
}
FOR_ALL_ACTS: dict[str, Callable[..., None]] = {
    "appoint": people.appoint,
    "dismiss": people.dismiss,
}


class Command(BaseCommand):
    help = (
        "Forget a person's second factors (reset), let them try again after too many failed "
        "sign-ins (unlock), or sign them out for good (disable); make them administrator or "
        "auditor of an organisation, or no longer (appoint, dismiss: --role, --organisation). "
        "Their sites' histories keep it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("act", choices=sorted(ACTS | FOR_ALL_ACTS))
        parser.add_argument("name", help="with which they sign in")
        parser.add_argument("--role", choices=sorted(FOR_ALL), help="for the whole organisation")
        parser.add_argument("--organisation", help="its name")

    def handle(
        self, *, act: str, name: str, role: str | None, organisation: str | None, **_: object
    ) -> None:
        user = User.objects.filter(username=name).first()
        if act in FOR_ALL_ACTS:
            self._for_all(act, user, role, Organisation.objects.filter(name=organisation).first())
            return
        sites = people.sites_of(user) if user else []
        if not user or not sites:
            raise CommandError(f"Nobody of the name {name!r} belongs to a site.")
        try:
            ACTS[act](user=user, site=sites[0], actor=None)
        except TriageError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Done: {act} {name}, in the history of {sites[0].name}.")

    def _for_all(
        self, act: str, user: User | None, role: str | None, organisation: Organisation | None
    ) -> None:
        if not user or not role or not organisation:
            raise CommandError(
                "Say who, with --role and --organisation: accounts and organisations that exist."
            )
        try:
            FOR_ALL_ACTS[act](user=user, organisation=organisation, role=role)
        except TriageError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Done: {act} {user}, in the history of each site of {organisation}.")
