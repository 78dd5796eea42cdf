"""The administrators' page about how their site is going."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.selectors.monitoring import monitoring_page
from triage.services import monitoring
from triage.views.access import is_fragment, member_page, site_of


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
