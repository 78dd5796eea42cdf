"""The administrators' pages: policies."""

import math

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.choices import PolicyMode
from triage.errors import Refused
from triage.forms import ProposeForm, PublishForm, ReadingsForm, ThresholdForm, WhatIfForm
from triage.models import DeviceToken, Lease, Policy
from triage.selectors.learning import Source
from triage.selectors.leases import HeldCase, held_cases
from triage.selectors.policies import policies_page, policy_page
from triage.selectors.policy_state import calibration_in_force
from triage.selectors.what_if import what_if
from triage.services import calibration, learning, policies, queue, rollout, sites
from triage.views.access import back, is_fragment, member_page, person, place, site_of


@require_GET
@member_page("see_policies")
def policies_view(request: HttpRequest) -> HttpResponse:
    page = policies_page(site=site_of(request), user=person(request))
    template = "_policies.html" if is_fragment(request) else "policies.html"
    context = {"page": page, "form": ProposeForm(), "held": _held(request)}
    return render(request, template, context)


@require_GET
@member_page("see_policies")
def what_if_view(request: HttpRequest) -> HttpResponse:
    form = WhatIfForm(request.GET)
    page = what_if(site=site_of(request), **form.question())
    template = "_outlook.html" if is_fragment(request) else "what_if.html"
    in_force = calibration_in_force(site_of(request), site_of(request).domain)
    context = {"page": page, "form": form, "calibration": in_force}
    return render(request, template, context)


@require_GET
@member_page("see_policies")
def leases_view(request: HttpRequest) -> HttpResponse:
    return render(request, "_leases.html", {"held": _held(request)})


def _held(request: HttpRequest) -> list[HeldCase]:
    return held_cases(site_of(request), person(request), place(request).roles)


@require_POST
@member_page("end_leases")
def end_lease_view(request: HttpRequest, pk: int) -> HttpResponse:
    running = Lease.objects.of(site_of(request)).select_related("case__site")
    lease = get_object_or_404(running, pk=pk)
    queue.take_away(lease=lease, actor=person(request))
    done = _("The hold is ended: case {0} waits again.").format(lease.case.number)
    messages.success(request, done)
    return redirect("policies")


@require_POST
@member_page("set_time_zone")
def time_zone_view(request: HttpRequest) -> HttpResponse:
    zone = request.POST.get("zone", "").strip()
    sites.set_time_zone(site=site_of(request), actor=person(request), zone=zone)
    messages.success(request, _("Stored: times here are those of {0}.").format(zone))
    return back(request)


@require_POST
@member_page("change_policies")
def propose_at_view(request: HttpRequest) -> HttpResponse:
    site, form = site_of(request), ThresholdForm(request.POST)
    if not form.is_valid() or not math.isfinite(form.cleaned_data["threshold"]):
        raise Refused(_("Set the dial first: this threshold cannot be read."), "form")
    policy = calibration.propose_at(
        site=site, domain=site.domain, actor=person(request), **form.cleaned_data
    )
    return redirect("policy", pk=policy.pk)


@require_GET
@member_page("see_policies")
def policy_view(request: HttpRequest, pk: int) -> HttpResponse:
    page = policy_page(policy=policy_of(request, pk), user=person(request))
    template = "_version_live.html" if is_fragment(request) else "policy.html"
    return render(request, template, {"page": page})


@require_POST
@member_page("change_policies", proved=True)
def publish_view(request: HttpRequest, pk: int) -> HttpResponse:
    form, wanted = PublishForm(request.POST), policy_of(request, pk)
    if not form.is_valid():
        raise Refused(_("Choose for which share of the cases it is published."), "form")
    if share := form.cleaned_data["share"]:
        rollout.start_canary(policy=wanted, share=share / 100, actor=person(request))
        said = _("Version {0} decides {1:g} % of the cases from the next one on.")
        messages.success(request, said.format(wanted.version, share))
    else:
        policies.publish_policy(policy=wanted, actor=person(request))
        messages.success(request, _("Version {0} is in force.").format(wanted.version))
    return redirect("policies")


