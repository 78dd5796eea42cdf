"""What all pages share: who may, and what a person is told when something cannot be done."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from triage.choices import GlassReason
from triage.errors import BehindGlass, Forbidden, TriageError
from triage.middleware import Place
from triage.models import Case, Site
from triage.permissions import require
from triage.selectors.glass import is_hidden, why_not_look
from triage.sessions import is_proved

View = Callable[..., HttpResponse]


def member_page(act: str, *, proved: bool = False) -> Callable[[View], View]:
    """Only for signed-in people whose role at their site allows `act`; others get a 403 page.

    A TriageError of the page becomes a message and a way back; nothing was changed then. With
    `proved`, whoever signed in some time ago does so again, and what they sent goes on from there.
    """

    def decorate(view: View) -> View:
        @login_required
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                require(place(request).roles, act)
                if proved and not is_proved(request.session):
                    raise ReauthenticationRequired
                return view(request, *args, **kwargs)
            except Forbidden as error:
                return _refused(request, error, kwargs.get("pk"))
            except TriageError as error:
                messages.error(request, str(error))
                return back(request)

        return wrapper

    return decorate


def _refused(request: HttpRequest, error: Forbidden, pk: object) -> HttpResponse:
    """The 403 page, with the way in where there is one."""
    asks = isinstance(error, BehindGlass)
    context = {
        "reason": str(error),
        "renews": error.code == "consent",
        "behind": str(pk) if asks else "",
        "glass_reasons": GlassReason.choices,
    }
    return render(request, "403.html", context, status=403)


def place(request: HttpRequest) -> Place:
    """The person's site and roles, as the middleware found them."""
    return request.place  # type: ignore[attr-defined, no-any-return]


def person(request: HttpRequest) -> User:
    """Who is signed in; only behind `member_page`, where somebody is."""
    if not isinstance(request.user, User):
        raise Forbidden(_("Sign in first."), "not_signed_in")
    return request.user


def site_of(request: HttpRequest) -> Site:
    """The person's site; only behind `member_page`, where there is one."""
    site = place(request).site
    if site is None:
        raise Forbidden(_("You do not belong to any site yet. Ask your administrator."), "no_site")
    return site


def case_at(request: HttpRequest, pk: UUID) -> Case:
    """A case that the person may look into; another site's, or another care team's, is not
    found rather than forbidden.

    Raises:
        BehindGlass: they may not but with a reason.
    """
    case = record_at(request, pk)
    if is_hidden(case, person(request), place(request).roles):
        raise Http404
    if why := why_not_look(case, person(request), place(request).roles):
        raise BehindGlass(why)
    return case


def record_at(request: HttpRequest, pk: UUID) -> Case:
    """A case of the person's own site, for those who see nothing of what it shows."""
    site = site_of(request)
    case = get_object_or_404(Case.objects.of(site), pk=pk)
    case.site = site
    return case


def back(request: HttpRequest, to: str = "") -> HttpResponse:
    """To where the person came from, or to a named page."""
    target = to or request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    host = request.build_absolute_uri("/")
    if not target.startswith(("/", host)) or target.startswith("//"):
        target = reverse("start")
    if is_fragment(request):
        return HttpResponse(status=204, headers={"HX-Redirect": target})
    return redirect(target)


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx or the live module asks for a fragment."""
    return request.headers.get("HX-Request") == "true"
