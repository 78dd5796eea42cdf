"""A draft in shadow is only heard; as a canary it decides a share of the cases."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from triage import events
from triage.choices import PolicyStatus
from triage.errors import Conflict, Refused
from triage.models import Policy
from triage.selectors.guard import limit_at_publication
from triage.selectors.policy_state import active_policy
from triage.services.history import record
from triage.services.policies import (
    UNPUBLISHED,
    check_may_publish,
    check_no_canary,
    check_step,
    drop_canary,
    locked,
    of,
    put_in_force,
)

CANARY = frozenset({PolicyStatus.CANARY})


def put_in_shadow(*, policy: Policy, actor: AbstractBaseUser) -> Policy:
    """From the next case on, what a draft would have said is stored beside each decision.

    Raises:
        Conflict: it is no draft, or another version is in shadow.
    """
    with transaction.atomic():
        fresh = locked(policy, {PolicyStatus.DRAFT})
        other = Policy.objects.filter(**of(fresh), status=PolicyStatus.SHADOW).first()
        if other:
            raise Conflict(
                _("Version {0} is in shadow: take it out of the shadow first.").format(
                    other.version
                ),
                "shadow",
            )
        fresh.status, fresh.shadow_at = PolicyStatus.SHADOW, timezone.now()
        fresh.save(update_fields=["status", "shadow_at"])
        _tell("shadow started", fresh, actor)
    return fresh


def end_shadow(*, policy: Policy, actor: AbstractBaseUser) -> Policy:
    """Back to a plain draft; what it has said stays.

    Raises:
        Conflict: it is not in shadow.
    """
    with transaction.atomic():
        fresh = locked(policy, {PolicyStatus.SHADOW})
        fresh.status = PolicyStatus.DRAFT
        fresh.save(update_fields=["status"])
        _tell("shadow ended", fresh, actor)
    return fresh


def start_canary(*, policy: Policy, share: float, actor: AbstractBaseUser) -> Policy:
    """Publish a draft for a share of the cases, drawn at random; the rest stays as it is.

    Args:
        share: above 0 and below 1.

    Raises:
        Forbidden: the two-person rule holds here and the actor proposed it.
        Conflict: it is no draft any more, or another version is a canary.
        Refused: no version is in force that could decide the rest, or the step is too large.
    """
    check_may_publish(policy, actor, UNPUBLISHED)
    _check_share(share)
    with transaction.atomic():
        fresh = locked(policy, UNPUBLISHED)
        fresh.before = _beside(fresh)
        check_step(fresh, share)
        fresh.guard_limit = limit_at_publication(fresh).to_dict()
        fresh.status, fresh.canary_share = PolicyStatus.CANARY, share
        fresh.published_by_id, fresh.published_at = actor.pk, timezone.now()
        fresh.canary_by_id, fresh.canary_at = actor.pk, fresh.published_at
        changed = ["status", "canary_share", "before", "guard_limit"]
        dates = ["published_by", "published_at", "canary_by", "canary_at"]
        fresh.save(update_fields=[*changed, *dates])
        _tell("canary started", fresh, actor, share=share)
    return fresh


def _beside(policy: Policy) -> Policy:
    """The version in force, which decides the rest; raises where a canary cannot begin."""
    check_no_canary(policy)
    active = active_policy(policy.site, policy.domain)
    if active is None:
        raise Refused(
            _("No version is in force that could decide the rest: publish this one for all cases."),
            "no_policy",
        )
    return active


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise Refused(_("A canary decides a share above 0 and below 100 %."), "share")


def widen_canary(*, policy: Policy, actor: AbstractBaseUser, share: float | None = None) -> Policy:
    """Let a canary decide all cases, so that the version beside it retires; or a larger share.

    Raises:
        Forbidden: the two-person rule holds here and the actor proposed it.
        Conflict: it is no canary.
        Refused: the step is too large, or the share is not above its present one.
    """
    check_may_publish(policy, actor, CANARY)
    if share is not None:
        _check_share(share)
    with transaction.atomic():
        fresh = locked(policy, CANARY)
        now, wanted = fresh.canary_share or 0.0, 1.0 if share is None else share
        if wanted <= now:
            raise Refused(_("It decides that share already: end it, or widen it further."), "share")
        check_step(fresh, wanted - now)
        if share is None:
            return put_in_force(fresh, actor, CANARY, "canary widened")
        fresh.canary_share = share
        fresh.save(update_fields=["canary_share"])
        _tell("canary widened", fresh, actor, share=share)
    return fresh


def end_canary(*, policy: Policy, actor: AbstractBaseUser | None) -> Policy:
    """All cases go back to the version in force; one person, at once.

    Raises:
        Conflict: it is no canary.
    """
    with transaction.atomic():
        fresh = locked(policy, CANARY)
        drop_canary(fresh, actor)
        transaction.on_commit(lambda: events.announce(fresh.site_id, "policy"))
    return fresh


def _tell(verb: str, policy: Policy, actor: AbstractBaseUser, share: float | None = None) -> None:
    version, site = policy.version, policy.site
    if share is None:
        record(verb, site=site, actor=actor, policy=version)
    else:
        record(verb, site=site, actor=actor, policy=version, share=share)
    transaction.on_commit(lambda: events.announce(policy.site_id, "policy"))
