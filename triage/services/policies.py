"""Policies: proposed as drafts, published by a person, rolled back in one step; never rewritten."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.uq.thresholds import ThresholdChoice
from triage import events
from triage.choices import PolicyMode, PolicyStatus
from triage.errors import Conflict, Forbidden
from triage.models import Calibration, Policy, Site
from triage.selectors.evidence import Evidence
from triage.selectors.policy_state import active_policy, why_not_publish
from triage.selectors.rules import Rule
from triage.services.history import record
from triage.services.replay import replay


def propose_policy(
    *,
    site: Site,
    domain: str,
    calibration: Calibration,
    rule: Rule,
    evidence: Evidence | None,
    mode: PolicyMode,
    choice: ThresholdChoice,
    actor: AbstractBaseUser | None = None,
    fallback: Rule | None = None,
    details: dict[str, Any] | None = None,
) -> Policy:
    """Write a draft with its replay over past cases; nothing is decided by it yet.

    Args:
        rule: what it will decide by, fitted as `calibration` holds it.
        evidence: the past cases to replay; None if there are none.
        fallback: how the vote decides, should the learned aggregator be withdrawn.
        actor: the proposer; None when the system proposes by itself.
        details: what else should be remembered of how the threshold was chosen.
    """
    policy = Policy(
        site=site,
        domain=domain,
        calibration=calibration,
        method=rule.method,
        mode=mode,
        threshold=rule.threshold,
        choice=choice.to_dict() | (details or {}),
        fallback={"method": fallback.method, "threshold": fallback.threshold} if fallback else {},
        replay=replay(rule=rule, current=active_policy(site, domain), evidence=evidence),
        audit_share=settings.ALARM_AUDIT_SHARE,
        proposed_by_id=actor.pk if actor else None,
    )
    return _add_version(policy, actor)


def _add_version(policy: Policy, actor: AbstractBaseUser | None) -> Policy:
    site, domain = policy.site, policy.domain
    with transaction.atomic():
        Site.objects.select_for_update(no_key=True).get(pk=site.pk)
        newest = Policy.objects.filter(site=site, domain=domain).aggregate(Max("version"))
        policy.version = (newest["version__max"] or 0) + 1
        policy.save()
        record("policy proposed", site=site, actor=actor, policy=policy.version, mode=policy.mode)
        transaction.on_commit(lambda: events.announce(site.pk, "policy"))
    return policy


def publish_policy(*, policy: Policy, actor: AbstractBaseUser) -> Policy:
    """Put a draft in force; the version before it is retired and can be rolled back to.

    Raises:
        Forbidden: the two-person rule holds here and the actor proposed it.
        Conflict: it is no draft any more.
    """
    if policy.status != PolicyStatus.DRAFT:
        raise Conflict(why_not_publish(policy, actor), "no_draft")
    if problem := why_not_publish(policy, actor):
        raise Forbidden(problem, "two_person_rule")
    return _put_in_force(policy, actor, PolicyStatus.DRAFT, "policy published")


def roll_back(*, policy: Policy, actor: AbstractBaseUser) -> Policy:
    """Put a retired version in force again. Raises Conflict when it is not a retired one."""
    return _put_in_force(policy, actor, PolicyStatus.RETIRED, "policy rolled back")


def drop_policy(*, policy: Policy, actor: AbstractBaseUser | None) -> None:
    """Take a draft off the table; it stays in the list of versions."""
    dropped = Policy.objects.filter(pk=policy.pk, status=PolicyStatus.DRAFT).update(
        status=PolicyStatus.DROPPED, retired_at=timezone.now()
    )
    if not dropped:
        raise Conflict(_("Only a draft can be dropped."), "no_draft")
    record("policy dropped", site=policy.site, actor=actor, policy=policy.version)
    events.announce(policy.site_id, "policy")


def defer_everything(*, site: Site, domain: str, actor: AbstractBaseUser) -> Policy:
    """The emergency switch: one person, at once, and nothing that could fail on the way.

    Rolling back to a retired version ends it.
    """
    now = active_policy(site, domain)
    policy = Policy(
        site=site,
        domain=domain,
        calibration=now.calibration if now else None,
        method=now.method if now else "",
        mode=PolicyMode.DEFER_ALL,
        audit_share=settings.ALARM_AUDIT_SHARE,
        proposed_by_id=actor.pk,
    )
    _add_version(policy, actor)
    return _put_in_force(policy, actor, PolicyStatus.DRAFT, "everything deferred")


def _put_in_force(
    policy: Policy, actor: AbstractBaseUser | None, expected: PolicyStatus, verb: str
) -> Policy:
    with transaction.atomic():
        Site.objects.select_for_update(no_key=True).get(pk=policy.site_id)
        fresh = Policy.objects.select_for_update().get(pk=policy.pk)
        if fresh.status != expected:
            raise Conflict(
                _("Version {0} is {1}.").format(fresh.version, fresh.get_status_display()),
                "changed",
            )
        Policy.objects.filter(
            site_id=policy.site_id, domain=policy.domain, status=PolicyStatus.ACTIVE
        ).update(status=PolicyStatus.RETIRED, retired_at=timezone.now())
        fresh.status = PolicyStatus.ACTIVE
        fresh.published_by_id = actor.pk if actor else None
        fresh.published_at = timezone.now()
        fresh.save(update_fields=["status", "published_by", "published_at"])
        record(
            verb,
            site=fresh.site,
            actor=actor,
            policy=fresh.version,
            two_person_rule=fresh.site.two_person_rule,
        )
        transaction.on_commit(lambda: events.announce(policy.site_id, "policy"))
    return fresh


def start_with(policy: Policy) -> Policy:
    """Put the first version of a new site in force, by the system."""
    return _put_in_force(policy, None, PolicyStatus.DRAFT, "first policy in force")
