"""Two versions of a policy side by side."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from triage.models import Policy
from triage.selectors.comparison import comparison, usual_pair, versions_of
from triage.views.access import member_page, site_of


@require_GET
@member_page("see_policies")
def compare_versions_view(request: HttpRequest) -> HttpResponse:
    versions = versions_of(site_of(request))
    usual = usual_pair(versions)
    page = None
    if usual:
        left = chosen(versions, request.GET.get("left"), usual[0])
        right = chosen(versions, request.GET.get("right"), usual[1])
        page = comparison(versions=versions, left=left, right=right)
    return render(request, "compare_versions.html", {"page": page})


def chosen(versions: list[Policy], asked: str | None, usual: Policy) -> Policy:
    """The version of that number, or the usual one. Raises Http404 where there is none."""
    if not asked:
        return usual
    found = next((one for one in versions if str(one.version) == asked), None)
    if found is None:
        raise Http404
    return found
