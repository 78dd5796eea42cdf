"""Who may what, written once: pages, API and sockets ask here."""

from typing import Protocol

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils.translation import gettext as _

from triage.choices import SHUT_OUT, Role
from triage.errors import Forbidden
from triage.models import Site

User = AbstractBaseUser | AnonymousUser

MAY: dict[str, frozenset[str]] = {
    "review": frozenset({Role.CLINICIAN, Role.CAREGIVER}),
    "see_cases": frozenset({Role.CLINICIAN, Role.CAREGIVER}),
    # One case: an administrator only behind broken glass, which selectors.glass knows of.
    "look": frozenset({Role.CLINICIAN, Role.CAREGIVER, Role.ADMINISTRATOR}),
    "break_glass": frozenset({Role.ADMINISTRATOR}),
    "see_glass": frozenset({Role.ADMINISTRATOR, Role.AUDITOR}),
    "see_traces": frozenset({Role.CLINICIAN}),
    "upload": frozenset({Role.CLINICIAN, Role.CAREGIVER, SHUT_OUT}),
    "export": frozenset({Role.CLINICIAN}),
    "end_leases": frozenset({Role.ADMINISTRATOR}),
    "set_time_zone": frozenset({Role.CAREGIVER, Role.ADMINISTRATOR, SHUT_OUT}),
    "see_policies": frozenset({Role.ADMINISTRATOR, Role.CLINICIAN, Role.AUDITOR}),
    "change_policies": frozenset({Role.ADMINISTRATOR}),
    "see_ensemble": frozenset({Role.ADMINISTRATOR, Role.CLINICIAN, Role.AUDITOR}),
    "see_history": frozenset({Role.AUDITOR, Role.ADMINISTRATOR}),
    "see_records": frozenset({Role.AUDITOR}),
    "erase": frozenset({Role.ADMINISTRATOR}),
    "manage_people": frozenset({Role.ADMINISTRATOR}),
    "manage_tokens": frozenset({Role.ADMINISTRATOR}),
    "see_own_reliance": frozenset({Role.CLINICIAN}),
    "see_monitoring": frozenset({Role.ADMINISTRATOR}),
    "see_domains": frozenset({Role.ADMINISTRATOR, Role.CLINICIAN}),
    "change_domains": frozenset({Role.ADMINISTRATOR}),
    "check_members": frozenset({Role.ADMINISTRATOR}),
    "change_ensemble": frozenset({Role.ADMINISTRATOR}),  # and staff rights: services.members
    "see_home": frozenset({Role.CLINICIAN, Role.CAREGIVER, SHUT_OUT}),
    "live_here": frozenset({Role.CAREGIVER, SHUT_OUT}),
    "answer_at_home": frozenset({Role.CAREGIVER}),
    "consent": frozenset({Role.CAREGIVER, Role.ADMINISTRATOR, SHUT_OUT}),
    "watch": frozenset({*Role.values, SHUT_OUT}),
}


class HasRoles(Protocol):
    """A person at one site, as triage.middleware attaches it to a request."""

    site: Site
    roles: frozenset[str]


def allows(roles: frozenset[str], act: str) -> bool:
    """Whether any of the roles allows the act; an unknown act is a programming error (KeyError)."""
    return bool(MAY[act] & roles)


def require(roles: frozenset[str], act: str) -> None:
    """Raises Forbidden unless one of the roles allows the act."""
    if allows(roles, act):
        return
    if SHUT_OUT in roles:
        raise Forbidden(
            _(
                "The consent by which the caregivers here see pictures has ended. What comes in "
                "waits for the site's staff. Renew it under “Who looks here”."
            ),
            "consent",
        )
    raise Forbidden(_("Your role does not allow this."), "forbidden")
