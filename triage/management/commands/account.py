"""The first people, and those whom no provider sends: by whoever has the server."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from inference.pipeline.domains import domain_ids
from triage.choices import Role, SiteKind
from triage.models import Organisation, Site
from triage.services.people import make_account
from triage.services.sites import open_site


class Command(BaseCommand):
    help = (
        "Give a person an account with a role at a site, and print its password; who has one gets "
        "the role beside the others. With --organisation a site that is not there yet is opened."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="with which they sign in")
        parser.add_argument("role", choices=Role.values)
        parser.add_argument("site", help="the site's name")
        parser.add_argument("--organisation", help="whose new site it is")
        parser.add_argument("--kind", choices=SiteKind.values, default=SiteKind.CLINIC)
        parser.add_argument("--domain", choices=domain_ids(), default="wound")

    @transaction.atomic
    def handle(self, *, name: str, role: str, site: str, **options: str | None) -> None:
        sites = Site.objects.filter(name=site)
        if options["organisation"]:
            sites = sites.filter(organisation__name=options["organisation"])
        if sites.count() > 1:
            raise CommandError(f"Several have a site {site!r}: say whose with --organisation.")
        found = sites.first()
        if found is None and not options["organisation"]:
            raise CommandError(f"There is no site {site!r}: open it with --organisation.")
        if found is None:
            owner, _new = Organisation.objects.get_or_create(name=options["organisation"])
            found = open_site(
                organisation=owner,
                name=site,
                kind=SiteKind(str(options["kind"])),
                domain=str(options["domain"]),
            )
        password = make_account(name=name, role=Role(role), site=found)
        self.stdout.write(password or f"{name} had an account; the role is given.")
