"""Who may look into a case behind broken glass, and what there is to be looked at of it."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone
from django.utils.translation import gettext as _

from triage.models import Case, GlassBreak, Site
from triage.permissions import allows
from triage.selectors.teams import is_seen

SHOWN = 50
GLASS_MINUTES = 30


@dataclass(frozen=True)
class GlassRow:
    """A case that somebody opened; `mine` is the viewer's own, which another one looks at.

    `words` are empty for auditors: they may name whom the picture shows.
    """

    broken: GlassBreak
    number: str
    who: str
    why: str
    words: str
    mine: bool
    open: bool


@dataclass(frozen=True)
class GlassPage:
    waiting: list[GlassRow]
    seen: list[GlassRow]


def open_glass(case: Case, user: AbstractBaseUser) -> GlassBreak | None:
    """What lets this person look into the case now."""
    mine = GlassBreak.objects.filter(case=case, person_id=user.pk, until__gt=timezone.now())
    return mine.first()


def why_not_look(case: Case, user: AbstractBaseUser, roles: frozenset[str]) -> str:
    """Why this person may not look into a case of their site, in words; "" if they may."""
    if _sees(case, user, roles) or open_glass(case, user):
        return ""
    return _(
        "Administrators see no pictures. If you have to look into this case, say why: you can for "
        "{0} minutes, and another administrator looks at it afterwards."
    ).format(GLASS_MINUTES)


def is_hidden(case: Case, user: AbstractBaseUser, roles: frozenset[str]) -> bool:
    """Whether it is no case of this person's, and no reason makes it one: it is not found."""
    return not (allows(roles, "break_glass") or _sees(case, user, roles))


def _sees(case: Case, user: AbstractBaseUser, roles: frozenset[str]) -> bool:
    return allows(roles, "see_cases") and is_seen(case, case.site, user)


def glass_page(*, site: Site, viewer: AbstractBaseUser, roles: frozenset[str]) -> GlassPage:
    """What was opened at a site: first all that nobody has looked at, then the newest others."""
    broken = GlassBreak.objects.filter(case__site=site)
    broken = broken.select_related("case", "person", "reviewed_by")
    return GlassPage(
        waiting=[glass_row(one, viewer, roles) for one in broken.filter(reviewed_at=None)],
        seen=[glass_row(one, viewer, roles) for one in broken.exclude(reviewed_at=None)[:SHOWN]],
    )


def unseen_glass(site: Site) -> int:
    return GlassBreak.objects.filter(case__site=site, reviewed_at=None).count()


def glass_row(broken: GlassBreak, viewer: AbstractBaseUser, roles: frozenset[str]) -> GlassRow:
    return GlassRow(
        broken=broken,
        number=broken.case.number,
        who=broken.person.get_username(),
        why=broken.get_reason_display(),
        words=broken.words if allows(roles, "break_glass") else "",
        mine=broken.person_id == viewer.pk,
        open=broken.until > timezone.now(),
    )
