"""How a site is going, for administrators; how they and the machine agree, for reviewers."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.selectors.accounts import accounts_of
from triage.selectors.monitoring import monitoring_page
from triage.selectors.reliance import own_reliance
from triage.services import monitoring
from triage.services.reliance import share_reliance
from triage.views.access import is_fragment, member_page, person, site_of


@require_GET
@member_page("see_monitoring")
def monitoring_view(request: HttpRequest) -> HttpResponse:
    page = monitoring_page(site=site_of(request))
    template = "_now.html" if is_fragment(request) else "monitoring.html"
    return render(request, template, {"page": page})


@require_POST
@member_page("see_monitoring")
def check_view(request: HttpRequest) -> HttpResponse:
    monitoring.check(site=site_of(request))
    messages.success(request, _("Checked: this is how it stands now."))
    return redirect("monitoring")


@require_GET
@member_page("see_monitoring")
def accounts_view(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts.html", {"found": accounts_of(site_of(request))})


@require_GET
@member_page("see_own_reliance")
def reliance_view(request: HttpRequest) -> HttpResponse:
    page = own_reliance(site=site_of(request), user=person(request))
    return render(request, "reliance.html", {"page": page})


@require_POST
@member_page("see_own_reliance")
def share_view(request: HttpRequest) -> HttpResponse:
    shared = request.POST.get("shared") == "1"
    share_reliance(site=site_of(request), user=person(request), shared=shared)
    return redirect("reliance")
