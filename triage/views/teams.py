"""The administrators' page of who looks after whom."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.models import CareTeamMember
from triage.selectors.teams import teams_page
from triage.services import teams
from triage.views.access import member_page, person, site_of


@require_GET
@member_page("manage_people")
def teams_view(request: HttpRequest) -> HttpResponse:
    q = request.GET.get("q", "").replace("\x00", "").strip()
    return render(request, "care_teams.html", {"page": teams_page(site_of(request), q)})


@require_POST
@member_page("manage_people")
def set_view(request: HttpRequest) -> HttpResponse:
    by_team = request.POST.get("by_team") == "yes"
    teams.set_by_team(site=site_of(request), actor=person(request), by_team=by_team)
    messages.success(
        request,
        _("Stored: clinicians see the cases of their own patients.")
        if by_team
        else _("Stored: clinicians see every case of the site."),
    )
    return redirect("care-teams")


@require_POST
@member_page("manage_people")
def add_view(request: HttpRequest) -> HttpResponse:
    said, who = request.POST, request.POST.get("person", "")
    teams.add_to_team(
        site=site_of(request),
        actor=person(request),
        subject=said.get("subject", "").replace("\x00", ""),
        person=int(who) if who.isdecimal() and len(who) < 10 else 0,
    )
    messages.success(request, _("Stored."))
    return redirect("care-teams")


@require_POST
@member_page("manage_people")
def remove_view(request: HttpRequest, pk: int) -> HttpResponse:
    site = site_of(request)
    member = get_object_or_404(CareTeamMember.objects.of(site), pk=pk)
    teams.remove_from_team(member=member, site=site, actor=person(request))
    messages.success(request, _("Stored."))
    return redirect("care-teams")
