"""The guard rail: a published version that does worse than it should is taken out of force, at once
and by itself. It never lets more be accepted than before it acted."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from triage import events
from triage.choices import GuardAct, GuardCause, PolicyMode, PolicyStatus
from triage.errors import Conflict
from triage.models import Decision, GuardRail, Policy, Site
from triage.selectors.evidence import gather
from triage.selectors.guard import WATCHED, Watch, is_watched, watch
from triage.selectors.rules import rule_of
from triage.services import policies, rollout
from triage.services.history import record

# The sweep looks only where something was decided lately: no decision, no news.
LATELY = timedelta(minutes=2)


def watch_lately() -> int:
    """Watch every site where a case was decided in the last minutes; returns how often it acted."""
    since = timezone.now() - LATELY
    busy = Decision.objects.filter(decided_at__gte=since, policy__before__isnull=False)
    sites = busy.order_by().values_list("case__site", "case__domain").distinct()
    acted = 0
    for site in Site.objects.filter(pk__in={pk for pk, _domain in sites}):
        for domain in {domain for pk, domain in sites if pk == site.pk}:
            acted += len(watch_published(site=site, domain=domain))
    return acted


def watch_published(*, site: Site, domain: str) -> list[GuardRail]:
    """Act on the canary and on the version in force where they do worse than they should."""
    published = Policy.objects.filter(site=site, domain=domain, status__in=WATCHED).select_related(
        "site", "calibration", "before__calibration", "before__withdrawal", "withdrawal"
    )
    done = [_watch_one(policy) for policy in published if is_watched(policy)]
    return [row for row in done if row is not None]


def _watch_one(policy: Policy) -> GuardRail | None:
    found = watch(policy)
    for cause in found.causes:
        if GuardRail.objects.filter(policy=policy, cause=cause).exists():
            continue
        try:
            return _act(policy, found, cause)
        except Conflict:
            return None  # somebody was faster: it decides no more
    return None


def _act(policy: Policy, found: Watch, cause: GuardCause) -> GuardRail | None:
    act = _what_to_do(policy, cause)
    with transaction.atomic():
        fresh = policies.locked(policy, WATCHED)
        if GuardRail.objects.filter(policy=fresh, cause=cause).exists():
            return None
        row = GuardRail.objects.create(policy=fresh, cause=cause, act=act, evidence=found.to_dict())
        record(
            "guard rail",
            site=fresh.site,
            policy=fresh.version,
            cause=cause,
            act=act,
            evidence=row.evidence,
        )
        if act != GuardAct.TOLD:
            _take_out(fresh, act)
        transaction.on_commit(lambda: events.announce(fresh.site_id, "policy"))
    return row


def _what_to_do(policy: Policy, cause: GuardCause) -> GuardAct:
    """Back to the version before, unless that would accept more: then nothing is accepted.

    One that defers too much is left in force: it harms nobody, and going back would accept more.
    """
    if cause == GuardCause.DEFERS_MORE:
        return GuardAct.TOLD
    return GuardAct.ROLLED_BACK if _is_as_careful(policy) else GuardAct.DEFERRED_ALL


def _is_as_careful(policy: Policy) -> bool:
    """Whether the version before can be gone back to, and accepts no more of the past cases."""
    before = policy.before
    if before is None or before.status not in (PolicyStatus.RETIRED, PolicyStatus.ACTIVE):
        return False
    if before.mode == PolicyMode.DEFER_ALL:
        return True
    if policy.calibration is None:
        return False
    evidence = gather(site=policy.site, domain=policy.domain, ensemble=policy.calibration.ensemble)
    if evidence is None:
        return False
    then, now = rule_of(before, evidence), rule_of(policy, evidence)
    if then is None:
        return True  # made for another ensemble: it accepts nothing of this one
    if now is None:
        return False
    return bool(then.apply(evidence).accepted.mean() <= now.apply(evidence).accepted.mean())


def _take_out(policy: Policy, act: GuardAct) -> None:
    """Out of force, and dropped: what the guard took out is not rolled back to in one step."""
    canary = policy.status == PolicyStatus.CANARY
    if act == GuardAct.DEFERRED_ALL:
        policies.defer_everything(site=policy.site, domain=policy.domain, actor=None)
    elif canary:
        rollout.end_canary(policy=policy, actor=None)
    else:
        assert policy.before is not None
        verb = "policy rolled back by the guard rail"
        policies.roll_back(policy=policy.before, actor=None, verb=verb)
    if not canary:
        Policy.objects.filter(pk=policy.pk).update(status=PolicyStatus.DROPPED)