@require_POST
@member_page("change_policies")
def roll_back_view(request: HttpRequest, pk: int) -> HttpResponse:
    policy = policies.roll_back(policy=policy_of(request, pk), actor=person(request))
    messages.success(request, _("Rolled back: version {0} is in force.").format(policy.version))
    return redirect("policies")


@require_POST
@member_page("change_policies")
def drop_view(request: HttpRequest, pk: int) -> HttpResponse:
    policies.drop_policy(policy=policy_of(request, pk), actor=person(request))
    messages.info(request, _("The draft was dropped."))
    return redirect("policies")


@require_POST
@member_page("change_policies")
def refit_view(request: HttpRequest) -> HttpResponse:
    site = site_of(request)
    policy = calibration.refit(site=site, domain=site.domain, actor=person(request))
    return redirect("policy", pk=policy.pk)


@require_POST
@member_page("change_policies")
def propose_view(request: HttpRequest) -> HttpResponse:
    """Write a draft, or say why not, with what was asked for still in the form."""
    site, form = site_of(request), ProposeForm(request.POST)
    try:
        if not form.is_valid():
            raise Refused(_("Choose a mode, a score and a percentage from 0.5 to 99."), "form")
        policy = calibration.propose_by_hand(
            site=site,
            domain=site.domain,
            mode=PolicyMode(form.cleaned_data["mode"]),
            value=form.cleaned_data["value"] / 100,
            method=form.cleaned_data["method"],
            actor=person(request),
        )
    except Refused as error:
        page = policies_page(site=site, user=person(request))
        context = {"page": page, "form": form, "problem": str(error)}
        return render(request, "policies.html", context, status=error.status)
    return redirect("policy", pk=policy.pk)


@require_POST
@member_page("change_policies")
def readings_view(request: HttpRequest) -> HttpResponse:
    form = ReadingsForm(request.POST)
    if not form.is_valid():
        raise Refused(_("Both shares lie between 0 and 100 %."), "form")
    sites.set_readings(
        site=site_of(request),
        actor=person(request),
        blind_share=form.cleaned_data["blind"] / 100,
        double_share=form.cleaned_data["double"] / 100,
    )
    messages.success(request, _("Stored: it holds for the cases to come."))
    return redirect("policies")


@require_POST
@member_page("change_policies")
def defer_all_view(request: HttpRequest) -> HttpResponse:
    site = site_of(request)
    policies.defer_everything(site=site, domain=site.domain, actor=person(request))
    messages.warning(request, _("From now on every case goes to a person."))
    return redirect("policies")


@require_POST
@member_page("change_policies")
def end_learning_view(request: HttpRequest) -> HttpResponse:
    learning.end_by_hand(source=_source(request), actor=person(request))
    messages.warning(request, _("Learning has ended: the policy decides from the next case on."))
    return redirect("policies")


@require_POST
@member_page("change_policies")
def start_learning_view(request: HttpRequest) -> HttpResponse:
    learning.start_again(source=_source(request), actor=person(request))
    messages.info(request, _("It is learning: from the next case on all its cases go to a person."))
    return redirect("policies")


def _source(request: HttpRequest) -> Source:
    """The camera that the form names by `camera`, of the own site; without one the site itself."""
    site, camera = site_of(request), request.POST.get("camera", "")
    if not camera:
        return Source(site, site.domain)
    if not camera.isdecimal() or len(camera) > 18:
        raise Http404
    return Source(
        site, site.domain, get_object_or_404(DeviceToken.objects.of(site), pk=int(camera))
    )


def policy_of(request: HttpRequest, pk: int) -> Policy:
    """A version of the own site; any other is not found."""
    versions = Policy.objects.of(site_of(request))
    return get_object_or_404(versions.select_related("site", "calibration", "before"), pk=pk)
