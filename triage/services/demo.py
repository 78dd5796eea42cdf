"""The demonstration organisation: a clinic and a household, one account for each role."""

import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction

from inference.drawings import samples
from triage.choices import Role, SiteKind
from triage.models import Membership, Organisation, Site
from triage.services.intake import open_case
from triage.services.sites import open_site

log = logging.getLogger(__name__)
NAME = "Demonstration"
PASSWORD = "alarm-demo"  # noqa: S105  (shown to everybody; only ever on loopback)
ACCOUNTS = (
    ("clinician", Role.CLINICIAN, "Riverside wound clinic"),
    ("clinician2", Role.CLINICIAN, "Riverside wound clinic"),
    ("administrator", Role.ADMINISTRATOR, "Riverside wound clinic"),
    ("auditor", Role.AUDITOR, "Riverside wound clinic"),
    ("caregiver", Role.CAREGIVER, "Linden household"),
    ("caregiver2", Role.CAREGIVER, "Linden household"),
)


@dataclass(frozen=True)
class Account:
    username: str
    role: str
    site: str


def create_demonstration() -> bool:
    """Set the demonstration up on an empty database; False when there is anything already."""
    if Organisation.objects.exists() or get_user_model().objects.exists():
        return False
    with transaction.atomic():
        organisation = Organisation.objects.create(name=NAME)
        clinic = _open(organisation, "Riverside wound clinic", SiteKind.CLINIC, "wound")
        home = _open(organisation, "Linden household", SiteKind.HOUSEHOLD, "home")
        sites = {site.name: site for site in (clinic, home)}
        for username, role, site_name in ACCOUNTS:
            add_account(username, role, sites[site_name])
    for site in (clinic, home):
        _send_samples(site)
    return True


def add_account(username: str, role: Role, site: Site) -> User:
    """An account of the demonstration, with the password that everybody knows."""
    user = get_user_model().objects.create_user(username, password=PASSWORD)
    Membership.objects.create(user=user, site=site, role=role)
    return user


def _open(organisation: Organisation, name: str, kind: SiteKind, domain: str) -> Site:
    """One administrator cannot publish as two: the demonstration goes without that rule.

    It is trusted from the start, else nobody would see a case accepted.
    """
    return open_site(
        organisation=organisation,
        name=name,
        kind=kind,
        domain=domain,
        two_person_rule=False,
        trusted=True,
    )


def _send_samples(site: Site) -> None:
    for number, sample in enumerate(samples(site.domain), start=1):
        subject = f"D-{number:02d}" if site.kind == SiteKind.CLINIC else "living room"
        open_case(site=site, data=sample.jpeg, subject=subject, drawn=True, source="sample")


def demo_accounts() -> list[Account]:
    """Who can sign in to the demonstration; nobody once it is not one, or faces a network."""
    if not (settings.ALARM_DEMO and settings.LOOPBACK):
        return []
    rows = Membership.objects.filter(site__organisation__name=NAME).select_related("user", "site")
    names = {username for username, _role, _site in ACCOUNTS}
    return [
        Account(_username(row.user), row.get_role_display(), row.site.name)
        for row in rows
        if _username(row.user) in names
    ]


def _username(user: Any) -> str:
    return str(user.get_username())
