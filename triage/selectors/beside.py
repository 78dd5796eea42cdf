"""The list that a case was opened from, and the cases on both sides of it there."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from triage.choices import ALL_WAITING, CaseStatus
from triage.models import Case
from triage.permissions import allows
from triage.selectors.queue import ahead, behind, listed

# What a list is called in an address, and the act without which nobody sees it.
ACTS = {"queue": "review", "household": "review", "cases": "see_cases"}


@dataclass(frozen=True)
class Listing:
    """A list as an address names it: what waits, or the cases of a `status` that a search finds."""

    name: str
    status: str = ""
    q: str = ""

    @property
    def query(self) -> str:
        """What a link to a case says of the list that it stands in."""
        return "?" + urlencode({"in": self.name, **self._narrowed})

    @property
    def url(self) -> str:
        """Of the list itself."""
        narrowed = urlencode(self._narrowed)
        return reverse(self.name) + (f"?{narrowed}" if narrowed else "")

    @property
    def title(self) -> str:
        status = ""
        if self.status == ALL_WAITING:
            status = _("all that wait")
        elif self.status in CaseStatus.values:
            status = str(CaseStatus(self.status).label)
        first = {"queue": _("Queue"), "household": _("Household"), "cases": _("Cases")}
        parts = (first[self.name], status, f"“{self.q}”" if self.q else "")
        return " · ".join(filter(None, parts))

    @property
    def _narrowed(self) -> dict[str, str]:
        if self.name != "cases":
            return {}
        return {key: value for key, value in (("status", self.status), ("q", self.q)) if value}


def listing_of(*, name: str, status: str, q: str, roles: frozenset[str]) -> Listing | None:
    """The list of that name, None where there is none or these roles do not show it."""
    if name not in ACTS or not allows(roles, ACTS[name]):
        return None
    return Listing(name, status, q) if name == "cases" else Listing(name)


def before(*, case: Case, user: AbstractBaseUser, listing: Listing) -> Case | None:
    """The case ahead of one in a list, or of the place where it stood when it is there no more."""
    cases, status = _listed(case, user, listing)
    return cases.filter(ahead(case, status)).reverse().first()


def after(*, case: Case, user: AbstractBaseUser, listing: Listing) -> Case | None:
    """The case behind it, likewise."""
    cases, status = _listed(case, user, listing)
    return cases.filter(behind(case, status)).first()


def _listed(case: Case, user: AbstractBaseUser, listing: Listing) -> tuple[QuerySet[Case], str]:
    """A household's list is gone through in the order in which it is due, as the queue is."""
    status = listing.status if listing.name == "cases" else ALL_WAITING
    return listed(case.site, user, status, listing.q), status
