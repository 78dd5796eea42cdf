"""What is done about people who sign in: help them back in, send them away, follow their groups."""

import logging
from secrets import token_urlsafe

from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from triage import events
from triage.choices import FOR_ALL, Role
from triage.errors import Forbidden, Refused
from triage.models import Membership, Organisation, OrganisationRole, Site
from triage.selectors.people import Roles, is_for_all, leads_all, works_elsewhere
from triage.services.history import record

log = logging.getLogger(__name__)


@transaction.atomic
def reset_second_factor(*, user: User, site: Site, actor: AbstractBaseUser | None) -> None:
    """Forget a person's second factors: they sign in by password and set up new ones.

    Their sessions end. `actor` is None for who has the server itself.

    Raises:
        Forbidden: it is one's own, or of somebody of another organisation or of all sites.
        Refused: there is none.
    """
    if actor is not None:
        _may_change(user, site, actor)
    gone, _rows = Authenticator.objects.filter(user=user).delete()
    if not gone:
        raise Refused(_("This person has no second factor."), "no_factor")
    record("second factor reset", site=site, actor=actor, person=user.pk)
    send_away(user)


def _may_change(user: User, site: Site, actor: AbstractBaseUser) -> None:
    if user.pk == actor.pk:
        raise Forbidden(_("Not for yourself: ask another administrator."), "oneself")
    if is_for_all(user, site) and not leads_all(actor, site):
        words = _("This person answers for the whole organisation: only somebody who does may.")
        raise Forbidden(words, "for_all")
    if works_elsewhere(user, site):
        words = _("This person also works at another organisation. Whoever runs the server may.")
        raise Forbidden(words, "another_organisation")


@transaction.atomic
def lift_lock(*, user: User, site: Site, actor: AbstractBaseUser | None) -> None:
    """Let somebody try to sign in again who has failed too often."""
    AccessAttempt.objects.filter(username=user.get_username()).delete()
    record("sign-in unlocked", site=site, actor=actor, person=user.pk)


@transaction.atomic
def disable(*, user: User, site: Site, actor: AbstractBaseUser | None) -> None:
    """Nobody signs in by this account any more; what is open is closed at once.

    Raises:
        Forbidden: it is one's own, or of somebody of another organisation or of all sites.
    """
    if actor is not None:
        _may_change(user, site, actor)
    user.is_active = False
    user.save(update_fields=["is_active"])
    record("account disabled", site=site, actor=actor, person=user.pk)


def note_lock(username: str) -> None:
    """Somebody failed too often to sign in under this name; nobody's if nobody has it."""
    if user := User.objects.filter(username=username).first():
        for site in sites_of(user):
            record("sign-in locked", site=site, person=user.pk)


def note_factor(user: AbstractBaseUser, *, added: bool, kind: str) -> None:
    """A person has set up a second factor, or taken one away."""
    for site in sites_of(user):
        record(
            "second factor added" if added else "second factor removed",
            site=site,
            actor=user,
            kind=kind,
        )


@transaction.atomic
def follow_groups(*, user: AbstractBaseUser, roles: Roles) -> None:
    """Give a person exactly these roles, and write down what changed."""
    _follow_for_all(user, roles.organisations)
    _follow_at_sites(user, roles.sites)


def _follow_at_sites(user: AbstractBaseUser, roles: frozenset[tuple[int, str]]) -> None:
    mine = Membership.objects.filter(user_id=user.pk).select_related("site")
    for one in mine:
        if (one.site_id, one.role) not in roles:
            site, role = one.site, one.role
            one.delete()
            record("role taken by the provider", site=site, actor=user, role=role)
    had = {(one.site_id, one.role) for one in mine.all()}
    for site in Site.objects.filter(pk__in={pk for pk, _role in roles}):
        for role in sorted(role for pk, role in roles - had if pk == site.pk):
            _one, new = Membership.objects.get_or_create(user_id=user.pk, site=site, role=role)
            if new:  # else two browsers came at once
                record("role given by the provider", site=site, actor=user, role=role)


def _follow_for_all(user: AbstractBaseUser, roles: frozenset[tuple[int, str]]) -> None:
    mine = OrganisationRole.objects.filter(user_id=user.pk).select_related("organisation")
    for one in mine:
        if (one.organisation_id, one.role) not in roles:
            _dismiss("role taken by the provider", one, user)
    for pk, role in sorted(roles):
        organisation = Organisation.objects.get(pk=pk)
        _appoint("role given by the provider", user, organisation, role, user)


@transaction.atomic
def appoint(*, user: User, organisation: Organisation, role: str) -> None:
    """Make somebody an administrator or auditor of all sites, also of those yet to come.

    Raises:
        Refused: there is no such role of an organisation, or they have it already.
    """
    if role not in FOR_ALL:
        raise Refused(_("Only administrators and auditors answer for an organisation."), "role")
    if not _appoint("role given for the organisation", user, organisation, role):
        raise Refused(_("They have this role already."), "known")


@transaction.atomic
def dismiss(*, user: User, organisation: Organisation, role: str) -> None:
    """Take a role of an organisation from somebody; their sessions end.

    Raises:
        Refused: they do not have it.
    """
    held = OrganisationRole.objects.filter(organisation=organisation, user=user, role=role).first()
    if held is None:
        raise Refused(_("They do not have this role."), "unknown")
    _dismiss("role taken for the organisation", held)


def _appoint(
    verb: str,
    user: AbstractBaseUser,
    organisation: Organisation,
    role: str,
    actor: AbstractBaseUser | None = None,
) -> bool:
    _one, new = OrganisationRole.objects.get_or_create(
        organisation=organisation, user_id=user.pk, role=role
    )
    if new:
        _tell_all(verb, organisation, actor, role, user.pk)
    return new


def _dismiss(verb: str, held: OrganisationRole, actor: AbstractBaseUser | None = None) -> None:
    organisation, role, person = held.organisation, held.role, held.user_id
    held.delete()
    _tell_all(verb, organisation, actor, role, person)


def _tell_all(
    verb: str, organisation: Organisation, actor: AbstractBaseUser | None, role: str, person: int
) -> None:
    """In the history of each site: there it counts."""
    told = {"organisation": organisation.pk, "role": role, "person": person}
    for site in organisation.sites.order_by("pk"):
        record(verb, site=site, actor=actor, case=None, **told)


@transaction.atomic
def make_account(*, name: str, role: Role, site: Site) -> str:
    """An account with a role at a site, or one more role for whoever has one.

    Returns:
        The new account's password, which nobody can read again; nothing for one that was there.
    """
    user, password = User.objects.filter(username=name).first(), ""
    if user is None:
        password = token_urlsafe(12)
        user = User.objects.create_user(name, password=password)
    _one, new = Membership.objects.get_or_create(user_id=user.pk, site=site, role=role)
    if new:
        record("role given on the server", site=site, role=role, person=user.pk)
    return password


def send_away(user: AbstractBaseUser) -> None:
    """End all sessions of a person, and have their open pages hear nothing more."""
    current = Session.objects.filter(expire_date__gte=timezone.now())
    theirs = [s.pk for s in current.iterator() if s.get_decoded().get(SESSION_KEY) == str(user.pk)]
    Session.objects.filter(pk__in=theirs).delete()
    pk = user.pk
    transaction.on_commit(lambda: events.send_away(pk))


def sites_of(user: AbstractBaseUser) -> list[Site]:
    """Also of who is disabled."""
    mine = Q(memberships__user_id=user.pk) | Q(organisation__people__user_id=user.pk)
    return list(Site.objects.filter(mine).distinct().order_by("pk"))
