"""How large a step a publication would be, and whether that is too large at once."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from triage.choices import PolicyMode
from triage.models import Policy
from triage.selectors.evidence import gather, labels_of
from triage.selectors.policy_state import active_policy
from triage.selectors.rules import rule_of

SHARES = (0.5, 0.25, 0.1)


@dataclass(frozen=True)
class Step:
    """`growth`: share of the past cases accepted more than by the version in force, -1 to 1.

    `labels`: how many of them people have answered.
    """

    growth: float
    labels: int


def step_of(policy: Policy) -> Step | None:
    """By the stored replay; by a fresh one where that is empty, or another version is in force by
    now. None if its row has no replay at all."""
    replay = policy.replay
    if "n" not in replay:
        return None
    active = active_policy(policy.site, policy.domain)
    in_force = active.version if active else None
    if not replay["n"] or replay.get("against", in_force) != in_force:
        return _measured(policy, active) or _unmeasured(policy, active)
    growth = replay["current"]["deferral"] - replay["proposed"]["deferral"]
    return Step(float(growth), max(int(replay["labelled"]), _labels_by_now(policy)))


def _labels_by_now(policy: Policy) -> int:
    """What people have answered since it was proposed carries it as well."""
    if policy.calibration is None:
        return 0
    ensemble = policy.calibration.ensemble
    return labels_of(site=policy.site, domain=policy.domain, ensemble=ensemble)


def _measured(policy: Policy, active: Policy | None) -> Step | None:
    ensemble = policy.calibration.ensemble if policy.calibration else ""
    evidence = gather(site=policy.site, domain=policy.domain, ensemble=ensemble)
    if evidence is None:
        return None

    def accepted(one: Policy | None) -> float:
        halted = one is not None and one.mode == PolicyMode.DEFER_ALL
        rule = None if halted else rule_of(one, evidence)
        if rule is None:
            return 0.0
        return float((rule.apply(evidence).accepted & ~evidence.learning).mean())

    return Step(accepted(policy) - accepted(active), int(evidence.labelled.sum()))


def _unmeasured(policy: Policy, active: Policy | None) -> Step:
    """Without a past case only a threshold below another on the same score is known to be a step
    down; everything else may accept all that comes."""
    if policy.threshold is None:
        return Step(0.0, 0)
    same = (
        active is not None
        and active.threshold is not None
        and active.mode != PolicyMode.DEFER_ALL
        and (policy.method, policy.calibration_id) == (active.method, active.calibration_id)
        and policy.threshold <= active.threshold
    )
    return Step(0.0 if same else 1.0, 0)


def why_too_large(policy: Policy, share: float) -> str:
    """Why it may not decide that much more at once, and what to do; "" if it may.

    Args:
        share: of the cases, that it would decide beyond those that it decides already; in (0, 1].
    """
    step = step_of(policy)
    if step is None or step.growth <= 0:
        return ""
    if step.labels < settings.ALARM_PUBLISH_LABELS:
        return _(
            "It would accept more than the version in force, and only {n} of the past cases have "
            "an answer: {needed} are needed. Let people answer more cases first, or put it in "
            "shadow meanwhile."
        ).format(n=step.labels, needed=settings.ALARM_PUBLISH_LABELS)
    cap = settings.ALARM_STEP_CAP
    if share * step.growth <= cap + 1e-9:
        return ""
    return _(
        "It would accept {more:.0%} more of the cases than now, and at most {cap:.0%} more may be "
        "added at once. {advice}"
    ).format(more=share * step.growth, cap=cap, advice=_advice(policy, step.growth, cap))


def _advice(policy: Policy, growth: float, cap: float) -> str:
    now = policy.canary_share or 0.0
    fitting = [one for one in SHARES if one > now and (one - now) * growth <= cap]
    if not fitting:
        return _("Propose a threshold between the two, and go there in steps.")
    return _(
        "Let it decide {share:.0%} of the cases at first, or propose a threshold between the two."
    ).format(share=fitting[0])
