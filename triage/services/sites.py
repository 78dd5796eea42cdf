"""Opening a site: what it starts with, before any expert has said a word; and how it is read."""

from collections.abc import Sequence
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from inference.ensemble import current_signature
from inference.shipped import starting_calibration
from inference.uq.thresholds import by_percentile
from triage.choices import PolicyMode, Role, SiteKind
from triage.errors import Forbidden, Invalid, Refused
from triage.models import Calibration, DomainVersion, Membership, Organisation, Policy, Site
from triage.selectors.domains import why_not_begin
from triage.selectors.fitted import fitted_of
from triage.selectors.learning import Source
from triage.selectors.people import leads_all
from triage.selectors.rules import Rule
from triage.selectors.words import domain_at
from triage.services import learning
from triage.services.calibration import STARTING_METHOD, labelled_rows
from triage.services.domains import put_in_force
from triage.services.history import record, start_chain
from triage.services.policies import propose_policy, start_with

STARTING_DEFERRAL = 30.0
MAX_NAME = 120


def open_site(
    *,
    organisation: Organisation,
    name: str,
    kind: SiteKind,
    domain: str,
    two_person_rule: bool = True,
    trusted: bool = False,
    time_zone: str = "",
) -> Site:
    """Create a site with the calibration that ships with the ensemble, if one ships.

    It asks by the domain as it ships; `add_site` also takes one that was written here. The first
    policy defers the 30 % that were least sure where the ensemble was measured. Without a
    calibration there is no policy, and everything is deferred. Unless it is `trusted`, the site
    starts in learning mode, and so everything is deferred as well.
    """
    site = _new_site(organisation, name, kind, domain, two_person_rule, time_zone)
    learning.begin(Source(site, domain), learning=not trusted)
    parameters = starting_calibration(domain)
    if parameters is not None:
        _first_policy(site, parameters)
    return site


def add_site(
    *,
    beside: Site,
    name: str,
    kind: SiteKind,
    domain: str,
    version: DomainVersion | None,
    people: Sequence[Membership] = (),
    actor: AbstractBaseUser,
) -> Site:
    """Open a site of the same organisation; who adds it is its administrator.

    It is learning, and where `version` is given no calibration fits: every case is deferred.

    Args:
        version: what is asked, of the organisation's own; None for `domain` as it ships.
        people: members of the present site who come along in their roles.

    Raises:
        Invalid: the name cannot be had.
        Forbidden: the two-person rule holds and the actor wrote the version.
    """
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(_("The site needs another name."), {"name": _("Give it a name of one line.")})
    if version and (problem := why_not_begin(beside, version, actor)):
        raise Forbidden(problem, "two_person_rule")
    organisation, rule, zone = beside.organisation, beside.two_person_rule, beside.time_zone
    try:
        with transaction.atomic():
            if version is None:
                site = open_site(
                    organisation=organisation,
                    name=name,
                    kind=kind,
                    domain=domain,
                    two_person_rule=rule,
                    time_zone=zone,
                )
            else:
                site = _new_site(organisation, name, kind, version.domain, rule, zone)
                learning.begin(Source(site, version.domain), learning=True)
                put_in_force(site, version, actor)
            _populate(site, people, actor)
    except IntegrityError as error:
        sentence = _("Your organisation has a site of this name already.")
        raise Invalid(_("The site needs another name."), {"name": sentence}) from error
    return site


def _new_site(
    organisation: Organisation,
    name: str,
    kind: SiteKind,
    domain: str,
    two_person_rule: bool,
    time_zone: str,
) -> Site:
    site = Site.objects.create(
        organisation=organisation,
        name=name,
        kind=kind,
        domain=domain,
        two_person_rule=two_person_rule,
        time_zone=time_zone or settings.TIME_ZONE,
        blind_share=settings.ALARM_BLIND_SHARE if kind == SiteKind.CLINIC else 0,
        double_share=settings.ALARM_DOUBLE_SHARE if kind == SiteKind.CLINIC else 0,
    )
    start_chain(site)
    return site


def _populate(site: Site, people: Sequence[Membership], actor: AbstractBaseUser) -> None:
    wanted = {(one.user_id, str(one.role)) for one in people}
    if not leads_all(actor, site):  # whose role counts here already, and ends where it ends
        wanted.add((actor.pk, str(Role.ADMINISTRATOR)))
    Membership.objects.bulk_create(
        Membership(user_id=pk, site=site, role=role) for pk, role in sorted(wanted)
    )
    record("site added", site=site, actor=actor, people=len({pk for pk, _role in wanted}))


def set_readings(
    *, site: Site, actor: AbstractBaseUser, blind_share: float, double_share: float
) -> None:
    """How many of the cases to come (shares, 0 to 1) are read blind, and how many by two people.

    Raises:
        Refused: a share is none, or the site is a household, where the first answer settles it.
    """
    if not (0 <= blind_share <= 1 and 0 <= double_share <= 1):
        raise Refused(_("A share lies between 0 and 100 %."), "share")
    if site.kind == SiteKind.HOUSEHOLD:
        raise Refused(_("In a household the first answer settles a case."), "household")
    site.blind_share, site.double_share = blind_share, double_share
    site.save(update_fields=["blind_share", "double_share"])
    record("set readings", site=site, actor=actor, blind=blind_share, double=double_share)


def set_time_zone(*, site: Site, actor: AbstractBaseUser, zone: str) -> None:
    """Whose clock the site goes by: quiet hours, and days that begin and end.

    Raises:
        Refused: there is no such zone in the IANA time zone database.
    """
    if zone not in available_timezones():
        raise Refused(
            _("There is no time zone of that name. Try one such as Europe/Berlin."), "zone"
        )
    site.time_zone = zone
    site.save(update_fields=["time_zone"])
    record("set the time zone", site=site, actor=actor, zone=zone)


def _first_policy(site: Site, parameters: dict[str, object]) -> Policy:
    calibration = Calibration.objects.create(
        site=site,
        domain=site.domain,
        parameters=parameters,
        ensemble=current_signature(domain_at(site)),
        window={"shipped": True},
    )
    fitted = fitted_of(calibration)
    rows = labelled_rows(fitted, STARTING_METHOD, None, own=False)
    choice = by_percentile(rows.scores, STARTING_DEFERRAL)
    policy = propose_policy(
        site=site,
        domain=site.domain,
        calibration=calibration,
        rule=Rule(fitted, STARTING_METHOD, choice.threshold),
        evidence=None,
        mode=PolicyMode.PERCENTILE,
        choice=choice,
        details={"value": STARTING_DEFERRAL / 100, "starting": True},
    )
    return start_with(policy)
