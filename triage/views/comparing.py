"""Two versions of a policy side by side."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from triage.models import Policy, Site
from triage.selectors.comparison import comparison, usual_pair, version_of, versions_of
from triage.views.access import member_page, site_of


@require_GET
@member_page("see_policies")
def compare_versions_view(request: HttpRequest) -> HttpResponse:
    site = site_of(request)
    versions = versions_of(site)
    usual = usual_pair(versions)
    page = None
    if usual:
        left = chosen(site, request.GET.get("left"), usual[0])
        right = chosen(site, request.GET.get("right"), usual[1])
        page = comparison(versions=versions, left=left, right=right)
    return render(request, "compare_versions.html", {"page": page})


def chosen(site: Site, asked: str | None, usual: Policy) -> Policy:
    """The version of that number, or the usual one. Raises Http404 where there is none."""
    if not asked:
        return usual
    found = version_of(site, int(asked)) if asked.isdecimal() and len(asked) < 10 else None
    if found is None:
        raise Http404
    return found
