"""Who may call what: the same table as the pages'."""

from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from triage.api.authentication import Device
from triage.errors import Forbidden
from triage.middleware import place_of
from triage.models import Site
from triage.permissions import allows
from triage.sessions import is_proved


class MayAct(BasePermission):
    """The view names what is done in `acts`: method -> act; a device may only send observations.

    For methods that it names in `proved`, the sign-in must be of the last few minutes.
    """

    message = "Your role does not allow this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.method == "OPTIONS":
            return True
        method = "GET" if request.method == "HEAD" else request.method
        act = view.acts.get(method)  # type: ignore[attr-defined]
        if act is None:
            return False
        if isinstance(request.user, Device):
            return act in {"upload", "own_receipt"}
        if not request.user.is_authenticated:
            return False
        may = allows(place_for(request).roles, "upload" if act == "own_receipt" else act)
        if may and method in getattr(view, "proved", ()) and not is_proved(request.session):
            raise Forbidden(
                _("Sign in again first: open /sign-in/again/ in this session, then repeat this."),
                "reauthenticate",
            )
        return may


def place_for(request: Request) -> Any:
    """The caller's site and roles, which the middleware knows of whoever came with a session."""
    page = request._request
    if getattr(page, "user", None) == request.user and hasattr(page, "place"):
        return page.place
    return place_of(request.user, getattr(request, "session", {}))


def person_for(request: Request) -> User:
    """The person who calls; devices are turned away before it is asked for."""
    if not isinstance(request.user, User):
        raise Forbidden(_("This call is for people who are signed in."), "not_a_person")
    return request.user


def site_for(request: Request) -> Site:
    """The one site that this call is about."""
    if isinstance(request.user, Device):
        return request.user.token.site
    return place_for(request).site  # type: ignore[no-any-return]
