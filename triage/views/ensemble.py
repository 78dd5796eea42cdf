"""The ensemble: who is in it, how each member does, and whether it is well."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from inference.models import Member
from triage.errors import Refused
from triage.forms import MemberForm
from triage.models import Site
from triage.permissions import allows
from triage.selectors.candidates import added_members
from triage.selectors.ensemble import ensemble_page
from triage.services import members
from triage.views.access import is_fragment, member_page, person, place, site_of


@require_GET
@member_page("see_ensemble")
def ensemble_view(request: HttpRequest) -> HttpResponse:
    template = "_ensemble.html" if is_fragment(request) else "ensemble.html"
    return render(request, template, _context(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    site, user = site_of(request), person(request)
    changes = user.is_staff and allows(place(request).roles, "change_ensemble")
    return {
        "page": ensemble_page(site=site),
        "added": added_members(site),
        "may_change": changes,
        "form": _form(site) if changes else None,
    }


def _form(site: Site) -> MemberForm:
    return MemberForm(domains=members.served_domains(), chosen=site.domain)


@require_POST
@member_page("check_members")
def check_member_view(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("member", "")
    members.check_member(site=site_of(request), name=name, actor=person(request))
    messages.info(request, _("{0} is being asked; its answer shows here.").format(name))
    return redirect("ensemble")


@require_POST
@member_page("change_ensemble")
def add_member_view(request: HttpRequest) -> HttpResponse:
    """Write a candidate down, or say why not, with what was typed still in the form."""
    actor = person(request)
    members.require_staff(actor)
    form = MemberForm(request.POST, domains=members.served_domains())
    try:
        if not form.is_valid():
            raise Refused(_("Something is missing: see below."), "form")
        member = members.add_member(actor=actor, **form.cleaned_data)
    except Refused as error:
        context = _context(request) | {"form": form, "problem": str(error)}
        return render(request, "ensemble.html", context, status=error.status)
    messages.success(request, _("{0} is a candidate. Try it before it counts.").format(member.name))
    return redirect("ensemble")


@require_POST
@member_page("change_ensemble")
def try_member_view(request: HttpRequest, pk: int) -> HttpResponse:
    members.start_trial(
        member=_member(request, pk),
        site=site_of(request),
        actor=person(request),
        cases="cases" in request.POST,
    )
    messages.info(request, _("The trial has begun; its answers show here."))
    return redirect("ensemble")


@require_POST
@member_page("change_ensemble")
def take_in_view(request: HttpRequest, pk: int) -> HttpResponse:
    member = members.take_in(member=_member(request, pk), actor=person(request))
    messages.warning(
        request, _("{0} is a member. Everything is deferred until a refit.").format(member.name)
    )
    return redirect("ensemble")


@require_POST
@member_page("change_ensemble")
def retire_view(request: HttpRequest, pk: int) -> HttpResponse:
    member = members.retire(member=_member(request, pk), actor=person(request))
    messages.info(request, _("{0} is asked no more.").format(member.name))
    return redirect("ensemble")


def _member(request: HttpRequest, pk: int) -> Member:
    """One that was added; whoever has no staff rights does not learn which there are."""
    members.require_staff(person(request))
    return get_object_or_404(Member, pk=pk)
