"""The expected cost in full: a page of its own, for it asks more than the short form."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from inference.uq.costs import Costs
from triage.errors import Refused
from triage.forms import CostsForm
from triage.models import Policy
from triage.selectors.costs import costs_page, domain_costs
from triage.services.costs import CostsAsked, price_of_review, propose_by_costs
from triage.views.access import member_page, person, site_of


@require_http_methods(["GET", "HEAD", "POST"])
@member_page("change_policies")
def costs_view(request: HttpRequest) -> HttpResponse:
    """The form; what cannot be done is said above it, with what was typed still in it."""
    site = site_of(request)
    if request.method == "POST":
        return _answer(request)
    costs = domain_costs(site, by_severity="severity" in request.GET)
    page, form = costs_page(site=site, costs=costs), CostsForm(labels=costs.labels)
    return render(request, "costs.html", {"page": page, "form": form})


def _answer(request: HttpRequest) -> HttpResponse:
    site = site_of(request)
    form = CostsForm(request.POST, labels=domain_costs(site).labels)
    try:
        return redirect("policy", pk=_propose(request, form).pk)
    except Refused as error:
        page = costs_page(site=site, costs=form.table())
        context = {"page": page, "form": form, "problem": str(error)}
        return render(request, "costs.html", context, status=error.status)


def _propose(request: HttpRequest, form: CostsForm) -> Policy:
    if not form.is_valid():
        raise Refused(
            _(
                "Costs are numbers from 0 on; say what a review costs, in percent of an error, or "
                "by an hourly rate and what an error costs."
            ),
            "form",
        )
    site, said = site_of(request), form.cleaned_data
    return propose_by_costs(
        site=site,
        domain=site.domain,
        method=said["method"],
        asked=asked_of(form.table(), said),
        actor=person(request),
    )


def asked_of(costs: Costs, said: dict[str, Any]) -> CostsAsked:
    """What was typed, in the service's units; the money counts where both its parts are there."""
    error = (said.get("expert_error") or 0.0) / 100
    if said.get("hourly") and said.get("error_price"):
        money = {
            name: float(said.get(name) or 1.0) for name in ("minutes", "hourly", "error_price")
        }
        return CostsAsked(costs, price_of_review(**money), error, money)
    return CostsAsked(costs, said["review"] / 100, error, {})
