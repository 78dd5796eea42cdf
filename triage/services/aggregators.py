"""A learned aggregator that stops beating the vote stops deciding, at once and by itself."""

from django.db import transaction

from inference.uq.promotion import LEARNED
from triage import events
from triage.models import Policy, Site, Withdrawal
from triage.selectors.aggregators import why_withdraw
from triage.selectors.policy_state import active_policy
from triage.services.history import record


def withdraw_where_lost(*, site: Site, domain: str) -> Withdrawal | None:
    """Withdraw the learned aggregator in force, if labels or a shift of the texts ask for it.

    From the next case on the policy's fallback decides: the vote, at its own threshold.
    """
    policy = active_policy(site, domain)
    if policy is None or policy.method != LEARNED or hasattr(policy, "withdrawal"):
        return None
    evidence = why_withdraw(policy)
    if evidence is None:
        return None
    with transaction.atomic():
        Site.objects.select_for_update(no_key=True).get(pk=site.pk)
        if Withdrawal.objects.filter(policy=policy).exists():
            return None
        withdrawal = Withdrawal.objects.create(
            policy=Policy.objects.get(pk=policy.pk), evidence=evidence
        )
        record("aggregator withdrawn", site=site, policy=policy.version, evidence=evidence)
        transaction.on_commit(lambda: events.announce(site.pk, "policy"))
    return withdrawal
