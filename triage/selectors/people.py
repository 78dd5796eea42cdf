"""Who belongs to a site, how they sign in, and what a provider's groups give them."""

from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Sum
from django.utils import timezone
from django.utils.text import slugify

from triage.choices import STAFF, Role
from triage.models import Membership, Site

Roles = frozenset[tuple[int, str]]  # (site, role)


@dataclass(frozen=True)
class PersonRow:
    """One person of a site. `locked`: too many failed sign-ins from one address, just now."""

    id: int
    name: str
    roles: tuple[str, ...]
    active: bool
    second_factor: bool
    needs_factor: bool
    locked: bool
    last_sign_in: datetime | None
    of_others: bool

    @property
    def spoken(self) -> str:
        return ", ".join(str(Role(role).label) for role in self.roles)


def people_of(site: Site) -> list[PersonRow]:
    """All who belong to the site, by name."""
    factors = Authenticator.objects.filter(user_id=OuterRef("pk"))
    elsewhere = Membership.objects.filter(user_id=OuterRef("pk")).exclude(
        site__organisation_id=site.organisation_id
    )
    users = (
        User.objects.filter(memberships__site=site)
        .annotate(factor=Exists(factors), of_others=Exists(elsewhere))
        .order_by("username")
        .distinct()
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
        )
        for user in users
    ]


def _roles_at(site: Site) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    rows = Membership.objects.filter(site=site).order_by("role")
    for user_id, role in rows.values_list("user_id", "role"):
        found[user_id] = (*found.get(user_id, ()), role)
    return found


def locked_names() -> set[str]:
    """Who has failed to sign in too often lately, from some address."""
    since = timezone.now() - settings.AXES_COOLOFF_TIME
    tries = AccessAttempt.objects.filter(attempt_time__gte=since)
    tries = tries.values("username", "ip_address").annotate(n=Sum("failures_since_start"))
    limit = settings.AXES_FAILURE_LIMIT
    return {one["username"] for one in tries if one["n"] >= limit}


def roles_of_groups(groups: list[str]) -> Roles:
    """What these groups of the provider may do; a site that is not there once gives nothing."""
    wanted = [(role, site) for group, role, site in settings.ALARM_OIDC_ROLES if group in groups]
    sites = sites_by_slug()
    return frozenset((sites[site], role) for role, site in wanted if site in sites)


def sites_by_slug() -> dict[str, int]:
    """A site's name as an address would have it -> the site; a name that two share is no name."""
    found: dict[str, list[int]] = {}
    for pk, name in Site.objects.values_list("pk", "name"):
        found.setdefault(slugify(name), []).append(pk)
    return {slug: pks[0] for slug, pks in found.items() if len(pks) == 1}
