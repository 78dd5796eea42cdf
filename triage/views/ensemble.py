"""The ensemble: who is in it, how each member does, and whether it is well."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.selectors.ensemble import ensemble_page
from triage.services import members
from triage.views.access import is_fragment, member_page, person, site_of


@require_GET
@member_page("see_ensemble")
def ensemble_view(request: HttpRequest) -> HttpResponse:
    page = ensemble_page(site=site_of(request))
    template = "_ensemble.html" if is_fragment(request) else "ensemble.html"
    return render(request, template, {"page": page})


@require_POST
@member_page("check_members")
def check_member_view(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("member", "")
    members.check_member(site=site_of(request), name=name, actor=person(request))
    messages.info(request, _("{0} is being asked; its answer shows here.").format(name))
    return redirect("ensemble")
