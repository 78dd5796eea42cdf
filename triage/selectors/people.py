"""Who belongs to a site, how they sign in, and what a provider's groups give them."""

from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, User
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.text import slugify

from triage.choices import STAFF, Role
from triage.models import Membership, Organisation, OrganisationRole, Site

OF_ALL = "organisation:"  # before an organisation's name, where a site's would stand


@dataclass(frozen=True)
class Roles:
    """What somebody is to be: roles at sites and of organisations, each as (primary key, role)."""

    sites: frozenset[tuple[int, str]] = frozenset()
    organisations: frozenset[tuple[int, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.sites or self.organisations)


@dataclass(frozen=True)
class PersonRow:
    """One person of a site. `locked`: too many failed sign-ins from one address, just now.

    `for_all`: they answer for the whole organisation, and so here.
    """

    id: int
    name: str
    roles: tuple[str, ...]
    active: bool
    second_factor: bool
    needs_factor: bool
    locked: bool
    last_sign_in: datetime | None
    of_others: bool
    for_all: bool = False

    @property
    def spoken(self) -> str:
        return ", ".join(str(Role(role).label) for role in self.roles)


def places_of(user_id: int) -> list[tuple[Site, str]]:
    """At which sites somebody may work, and as what, by site: nowhere once they are disabled."""
    mine = Site.objects.filter(memberships__user=user_id, memberships__user__is_active=True)
    of_all = Site.objects.filter(
        organisation__people__user=user_id, organisation__people__user__is_active=True
    )
    roles = mine.annotate(held=F("memberships__role"))
    roles = roles.union(of_all.annotate(held=F("organisation__people__role")))
    return [(site, site.held) for site in roles.order_by("id")]


def members_of(site: Site) -> QuerySet[User]:
    """All who belong to the site, by a role there or of its organisation."""
    of_all = Q(organisation_roles__organisation=site.organisation_id)
    return User.objects.filter(Q(memberships__site=site) | of_all).distinct()


def administrators_of(site: Site) -> QuerySet[User]:
    """Those who can sign in."""
    here = Q(memberships__site=site, memberships__role=Role.ADMINISTRATOR)
    of_all = Q(
        organisation_roles__organisation=site.organisation_id,
        organisation_roles__role=Role.ADMINISTRATOR,
    )
    return User.objects.filter(here | of_all, is_active=True).distinct()


def leads_all(user: AbstractBaseUser, site: Site) -> bool:
    """Whether somebody is an administrator of the site's whole organisation."""
    held = OrganisationRole.objects.filter(organisation=site.organisation_id, user_id=user.pk)
    return held.filter(role=Role.ADMINISTRATOR).exists()


def is_for_all(user: AbstractBaseUser, site: Site) -> bool:
    """Whether somebody answers for the site's whole organisation, in any role."""
    held = OrganisationRole.objects.filter(organisation=site.organisation_id, user_id=user.pk)
    return held.exists()


def works_elsewhere(user: AbstractBaseUser, site: Site) -> bool:
    """Whether somebody also belongs to another organisation."""
    mine = User.objects.filter(pk=user.pk)
    return mine.filter(_of_others(site)).exists()


def people_of(site: Site) -> list[PersonRow]:
    """All who belong to the site, by name."""
    factors = Authenticator.objects.filter(user_id=OuterRef("pk"))
    for_all = OrganisationRole.objects.filter(
        organisation=site.organisation_id, user_id=OuterRef("pk")
    )
    users = (
        members_of(site)
        .annotate(factor=Exists(factors), of_others=_of_others(site), for_all=Exists(for_all))
        .order_by("username")
    )
    roles = _roles_at(site)
    locked = locked_names()
    return [
        PersonRow(
            id=user.pk,
            name=user.get_username(),
            roles=roles[user.pk],
            active=user.is_active,
            second_factor=user.factor,
            needs_factor=settings.ALARM_SECOND_FACTOR and bool(STAFF & set(roles[user.pk])),
            locked=user.get_username() in locked,
            last_sign_in=user.last_login,
            of_others=user.of_others,
            for_all=user.for_all,
        )
        for user in users
    ]


def _roles_at(site: Site) -> dict[int, tuple[str, ...]]:
    here = Membership.objects.filter(site=site).values_list("user_id", "role")
    of_all = OrganisationRole.objects.filter(organisation=site.organisation_id)
    found: dict[int, tuple[str, ...]] = {}
    for user_id, role in here.union(of_all.values_list("user_id", "role")).order_by("role"):
        found[user_id] = (*found.get(user_id, ()), role)
    return found


def _of_others(site: Site) -> Q:
    """Of a user: whether they belong to another organisation than the site's."""
    here = site.organisation_id
    at_sites = Membership.objects.filter(user_id=OuterRef("pk")).exclude(site__organisation=here)
    of_all = OrganisationRole.objects.filter(user_id=OuterRef("pk")).exclude(organisation=here)
    return Exists(at_sites) | Exists(of_all)


def locked_names() -> set[str]:
    """Who has failed to sign in too often lately, from some address."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    tries = AccessAttempt.objects.filter(attempt_time__gte=since)
    tries = tries.values("username", "ip_address").annotate(n=Sum("failures_since_start"))
    limit = settings.AXES_FAILURE_LIMIT
    return {one["username"] for one in tries if one["n"] >= limit}


def roles_of_groups(groups: list[str]) -> Roles:
    """What these groups of the provider may do; what is not there once gives nothing."""
    wanted = [(role, place) for group, role, place in settings.ALARM_OIDC_ROLES if group in groups]
    known = places_by_slug()
    found = [
        (place.startswith(OF_ALL), known[place], role) for role, place in wanted if place in known
    ]
    return Roles(
        frozenset((pk, role) for of_all, pk, role in found if not of_all),
        frozenset((pk, role) for of_all, pk, role in found if of_all),
    )


def places_by_slug() -> dict[str, int]:
    """A name as an address would have it -> the site; a name that two share is no name.

    Organisations stand beside them, with OF_ALL before their names.
    """
    found: dict[str, list[int]] = {}
    for pk, name in Site.objects.values_list("pk", "name"):
        found.setdefault(slugify(name), []).append(pk)
    for pk, name in Organisation.objects.values_list("pk", "name"):
        found.setdefault(OF_ALL + slugify(name), []).append(pk)
    return {slug: pks[0] for slug, pks in found.items() if len(pks) == 1}
