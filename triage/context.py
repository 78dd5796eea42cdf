"""What every page knows: where the person is, and where they can go."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from triage.choices import SiteKind
from triage.models import Site
from triage.permissions import allows
from triage.selectors.alerts import open_count
from triage.selectors.queue import waiting_count
from triage.sessions import seconds_left


def navigation(request: HttpRequest) -> dict[str, Any]:
    """nav, member_site, member_roles, open_alerts and sites, as the base template shows them."""
    place = getattr(request, "place", None)
    if place is None or place.site is None or not isinstance(request.user, User):
        return {"nav": [], "member_site": None, "member_roles": frozenset(), "sites": []}
    entries = [
        {"url": url, "title": title, "count": count, "current": request.path.startswith(url)}
        for name, title, count in _entries(place.site, place.roles, request.user)
        for url in (reverse(name),)
    ]
    return {
        "nav": entries,
        "member_site": place.site,
        "member_roles": place.roles,
        "open_alerts": open_count(place.site) if allows(place.roles, "see_monitoring") else 0,
        "sites": place.others,
        "session_left": round(seconds_left(request.session, staff=place.staff)),
    }


def _entries(site: Site, roles: frozenset[str], user: User) -> list[tuple[str, str, int | None]]:
    home = site.kind == SiteKind.HOUSEHOLD
    first = ("household", _("Household")) if home else ("queue", _("Queue"))
    sees_first = allows(roles, "see_home" if home else "review")
    entries: list[tuple[str, str, int | None]] = []
    if sees_first:
        entries.append((*first, waiting_count(site, user)))
    pages = [
        ("upload", "upload", _("Upload")),
        ("see_cases", "cases", _("Cases")),
        ("see_policies", "policies", _("Policies")),
        ("see_monitoring", "monitoring", _("Monitoring")),
        ("see_domains", "domains", _("Domains")),
        ("see_ensemble", "ensemble", _("Ensemble")),
        ("see_history", "audit", _("History")),
        ("erase", "retention", _("Retention")),
        ("manage_people", "people", _("People")),
    ]
    entries += [(name, title, None) for act, name, title in pages if allows(roles, act)]
    if home and not sees_first and allows(roles, "consent"):
        entries.append(("privacy", _("Consent"), None))
    return entries
