"""At which site, and in which roles, the signed-in person is working."""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest, HttpResponse

from triage.choices import SHUT_OUT, Role, SiteKind
from triage.models import Membership, Site
from triage.selectors.consents import has_ended

SESSION_KEY = "site"


@dataclass(frozen=True)
class Place:
    """A person's place: one site and the roles held there; nowhere means no site and no roles.

    `others` are the person's other sites, which they can go to.
    """

    site: Site | None = None
    roles: frozenset[str] = frozenset()
    others: tuple[Site, ...] = ()


def place_of(user: AbstractBaseUser | AnonymousUser, wanted: int | None = None) -> Place:
    """The person's place: the wanted site if it is theirs, else the first of theirs."""
    if not user.is_authenticated:
        return Place()
    # A socket knows its user from when it was opened: whether they are disabled is read anew.
    mine = Membership.objects.filter(user_id=user.pk, user__is_active=True)
    mine = mine.select_related("site").order_by("site_id")
    by_site: dict[int, list[Membership]] = {}
    for membership in mine:
        by_site.setdefault(membership.site_id, []).append(membership)
    here = by_site.get(wanted or 0) or next(iter(by_site.values()), [])
    if not here:
        return Place()
    site = here[0].site
    others = tuple(rows[0].site for pk, rows in by_site.items() if pk != site.pk)
    return Place(site, _roles(site, frozenset(m.role for m in here)), others)


def _roles(site: Site, held: frozenset[str]) -> frozenset[str]:
    """Without the household's consent a caregiver is none: all that is not said to be left is not.

    Pages, API and sockets all find their roles here.
    """
    if site.kind != SiteKind.HOUSEHOLD or Role.CAREGIVER not in held or not has_ended(site):
        return held
    return held - {Role.CAREGIVER} | {SHUT_OUT}


def site_of_member(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Attach `request.place`; roles are read anew on each request, so a change counts at once."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.place = place_of(request.user, request.session.get(SESSION_KEY))  # type: ignore[attr-defined]
        return get_response(request)

    return middleware
