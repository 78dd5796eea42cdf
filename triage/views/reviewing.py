"""The reviewers' pages: queue, cases, and one case."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.choices import ExportForm, RetakeReason, SiteKind, SkipReason
from triage.errors import Conflict, Refused
from triage.forms import RetakeForm, ReviewForm
from triage.models import Case, Lease
from triage.permissions import allows
from triage.selectors import cases as case_selectors
from triage.selectors.beside import Listing, after, before, listing_of
from triage.selectors.queue import cases_page, queue_page
from triage.selectors.rows import why_not_undo
from triage.selectors.words import domain_of
from triage.services import queue, reviews
from triage.views.access import case_at, is_fragment, member_page, person, place, site_of


@require_GET
@member_page("review")
def queue_view(request: HttpRequest) -> HttpResponse:
    page = queue_page(site=site_of(request), user=person(request))
    context = {"page": page, "listing": Listing("queue")}
    return render(request, "_queue.html" if is_fragment(request) else "queue.html", context)


@require_POST
@member_page("review")
def claim_next_view(request: HttpRequest) -> HttpResponse:
    lease = queue.claim_next(site=site_of(request), user=person(request))
    if lease:
        return _case_itself(request, lease)
    page = queue_page(site=site_of(request), user=person(request))
    taken = _("All waiting cases are held by others, or you have read them or passed them on.")
    messages.info(request, taken if page.waiting or page.held else _("Nothing waits. Well done."))
    return redirect(_list_of(request))


@require_GET
@member_page("see_cases")
def cases_view(request: HttpRequest) -> HttpResponse:
    wanted = _wanted(request)
    page = cases_page(
        site=site_of(request),
        user=person(request),
        after=_uuid(request.GET.get("after", "")),
        detailed=allows(place(request).roles, "see_traces"),
        **wanted,
    )
    template = "_cases.html" if is_fragment(request) else "cases.html"
    context = {"page": page, "listing": Listing("cases", **wanted)}
    return render(request, template, context | {"export_forms": ExportForm.choices})


@require_GET
@member_page("look")
def case_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    context = _case_context(request, case_at(request, pk), _listing(request))
    return render(request, "case.html", context)


@require_GET
@member_page("look")
def previous_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _along_the_list(request, pk, before, _("This is the first case of the list."))


@require_GET
@member_page("look")
def next_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _along_the_list(request, pk, after, _("This is the last case of the list."))


def _along_the_list(
    request: HttpRequest, pk: UUID, neighbour: Callable[..., Case | None], at_its_end: str
) -> HttpResponse:
    """To the neighbour of a case, as the list is now; at the end of the list back to the case."""
    case, listing = case_at(request, pk), _listing(request)
    if listing is None:
        return redirect("case", pk)
    found = neighbour(case=case, user=person(request), listing=listing)
    if found is None:
        messages.info(request, at_its_end)
    return redirect(reverse("case", args=[found.pk if found else pk]) + listing.query)


@require_GET
@member_page("look")
def case_panel_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    context = _case_context(request, case_at(request, pk), _listing(request))
    return render(request, "_case.html", context)


@require_POST
@member_page("review")
def claim_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Hold this case; what was typed when a hold on it ran out goes along, and is not lost."""
    case, typed = case_at(request, pk), _typed(request)
    try:
        queue.claim(case=case, user=person(request))
        if any(typed.values()):
            reviews.keep_draft(case=case, user=person(request), **typed)
    except (Refused, Conflict) as error:
        if not any(typed.values()):
            raise
        return _refused(request, pk, error)
    return _to_case(request, pk)


@require_POST
@member_page("review")
def release_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    queue.release(lease=_my_lease(request, pk))
    return redirect(_list_of(request))


@require_POST
@member_page("review")
def pass_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    to = request.POST.get("to", "")
    queue.pass_on(
        lease=_my_lease(request, pk),
        comment=_plain(request.POST.get("comment", "")),
        to=int(to) if to.isdecimal() and len(to) < 10 else None,
    )
    messages.info(request, _("Passed on: somebody else will be asked."))
    return _onward(request)


@require_POST
@member_page("review")
def skip_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    queue.skip(lease=_my_lease(request, pk), reason=_plain(request.POST.get("reason", "")))
    messages.info(request, _("Skipped: it comes to you again after all others."))
    return _onward(request)


@require_POST
@member_page("review")
def retake_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    case, form = case_at(request, pk), RetakeForm(request.POST)
    if not form.is_valid():
        raise Refused(_("Say what is wrong with the photo."), "reason")
    reviews.ask_again(case=case, user=person(request), **form.cleaned_data)
    messages.info(request, _("A new photo is asked for."))
    return _onward(request)


@require_POST
@member_page("review")
def extend_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    try:
        lease, over = queue.extend(lease=_my_lease(request, pk)), False
    except Conflict:  # the fragment can say so, and a reload would take what was typed
        ended = case_at(request, pk).leases.filter(holder=person(request)).order_by("pk").last()
        if ended is None or not is_fragment(request):
            raise
        lease, over = ended, True
    if is_fragment(request):
        context = {"lease": lease, "over": over, "listing": _listing(request)}
        return render(request, "_lease.html", context)
    return _to_case(request, pk)


