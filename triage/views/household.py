"""The caregivers' pages."""

import json
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.choices import SHUT_OUT, SiteKind
from triage.errors import Refused
from triage.forms import QuietHoursForm
from triage.models import Ask, Case, DeviceToken, Membership, Site
from triage.selectors.asking import asked_again_at
from triage.selectors.beside import Listing
from triage.selectors.consents import consent_rows, looks
from triage.selectors.household import asking_page, household_page
from triage.services import asking, push, reviews
from triage.views.access import case_at, is_fragment, member_page, person, place, site_of

MOST_BYTES = 4000
TERMS = (30, 90, 180, 365)


@require_GET
@member_page("see_home")
def household_view(request: HttpRequest) -> HttpResponse:
    shut_out = SHUT_OUT in place(request).roles
    page = household_page(site=site_of(request), user=person(request), shut_out=shut_out)
    template = "_household.html" if is_fragment(request) else "household.html"
    return render(request, template, {"page": page, "listing": Listing("household")})


@require_POST
@member_page("answer_at_home")
def answer_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    case = case_at(request, pk)
    label, comment = (_plain(request.POST.get(name, "")) for name in ("label", "comment"))
    reviews.answer_at_home(case=case, user=person(request), label=label, comment=comment)
    messages.success(request, _("Thank you. That settles it."), extra_tags=f"undo:{pk}")
    return redirect("household")


@require_POST
@member_page("answer_at_home")
def not_sure_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    case, comment = case_at(request, pk), _plain(request.POST.get("comment", ""))
    ask = asking.not_sure(case=case, user=person(request), comment=comment)
    messages.info(request, _who_is_asked(case, ask))
    return redirect("household")


@require_GET
@member_page("live_here")
def asking_view(request: HttpRequest) -> HttpResponse:
    """When I am asked: quiet hours, snoozes, messages to this phone."""
    page = asking_page(site=site_of(request), user=person(request))
    return render(request, "asking.html", {"page": page, "push_key": push.public_key()})


@require_POST
@member_page("live_here")
def quiet_hours_view(request: HttpRequest) -> HttpResponse:
    form = QuietHoursForm(request.POST)
    if not form.is_valid():
        raise Refused(_("Give both times, or none."), "quiet")
    asking.set_quiet_hours(membership=_membership(request), **form.cleaned_data)
    messages.success(request, _("Stored."))
    return redirect("asking")


@require_POST
@member_page("live_here")
def snooze_view(request: HttpRequest) -> HttpResponse:
    """Snooze a camera for `hours`; 0 ends it."""
    membership, camera = _membership(request), _camera(request)
    hours = request.POST.get("hours", "")
    if hours == "0":
        asking.end_snooze(membership=membership, camera=camera)
        messages.info(request, _("You are asked again."))
        return redirect("asking")
    number = int(hours) if hours.isdecimal() and len(hours) < 5 else -1
    asking.snooze(membership=membership, camera=camera, hours=number)
    messages.info(request, _("You are not asked about it for now, unless it is critical."))
    return redirect("household" if request.POST.get("back") == "household" else "asking")


@require_GET
@member_page("consent")
def privacy_view(request: HttpRequest) -> HttpResponse:
    """What the household has consented to, and who has looked."""
    site = _home(request)
    context = {"consents": consent_rows(site), "looks": looks(site), "terms": TERMS}
    return render(request, "privacy.html", context)


@require_POST
@member_page("consent")
def consent_view(request: HttpRequest) -> HttpResponse:
    days = request.POST.get("days", str(asking.CONSENT_DAYS))
    asking.consent(
        site=_home(request),
        person=person(request),
        purpose=_plain(request.POST.get("purpose", "")),
        given=request.POST.get("given") == "yes",
        days=int(days) if days.isdecimal() and len(days) < 6 else 0,
    )
    messages.success(request, _("Stored. It holds from now on."))
    return redirect("privacy")


@require_POST
@member_page("live_here")
def subscribe_view(request: HttpRequest) -> HttpResponse:
    """A browser's PushSubscription as JSON: it is told from now on, or no longer with `off`."""
    try:
        endpoint, p256dh, auth, off = _subscription(request.body)
        if off:
            push.unsubscribe(user=person(request), endpoint=endpoint)
        else:
            push.subscribe(user=person(request), endpoint=endpoint, p256dh=p256dh, auth=auth)
    except Refused as error:
        return HttpResponse(str(error), status=error.status, content_type="text/plain")
    return HttpResponse(status=204)


def _subscription(body: bytes) -> tuple[str, str, str, bool]:
    try:
        sent: Any = json.loads(body) if len(body) <= MOST_BYTES else None
        keys = sent.get("keys", {})
        found = [sent["endpoint"], keys.get("p256dh", ""), keys.get("auth", "")]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(_("The browser's answer cannot be read."), "keys") from None
    if not all(isinstance(one, str) and "\x00" not in one for one in found):
        raise Refused(_("The browser's answer cannot be read."), "keys")
    return found[0], found[1], found[2], sent.get("off") is True


def _home(request: HttpRequest) -> Site:
    """The household; at a clinic nobody is asked to consent here."""
    site = site_of(request)
    if site.kind != SiteKind.HOUSEHOLD:
        raise Http404
    return site


def _membership(request: HttpRequest) -> Membership:
    here = Membership.objects.of(site_of(request)).select_related("site")
    return get_object_or_404(here, user=person(request), role="caregiver")


def _camera(request: HttpRequest) -> DeviceToken | None:
    wanted = request.POST.get("camera", "")
    if not wanted:
        return None
    if not wanted.isdecimal() or len(wanted) > 18:
        raise Http404
    return get_object_or_404(DeviceToken.objects.of(site_of(request)), pk=int(wanted))


def _who_is_asked(case: Case, ask: Ask | None) -> str:
    """In words, after somebody passed it on."""
    if ask:
        return _("{0} is asked now.").format(ask.person.get_username())
    at = asked_again_at(case, timezone.now())
    if at is None:
        return _("Nobody else can be asked now: it follows as soon as somebody is free.")
    here = timezone.localtime(at, ZoneInfo(case.site.time_zone))
    words = _("Nobody else can be asked now: it is asked again at {0}.")
    return words.format(date_format(here, "j M, H:i"))


def _plain(text: str) -> str:
    return text.replace("\x00", "")
