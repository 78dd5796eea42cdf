"""The administrators' pages about what is watched for: domains, their versions, new sites."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from inference.pipeline.domains import domain_ids, load_domain
from inference.services.definitions import kept
from triage.definition_form import DefinitionForm
from triage.errors import Forbidden, Invalid, Refused
from triage.forms import SiteForm, TrialForm
from triage.models import DomainVersion
from triage.selectors.domains import (
    DomainRow,
    colleagues,
    domain_row,
    domains_page,
    domains_to_choose,
    version_page,
)
from triage.selectors.trials import newest_trial, trial_page
from triage.services import domains, sites, trials
from triage.views.access import is_fragment, member_page, person, site_of


@require_GET
@member_page("see_domains")
def domains_view(request: HttpRequest) -> HttpResponse:
    return render(request, "domains.html", {"rows": domains_page(site=site_of(request))})


@require_GET
@member_page("see_domains")
def domain_view(request: HttpRequest, name: str, number: int | None = None) -> HttpResponse:
    """A version of a domain; by default that in force here, else the newest; 0 is what ships."""
    site, row = site_of(request), _row(request, name)
    version = _in_view(row) if number is None else _version(request, name, number)
    trial = newest_trial(site, version) if version else None
    context = {
        "name": name,
        "page": version_page(site=site, row=row, version=version, user=person(request)),
        "trial": trial_page(trial) if trial else None,
        "trial_form": TrialForm(),
    }
    template = "_trial.html" if version and is_fragment(request) else "domain.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
@member_page("change_domains")
def new_domain_view(request: HttpRequest) -> HttpResponse:
    """A domain from blank, or (`?copy=`) with all that another one has."""
    if request.method == "POST":
        return _written(request, "", DefinitionForm.read(request.POST))
    wanted = request.GET.get("copy", "")
    row = _row(request, wanted) if wanted else None
    form = DefinitionForm.of(row.domain) if row else DefinitionForm.blank()
    return _form_page(request, "", form)


@require_http_methods(["GET", "POST"])
@member_page("change_domains")
def edit_domain_view(request: HttpRequest, name: str) -> HttpResponse:
    """The next version of a domain, beginning with the version `?from=`, else with the newest."""
    row = _row(request, name)
    if request.method == "POST":
        return _written(request, name, DefinitionForm.read(request.POST))
    given = request.GET.get("from", "")
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else None
    newest = row.versions[0].version
    version = newest if number is None else _version(request, name, number)
    domain = kept(version.definition_id) if version else load_domain(name)
    return _form_page(request, name, DefinitionForm.of(domain))


@require_POST
@member_page("change_domains", proved=True)
def publish_domain_view(request: HttpRequest, name: str, number: int) -> HttpResponse:
    version = _stored(request, name, number)
    domains.publish_version(site=site_of(request), version=version, actor=person(request))
    messages.success(request, _("Version {0} is in force.").format(number))
    return redirect("domain-version", name=name, number=number)


@require_POST
@member_page("change_domains")
def trial_view(request: HttpRequest, name: str, number: int) -> HttpResponse:
    version, form = _stored(request, name, number), TrialForm(request.POST)
    if not form.is_valid():
        raise Refused(_("A trial takes {0} to {1} cases.").format(trials.FEWEST, trials.MOST))
    trials.start_trial(
        site=site_of(request), version=version, actor=person(request), **form.cleaned_data
    )
    return redirect("domain-version", name=name, number=number)


@require_http_methods(["GET", "POST"])
@member_page("change_domains")
def new_site_view(request: HttpRequest) -> HttpResponse:
    """A site of the same organisation, with a domain of its own."""
    site, user = site_of(request), person(request)
    form = SiteForm(
        request.POST or None,
        choices=domains_to_choose(site),
        people=colleagues(site, user),
        initial={"domain": request.GET.get("domain", "")},
    )
    if request.method == "POST" and form.is_valid():
        try:
            added = _add_site(request, form)
        except Invalid as error:
            form.add_error("name", error.faults["name"])
        except Forbidden as error:
            form.add_error("domain", str(error))
        else:
            messages.success(request, _("{0} is there: switch to it above.").format(added))
            return redirect("domains")
    status = 422 if request.method == "POST" else 200
    return render(request, "site_new.html", {"form": form}, status=status)


def _add_site(request: HttpRequest, form: SiteForm) -> str:
    name, _colon, number = form.cleaned_data["domain"].partition(":")
    site = sites.add_site(
        beside=site_of(request),
        name=form.cleaned_data["name"],
        kind=form.cleaned_data["kind"],
        domain=name,
        version=_stored(request, name, int(number)) if number else None,
        people=form.wanted_people(),
        actor=person(request),
    )
    return site.name


def _written(request: HttpRequest, name: str, form: DefinitionForm) -> HttpResponse:
    """Store the form as a version, or show it again: with a row more or less, or what is wrong."""
    act = request.POST.get("act", "")
    if act == "add":
        return _form_page(request, name, form.with_one_more(), focus=len(form.rows))
    if act.startswith("remove-") and act[7:].isdecimal():
        return _form_page(request, name, form.without(int(act[7:])))
    try:
        version = domains.write_version(
            site=site_of(request),
            domain_id=name or form.name,
            content=form.to_content(),
            note=form.note,
            new=not name,
            actor=person(request),
        )
    except Invalid as error:
        form = form.with_faults(error.faults)
        return _form_page(request, name, form, problem=str(error))
    except Refused as error:
        return _form_page(request, name, form, problem=str(error))
    messages.success(request, _("Version {0} is written: a draft.").format(version.version))
    return redirect("domain-version", name=version.domain, number=version.version)


def _form_page(
    request: HttpRequest,
    name: str,
    form: DefinitionForm,
    *,
    problem: str = "",
    focus: int | None = None,
) -> HttpResponse:
    context = {"name": name, "form": form, "problem": problem, "focus": focus}
    status = 422 if problem else 200
    return render(request, "domain_form.html", context, status=status)


def _row(request: HttpRequest, name: str) -> DomainRow:
    row = domain_row(site=site_of(request), domain_id=name)
    if row is None:
        raise Http404
    return row


def _in_view(row: DomainRow) -> DomainVersion | None:
    in_force = [one for one in row.versions if one.in_force]
    return (in_force or row.versions)[0].version


def _version(request: HttpRequest, name: str, number: int) -> DomainVersion | None:
    """A stored version; 0 is what ships, as long as no version is just that."""
    if number:
        return _stored(request, name, number)
    if name not in domain_ids():
        raise Http404
    versions = DomainVersion.objects.of(site_of(request))
    return versions.filter(domain=name, definition=load_domain(name).digest).first()


def _stored(request: HttpRequest, name: str, number: int) -> DomainVersion:
    versions = DomainVersion.objects.of(site_of(request)).select_related("author")
    return get_object_or_404(versions, domain=name, version=number)
