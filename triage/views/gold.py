"""The administrators' page of gold cases: who agrees with what is known, and what is known."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.forms import KnownForm
from triage.selectors.gold import gold_page
from triage.services import gold
from triage.views.access import member_page, person, site_of


@require_GET
@member_page("manage_people")
def gold_view(request: HttpRequest) -> HttpResponse:
    page = gold_page(site_of(request), settings.ALARM_GOLD_SHARE)
    return render(request, "gold.html", {"page": page})


@require_POST
@member_page("manage_people")
def mark_view(request: HttpRequest) -> HttpResponse:
    form = KnownForm.checked(request.POST)
    case, known = form.case(site_of(request)), form.cleaned_data["known"] == "yes"
    gold.mark(case=case, actor=person(request), known=known)
    said = _("Case {0} may be shown again.") if known else _("Case {0} is not shown again.")
    messages.success(request, said.format(case.number))
    return redirect("gold")
