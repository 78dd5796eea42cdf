"""Break-glass: opening a case with a reason, and looking at what others opened."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.choices import GlassReason
from triage.models import GlassBreak
from triage.selectors.glass import GLASS_MINUTES, glass_page
from triage.services.glass import break_glass, find_case, review_glass
from triage.views.access import member_page, person, place, site_of


@require_GET
@member_page("see_glass")
def glass_view(request: HttpRequest) -> HttpResponse:
    context = {
        "page": glass_page(
            site=site_of(request), viewer=person(request), roles=place(request).roles
        ),
        "glass_reasons": GlassReason.choices,
        "minutes": GLASS_MINUTES,
    }
    return render(request, "glass.html", context)


@require_POST
@member_page("break_glass")
def break_view(request: HttpRequest) -> HttpResponse:
    """Open the case that the form names by its number or its id."""
    said = request.POST
    case = find_case(site_of(request), said.get("case", ""))
    break_glass(
        case=case,
        user=person(request),
        reason=said.get("reason", ""),
        words=said.get("words", ""),
    )
    messages.info(request, _("Open for {0} minutes, and written down.").format(GLASS_MINUTES))
    return redirect("case", pk=case.pk)


@require_POST
@member_page("break_glass")
def review_view(request: HttpRequest, pk: int) -> HttpResponse:
    opened = GlassBreak.objects.of(site_of(request)).select_related("case__site", "person")
    broken = get_object_or_404(opened, pk=pk)
    justified = request.POST.get("justified") == "yes"
    review_glass(broken=broken, actor=person(request), justified=justified)
    messages.success(request, _("Stored: it has been looked at."))
    return redirect("glass")
