"""Policies: proposed as drafts, published by a person, rolled back in one step; never rewritten.

The way between a draft and its publication, shadow and canary, stands in triage.services.rollout.
"""

from collections.abc import Collection
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
from triage.errors import Conflict, Forbidden, Refused
from triage.models import Calibration, Policy, Site
from triage.selectors.evidence import Evidence
from triage.selectors.guard import limit_at_publication
from triage.selectors.policy_state import active_policy, why_not_publish
from triage.selectors.rules import Rule
from triage.selectors.steps import why_too_large
from triage.services.history import record
from triage.services.replay import replay

UNPUBLISHED = frozenset({PolicyStatus.DRAFT, PolicyStatus.SHADOW})


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
    """Put a draft in force for all cases; the version before it is retired, to be rolled back to.

    Raises:
        Forbidden: the two-person rule holds here and the actor proposed it.
        Conflict: it is no draft any more, or another version is a canary.
        Refused: it would accept too much more at once, or too few labels carry it.
    """
    check_may_publish(policy, actor, UNPUBLISHED)
    with transaction.atomic():
        fresh = locked(policy, UNPUBLISHED)
        check_no_canary(fresh)
        check_step(fresh, 1.0)
        return put_in_force(fresh, actor, UNPUBLISHED, "policy published")


def check_no_canary(policy: Policy) -> None:
    """Raises Conflict where another version is a canary."""
    if canary := Policy.objects.filter(**of(policy), status=PolicyStatus.CANARY).first():
        raise Conflict(
            _("Version {0} is a canary: widen it or end it first.").format(canary.version), "canary"
        )


def check_step(policy: Policy, share: float) -> None:
    """Raises Refused where it may not decide this much more of the cases at once."""
    if problem := why_too_large(policy, share):
        raise Refused(problem, "step")


def check_may_publish(
    policy: Policy, actor: AbstractBaseUser, expected: Collection[PolicyStatus]
) -> None:
    """Raises Conflict where it has another status by now, Forbidden by the two-person rule."""
    if policy.status not in expected:
        raise Conflict(not_any_more(policy), "no_draft")
    if problem := why_not_publish(policy, actor):
        raise Forbidden(problem, "two_person_rule")


def of(policy: Policy) -> dict[str, Any]:
    """What the versions beside it have in common with it."""
    return {"site_id": policy.site_id, "domain": policy.domain}


def not_any_more(policy: Policy) -> str:
    """In words: its status is another one than was expected."""
    return _("Version {0} is {1}.").format(policy.version, policy.get_status_display())


def roll_back(*, policy: Policy, actor: AbstractBaseUser | None, verb: str = "") -> Policy:
    """Put a retired version in force again; a canary ends with it.

    Raises:
        Conflict: it is not a retired one.
    """
    return put_in_force(policy, actor, {PolicyStatus.RETIRED}, verb or "policy rolled back")


def drop_policy(*, policy: Policy, actor: AbstractBaseUser | None) -> None:
    """Take a draft off the table; it stays in the list of versions."""
    with transaction.atomic():
        dropped = Policy.objects.filter(pk=policy.pk, status=PolicyStatus.DRAFT).update(
            status=PolicyStatus.DROPPED, retired_at=timezone.now()
        )
        if not dropped:
            raise Conflict(_("Only a draft can be dropped."), "no_draft")
        record("policy dropped", site=policy.site, actor=actor, policy=policy.version)
        transaction.on_commit(lambda: events.announce(policy.site_id, "policy"))


def defer_everything(*, site: Site, domain: str, actor: AbstractBaseUser | None) -> Policy:
    """The emergency switch: one person, at once, and nothing that could fail on the way.

    A canary ends with it. Rolling back to a retired version ends it. `actor` is None for the guard
    rail.
    """
    now = active_policy(site, domain)
    policy = Policy(
        site=site,
        domain=domain,
        calibration=now.calibration if now else None,
        method=now.method if now else "",
        mode=PolicyMode.DEFER_ALL,
        audit_share=settings.ALARM_AUDIT_SHARE,
        proposed_by_id=actor.pk if actor else None,
    )
    _add_version(policy, actor)
    return put_in_force(policy, actor, UNPUBLISHED, "everything deferred")


def locked(policy: Policy, expected: Collection[PolicyStatus]) -> Policy:
    """The fresh row, after the lock under which a site's versions change; inside a transaction.

    Raises:
        Conflict: its status is none of the expected.
    """
    Site.objects.select_for_update(no_key=True).get(pk=policy.site_id)
    fresh = Policy.objects.select_for_update(of=("self",)).select_related("site").get(pk=policy.pk)
    if fresh.status not in expected:
        raise Conflict(not_any_more(fresh), "changed")
    return fresh


def put_in_force(
    policy: Policy, actor: AbstractBaseUser | None, expected: Collection[PolicyStatus], verb: str
) -> Policy:
    """Let a version decide alone: what was in force retires, and a canary beside it is dropped."""
    with transaction.atomic():
        fresh = locked(policy, expected)
        beside = Policy.objects.filter(**of(fresh)).exclude(pk=fresh.pk)
        active = beside.filter(status=PolicyStatus.ACTIVE).first()
        beside.filter(status=PolicyStatus.ACTIVE).update(
            status=PolicyStatus.RETIRED, retired_at=timezone.now()
        )
        for canary in beside.filter(status=PolicyStatus.CANARY):
            drop_canary(canary, actor)
        if fresh.status in UNPUBLISHED:
            fresh.before = active
            fresh.guard_limit = limit_at_publication(fresh).to_dict()
        fresh.status = PolicyStatus.ACTIVE
        fresh.published_by_id = actor.pk if actor else None
        fresh.published_at = timezone.now()
        changed = ["status", "published_by", "published_at", "before", "guard_limit"]
        fresh.save(update_fields=changed)
        record(
            verb,
            site=fresh.site,
            actor=actor,
            policy=fresh.version,
            two_person_rule=fresh.site.two_person_rule,
        )
        transaction.on_commit(lambda: events.announce(policy.site_id, "policy"))
    return fresh


def drop_canary(policy: Policy, actor: AbstractBaseUser | None) -> None:
    """What it decided stays; the next case is decided by the version in force alone."""
    policy.status, policy.retired_at = PolicyStatus.DROPPED, timezone.now()
    policy.save(update_fields=["status", "retired_at"])
    record("canary ended", site=policy.site, actor=actor, policy=policy.version)


def start_with(policy: Policy) -> Policy:
    """Put the first version of a new site in force, by the system."""
    return put_in_force(policy, None, UNPUBLISHED, "first policy in force")
