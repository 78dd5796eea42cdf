"""The administrators' page of what is kept, held and erased."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from triage.errors import Refused
from triage.forms import ReasonForm, RetentionForm, TargetForm
from triage.models import LegalHold, Subject
from triage.selectors.retention import retention_page
from triage.services import erasing
from triage.views.access import member_page, person, site_of


@require_GET
@member_page("erase")
def retention_view(request: HttpRequest) -> HttpResponse:
    return render(request, "retention.html", {"page": retention_page(site_of(request))})


@require_POST
@member_page("erase", proved=True)
def retention_set_view(request: HttpRequest) -> HttpResponse:
    form = RetentionForm(request.POST)
    if not form.is_valid():
        raise Refused(_("Days are whole numbers from 1 on; an empty field keeps for good."), "form")
    erasing.set_retention(site=site_of(request), actor=person(request), days=form.cleaned_data)
    messages.success(request, _("Stored: the next sweep erases what is older."))
    return redirect("retention")


@require_POST
@member_page("erase", proved=True)
def erase_view(request: HttpRequest) -> HttpResponse:
    form = TargetForm.checked(request.POST)
    target, reason = form.target(site_of(request)), form.cleaned_data["reason"]
    if isinstance(target, Subject):
        done = erasing.erase_subject(subject=target, actor=person(request), reason=reason)
        messages.success(request, _said(done))
    else:
        erasing.erase_case(case=target, actor=person(request), reason=reason)
        messages.success(request, _("Case {0} is erased.").format(target.number))
    return redirect("retention")


@require_POST
@member_page("erase", proved=True)
def hold_view(request: HttpRequest) -> HttpResponse:
    form = TargetForm.checked(request.POST)
    target = form.target(site_of(request))
    erasing.hold(target=target, actor=person(request), reason=form.cleaned_data["reason"])
    messages.success(request, _("Nothing of it is erased until the hold is lifted."))
    return redirect("retention")


@require_POST
@member_page("erase", proved=True)
def lift_view(request: HttpRequest, pk: int) -> HttpResponse:
    holds = LegalHold.objects.of(site_of(request)).select_related("site", "case")
    held = get_object_or_404(holds, pk=pk)
    form = ReasonForm.checked(request.POST)
    erasing.lift(held=held, actor=person(request), reason=form.cleaned_data["reason"])
    messages.success(request, _("The hold is lifted."))
    return redirect("retention")


def _said(done: erasing.SubjectErased) -> str:
    said = ngettext("{0} case is erased.", "{0} cases are erased.", done.erased).format(done.erased)
    if not done.waiting:
        return said
    left = ngettext(
        "{0} still waits for an answer: erase again afterwards.",
        "{0} still wait for an answer: erase again afterwards.",
        done.waiting,
    ).format(done.waiting)
    return f"{said} {left}"
