"""At which site, and in which roles, the signed-in person is working, and for how long."""

from collections.abc import Callable
from dataclasses import dataclass

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _

from triage import sessions
from triage.choices import SHUT_OUT, STAFF, Role, SiteKind
from triage.models import Site
from triage.selectors.consents import has_ended
from triage.selectors.people import places_of

SESSION_KEY = "site"
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
# What somebody reaches who has yet to set up a second factor, beside allauth's own pages of it.
WITHOUT_FACTOR = {"sign-in", "sign-out", "set-language", "manifest", "worker"}
FACTOR_PAGES = ("mfa_", "account_", "openid_connect_")


@dataclass(frozen=True)
class Place:
    """A person's place: one site and the roles held there; nowhere means no site and no roles.

    `others` are the person's other sites, which they can go to; `staff` says whether they work at
    any. Who is `barred` is nowhere until they have set up a second factor.
    """

    site: Site | None = None
    roles: frozenset[str] = frozenset()
    others: tuple[Site, ...] = ()
    staff: bool = False
    barred: bool = False


def place_of(user: AbstractBaseUser | AnonymousUser, session: sessions.Session) -> Place:
    """The person's place: the site that the session names if it is theirs, else their first."""
    if not user.is_authenticated:
        return Place()
    # A socket knows its user from when it was opened: whether they are disabled is read anew.
    mine = places_of(user.pk)
    sites = {site.pk: site for site, _role in mine}
    site = sites.get(session.get(SESSION_KEY) or 0) or next(iter(sites.values()), None)
    if site is None:
        return Place()
    staff = any(role in STAFF for _site, role in mine)
    if staff and lacks_factor(user, session):
        return Place(staff=True, barred=True)
    held = frozenset(role for at, role in mine if at.pk == site.pk)
    others = tuple(one for one in sites.values() if one.pk != site.pk)
    return Place(site, _roles(site, held), others, staff)


def _roles(site: Site, held: frozenset[str]) -> frozenset[str]:
    """Without the household's consent a caregiver is none: all that is not said to be left is not.

    Pages, API and sockets all find their roles here.
    """
    if site.kind != SiteKind.HOUSEHOLD or Role.CAREGIVER not in held or not has_ended(site):
        return held
    return held - {Role.CAREGIVER} | {SHUT_OUT}


def lacks_factor(user: AbstractBaseUser | AnonymousUser, session: sessions.Session) -> bool:
    """Whether a member of staff has yet to set up the second factor that is asked of them."""
    if not settings.ALARM_SECOND_FACTOR or sessions.by_provider(session):
        return False
    return not Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists()


def site_of_member(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Attach `request.place`; roles are read anew on each request, so a change counts at once.

    A session whose time is over ends here, and whoever lacks a second factor gets no further.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        place = place_of(request.user, request.session)
        if request.user.is_authenticated:
            if sessions.seconds_left(request.session, staff=place.staff) <= 0:
                logout(request)
                place = Place()
            elif sessions.is_activity(request):
                sessions.touch(request.session)
        request.place = place  # type: ignore[attr-defined]
        if place.barred and not _without_factor(request):
            return _to_set_up(request)
        return get_response(request)

    return middleware


def _without_factor(request: HttpRequest) -> bool:
    try:
        name = resolve(request.path_info).url_name or ""
    except Resolver404:
        return True  # whoever asks for what is not there learns that it is not
    return name in WITHOUT_FACTOR or name.startswith(FACTOR_PAGES)


def _to_set_up(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        words = _("Set up a second factor on the page /second-factor/ first.")
        return JsonResponse({"code": "second_factor_missing", "detail": words}, status=403)
    return redirect("mfa_index")
