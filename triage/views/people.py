"""The administrators' page of who belongs to the site, and how they are helped to sign in."""

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.selectors.people import leads_all, members_of, people_of
from triage.services import people
from triage.views.access import member_page, person, site_of


@require_GET
@member_page("manage_people")
def people_view(request: HttpRequest) -> HttpResponse:
    site = site_of(request)
    context = {"rows": people_of(site), "leads_all": leads_all(person(request), site)}
    return render(request, "people.html", context)


@require_POST
@member_page("manage_people", proved=True)
def reset_view(request: HttpRequest, pk: int) -> HttpResponse:
    user = _member(request, pk)
    people.reset_second_factor(user=user, site=site_of(request), actor=person(request))
    said = _("{0} signs in by password now and sets up a new second factor.")
    messages.success(request, said.format(user.get_username()))
    return redirect("people")


@require_POST
@member_page("manage_people")
def unlock_view(request: HttpRequest, pk: int) -> HttpResponse:
    user = _member(request, pk)
    people.lift_lock(user=user, site=site_of(request), actor=person(request))
    messages.success(request, _("{0} may try again.").format(user.get_username()))
    return redirect("people")


@require_POST
@member_page("manage_people", proved=True)
def disable_view(request: HttpRequest, pk: int) -> HttpResponse:
    user = _member(request, pk)
    people.disable(user=user, site=site_of(request), actor=person(request))
    messages.success(
        request, _("{0} is signed out and cannot sign in.").format(user.get_username())
    )
    return redirect("people")


def _member(request: HttpRequest, pk: int) -> User:
    return get_object_or_404(members_of(site_of(request)), pk=pk)
