"""Care teams: who looks after whom, and whether that decides who sees what."""

from functools import partial

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from triage import events
from triage.choices import SiteKind
from triage.errors import Conflict, Refused
from triage.models import CareTeamMember, Site, Subject
from triage.selectors.teams import carer_at
from triage.services.history import record


@transaction.atomic
def set_by_team(*, site: Site, actor: AbstractBaseUser, by_team: bool) -> None:
    """Clinicians see the cases of their own patients alone from now on, or every case again.

    Raises:
        Refused: the site is a household, where all see what comes from it.
    """
    if site.kind == SiteKind.HOUSEHOLD:
        raise Refused(_("A household is small: everybody there sees its cases."), "household")
    site.by_team = by_team
    site.save(update_fields=["by_team"])
    record("set care teams", site=site, actor=actor, by_team=by_team)
    _tell(site)


@transaction.atomic
def add_to_team(*, site: Site, actor: AbstractBaseUser, subject: str, person: int) -> None:
    """Have somebody look after the subject of this pseudonym.

    Raises:
        Refused: the site has no such subject, or the person is no clinician of it.
        Conflict: they do already.
    """
    known = Subject.objects.filter(site=site, pseudonym=subject.strip()).first()
    if known is None:
        raise Refused(_("There is no subject of this pseudonym at this site."), "subject")
    carer = carer_at(site, person)
    if carer is None:
        raise Refused(_("Choose a clinician of this site."), "person")
    _one, new = CareTeamMember.objects.get_or_create(subject=known, user=carer)
    if not new:
        raise Conflict(_("They look after this subject already."), "known")
    record("added to a care team", site=site, actor=actor, subject=known.pk, person=carer.pk)
    _tell(site)


@transaction.atomic
def remove_from_team(*, member: CareTeamMember, site: Site, actor: AbstractBaseUser) -> None:
    """Somebody looks after a subject no more; once nobody does, it is everybody's again."""
    subject, carer = member.subject_id, member.user_id
    member.delete()
    record("removed from a care team", site=site, actor=actor, subject=subject, person=carer)
    _tell(site)


def _tell(site: Site) -> None:
    transaction.on_commit(partial(events.announce, site.pk, "queue"))
