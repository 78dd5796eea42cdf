"""The auditors' pages: the history, whether it is intact, a copy of it, a case's record."""

from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from triage.forms import AuditForm
from triage.models import Site
from triage.selectors.audit_log import log_page
from triage.selectors.case_record import case_record
from triage.selectors.glass import unseen_glass
from triage.services.auditing import export_history, verify_history
from triage.views.access import member_page, person, record_at, site_of


@require_GET
@member_page("see_history")
def audit_view(request: HttpRequest) -> HttpResponse:
    form = AuditForm(request.GET)
    page = log_page(site=site_of(request), filters=form.filters(), after=form.after_event())
    unseen = unseen_glass(site_of(request))
    return render(request, "audit.html", {"page": page, "unseen": unseen})


@require_POST
@member_page("see_history")
def audit_verify_view(request: HttpRequest) -> HttpResponse:
    found = verify_history(site=site_of(request), actor=person(request))
    page = log_page(site=site_of(request), filters=AuditForm({}).filters())
    return render(request, "audit.html", {"page": page, "found": found})


@require_GET
@member_page("see_history", proved=True)
def audit_export_view(request: HttpRequest) -> HttpResponse:
    form = AuditForm(request.GET)
    file = download(site=site_of(request), actor=person(request), form=form)
    return cast(HttpResponse, file)  # a stream, which Django takes as well


def download(*, site: Site, actor: User, form: AuditForm) -> StreamingHttpResponse:
    """The lines that the form wants as a file, of which no cache keeps a copy."""
    as_csv = form.as_csv()
    lines = export_history(site=site, actor=actor, filters=form.filters(), as_csv=as_csv)
    kind, name = ("text/csv", "history.csv") if as_csv else ("application/jsonl", "history.jsonl")
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingHttpResponse(lines, content_type=f"{kind}; charset=utf-8", headers=headers)


@require_GET
@member_page("see_records")
def audit_case_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    return render(request, "audit_case.html", {"page": case_record(record_at(request, pk))})