@require_POST
@member_page("review")
def draft_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Keep what was typed so far; the page sends it by itself, and learns how long it holds."""
    case = case_at(request, pk)
    try:
        lease = reviews.keep_draft(case=case, user=person(request), **_typed(request))
    except (Refused, Conflict) as error:  # for the script to say, not for the next page
        return HttpResponse(str(error), status=error.status, content_type="text/plain")
    return HttpResponse(status=204, headers={"Lease-Expires": lease.expires_at.isoformat()})


@require_POST
@member_page("review")
def review_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Store the answer; a refused one comes back with all that was typed still in the form."""
    case = case_at(request, pk)
    form = ReviewForm(request.POST, domain=domain_of(case))
    try:
        if not form.is_valid():
            raise Refused(_what_is_missing(form), "form")
        review = reviews.submit_review(case=case, user=person(request), **form.cleaned_data)
    except (Refused, Conflict) as error:
        return _refused(request, pk, error)
    if why_not_undo(review.case, review):
        messages.success(request, _("Stored."), extra_tags=f"case:{pk}")
    else:
        messages.success(request, _("Stored. You can take it back."), extra_tags=f"undo:{pk}")
    if request.POST.get("next"):
        return claim_next_view(request)
    return _to_case(request, pk)


@require_POST
@member_page("review")
def undo_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    lease = reviews.undo_review(case=case_at(request, pk), user=person(request))
    if site_of(request).kind == SiteKind.HOUSEHOLD:  # where nobody holds a case
        queue.release(lease=lease)
        messages.info(request, _("Your answer was taken back."))
    else:
        messages.info(request, _("Your answer was taken back; you hold the case again."))
    return _to_case(request, pk)


def _case_itself(request: HttpRequest, lease: Lease) -> HttpResponse:
    """The page of a case as the answer to a form; its script puts the address right (app.js).

    A redirect would have the browser ask once more, and the server find out once more who asks.
    """
    listing = Listing("queue")
    address = reverse("case", args=[lease.case_id]) + listing.query
    context = _case_context(request, lease.case, listing, lease=lease) | {"address": address}
    response = render(request, "case.html", context)
    response.headers["Content-Location"] = address
    return response


def _case_context(
    request: HttpRequest,
    case: Case,
    listing: Listing | None,
    form: ReviewForm | None = None,
    lease: Lease | None = None,
) -> dict[str, Any]:
    page = case_selectors.case_page(
        case=case, user=person(request), roles=place(request).roles, lease=lease
    )
    if form is None:
        draft = page.draft
        begun = {"label": draft.label, "comment": draft.comment} if draft else {}
        form = ReviewForm(domain=page.domain, initial=begun)
    return {
        "page": page,
        "listing": listing,
        "form": form,
        "skip_reasons": SkipReason.choices,
        "retake_reasons": RetakeReason.choices,
    }


def _refused(request: HttpRequest, pk: UUID, error: Refused | Conflict) -> HttpResponse:
    """The page of the case with all that was typed, and the way to claim it where it is free."""
    case = case_at(request, pk)
    for lease in case.leases.filter(ended_at=None, expires_at__lte=timezone.now()):
        queue.release(lease=lease)
    case = case_at(request, pk)
    form = ReviewForm(request.POST, domain=domain_of(case))
    context = _case_context(request, case, _listing(request), form) | {"problem": str(error)}
    return render(request, "case.html", context, status=error.status)


def _to_case(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Back to the case, in the list that it was opened from."""
    listing = _listing(request)
    return redirect(reverse("case", args=[pk]) + (listing.query if listing else ""))


def _listing(request: HttpRequest) -> Listing | None:
    """The list that the address names, for those who may see it."""
    name, roles = request.GET.get("in", ""), place(request).roles
    return listing_of(name=name, roles=roles, **_wanted(request))


def _wanted(request: HttpRequest) -> dict[str, str]:
    return {key: _plain(request.GET.get(key, "")) for key in ("status", "q")}


def _typed(request: HttpRequest) -> dict[str, str]:
    return {name: _plain(request.POST.get(name, "")) for name in ("label", "comment")}


def _onward(request: HttpRequest) -> HttpResponse:
    """To the next case; at a household, where nobody works through a queue, to the list."""
    at_home = site_of(request).kind == SiteKind.HOUSEHOLD
    return redirect("household") if at_home else claim_next_view(request)


def _what_is_missing(form: ReviewForm) -> str:
    if "label" in form.errors:
        return _("Choose a label first.")
    return " ".join(str(error) for errors in form.errors.values() for error in errors)


def _my_lease(request: HttpRequest, pk: UUID) -> Lease:
    return queue.lease_on(case=case_at(request, pk), user=person(request))


def _list_of(request: HttpRequest) -> str:
    return "household" if site_of(request).kind == SiteKind.HOUSEHOLD else "queue"


def _plain(text: str) -> str:
    """Without NUL, which PostgreSQL refuses."""
    return text.replace("\x00", "")


def _uuid(text: str) -> str:
    try:
        return str(UUID(text)) if text else ""
    except ValueError:
        return ""
