"""What an administrator does with a version between its draft and all cases."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from triage.errors import Refused
from triage.forms import PublishForm
from triage.services import rollout
from triage.views.access import member_page, person
from triage.views.governing import policy_of


@require_POST
@member_page("change_policies")
def shadow_view(request: HttpRequest, pk: int) -> HttpResponse:
    policy = rollout.put_in_shadow(policy=policy_of(request, pk), actor=person(request))
    said = _("Version {0} is in shadow: what it would say of each new case is kept.")
    messages.success(request, said.format(policy.version))
    return redirect("policy", pk=policy.pk)


@require_POST
@member_page("change_policies")
def end_shadow_view(request: HttpRequest, pk: int) -> HttpResponse:
    policy = rollout.end_shadow(policy=policy_of(request, pk), actor=person(request))
    messages.info(request, _("Version {0} is a draft again.").format(policy.version))
    return redirect("policy", pk=policy.pk)


@require_POST
@member_page("change_policies", proved=True)
def widen_canary_view(request: HttpRequest, pk: int) -> HttpResponse:
    form = PublishForm(request.POST)
    if not form.is_valid():
        raise Refused(_("Choose for which share of the cases it is published."), "form")
    share = form.cleaned_data["share"]
    policy = rollout.widen_canary(
        policy=policy_of(request, pk), actor=person(request), share=share / 100 if share else None
    )
    said = _("Version {0} decides {1:g} % of the cases from the next one on.")
    messages.success(request, said.format(policy.version, share or 100))
    return redirect("policies")


@require_POST
@member_page("change_policies")
def end_canary_view(request: HttpRequest, pk: int) -> HttpResponse:
    policy = rollout.end_canary(policy=policy_of(request, pk), actor=person(request))
    said = _("The canary has ended: version {0} decides no further case.")
    messages.info(request, said.format(policy.version))
    return redirect("policies")
