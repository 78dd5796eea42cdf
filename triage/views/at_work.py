"""What answers have moved: a page for those who give them and those who answer for policies."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from triage.permissions import allows
from triage.selectors.at_work import at_work_page
from triage.views.access import member_page, person, place, site_of


@require_GET
@member_page("see_policies")
def at_work_view(request: HttpRequest) -> HttpResponse:
    reviews = allows(place(request).roles, "review")
    page = at_work_page(
        site=site_of(request),
        user=person(request),
        everyone=not reviews or request.GET.get("whose") == "everyone",
    )
    return render(request, "at_work.html", {"page": page})
