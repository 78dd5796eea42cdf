"""A token for a device or program."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from triage.models import Site
from triage.services.tokens import issue_token


class Command(BaseCommand):
    help = "Issue a token with which a device sends observations to a site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("site", help="the site's name")
        parser.add_argument("name", help="what the token is for, such as 'kitchen camera'")

    def handle(self, *, site: str, name: str, **_: object) -> None:
        found = Site.objects.filter(name=site).first()
        if found is None:
            known = ", ".join(Site.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no site {site!r}. There are: {known}.")
        self.stdout.write(issue_token(site=found, name=name))
