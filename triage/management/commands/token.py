"""A token for a device or program."""

from argparse import ArgumentParser
from datetime import timedelta

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from triage.models import DeviceToken, Site
from triage.services.tokens import issue_token, renew_token


class Command(BaseCommand):
    help = (
        "Issue a token with which a device sends observations to a site. It is a new camera, which "
        "has to learn; with --renew it is the same camera's next token, and the old one ends."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("site", help="the site's name")
        parser.add_argument("name", help="what the token is for, such as 'kitchen camera'")
        parser.add_argument("--days", type=int, help="until it ends; by default ALARM_TOKEN_DAYS")
        parser.add_argument("--renew", action="store_true", help="another token for that camera")

    def handle(self, *, site: str, name: str, renew: bool, days: int | None, **_: object) -> None:
        found = Site.objects.filter(name=site).first()
        if found is None:
            known = ", ".join(Site.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"There is no site {site!r}. There are: {known}.")
        if renew:
            self.stdout.write(renew_token(camera=_camera(found, name)))
        else:
            ends = timezone.now() + timedelta(days=days) if days else None
            self.stdout.write(issue_token(site=found, name=name, expires_at=ends))


def _camera(site: Site, name: str) -> DeviceToken:
    cameras = list(site.tokens.filter(name=name).order_by("pk"))
    if len(cameras) == 1:
        return cameras[0]
    if cameras:
        raise CommandError(f"{len(cameras)} tokens of {site.name} are called {name!r}: revoke one.")
    known = ", ".join(site.tokens.values_list("name", flat=True)) or "none yet"
    raise CommandError(f"{site.name} has no token {name!r}. There are: {known}.")
