"""Where a site's policies stand: what the services that change them, and the pages, both ask."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from triage.choices import CaseStatus, PolicyStatus
from triage.models import Calibration, Case, Policy, Site

PUBLISHABLE = (PolicyStatus.DRAFT, PolicyStatus.SHADOW, PolicyStatus.CANARY)


@dataclass(frozen=True)
class AtWork:
    """The versions that look at a new case: one in force, and perhaps a canary and a shadow."""

    active: Policy | None
    canary: Policy | None
    shadow: Policy | None


def at_work(site: Site, domain: str) -> AtWork:
    """Which versions have a say on the next case of a site."""
    statuses = (PolicyStatus.ACTIVE, PolicyStatus.CANARY, PolicyStatus.SHADOW)
    found = {policy.status: policy for policy in _lean(site, domain).filter(status__in=statuses)}
    return AtWork(*(found.get(status) for status in statuses))


def active_policy(site: Site, domain: str) -> Policy | None:
    """The policy in force, if any."""
    return _lean(site, domain).filter(status=PolicyStatus.ACTIVE).first()


def _lean(site: Site, domain: str) -> QuerySet[Policy]:
    """Without what only pages need."""
    return (
        Policy.objects.filter(site=site, domain=domain)
        .select_related("calibration", "site", "withdrawal")
        .defer("calibration__parameters", "calibration__aggregator", "replay")
    )


def calibration_in_force(site: Site, domain: str) -> Calibration | None:
    """That of the policy in force, which the dial is set on; the newest where it rests on none."""
    active = active_policy(site, domain)
    if active and active.calibration:
        return active.calibration
    return newest_calibration(site, domain)


def newest_calibration(site: Site, domain: str) -> Calibration | None:
    """What a threshold is chosen on when somebody asks for one: it knows most answers."""
    return Calibration.objects.filter(site=site, domain=domain).order_by("-pk").first()


def why_not_publish(policy: Policy, actor: AbstractBaseUser) -> str:
    """Why this person may not publish, or widen, this version, in words; "" if they may."""
    if policy.status not in PUBLISHABLE:
        return _("This version is {0}, not a draft.").format(policy.get_status_display())
    own = policy.proposed_by_id is not None and policy.proposed_by_id == actor.pk
    if own and policy.site.two_person_rule:
        return _("You proposed this version yourself: another administrator publishes it.")
    return ""


def new_labels(*, site: Site, domain: str) -> int:
    """Resolutions since the newest calibration."""
    cases = Case.objects.filter(site=site, domain=domain, status=CaseStatus.RESOLVED, repeats=None)
    last = Calibration.objects.filter(site=site, domain=domain).order_by("-pk").first()
    return cases.filter(resolved_at__gt=last.created_at).count() if last else cases.count()
