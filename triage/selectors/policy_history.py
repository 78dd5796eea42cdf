"""What has happened to one version, in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from triage.models import AuditEvent, Policy
from triage.selectors.aggregators import withdrawal_in_words
from triage.selectors.guard import guard_in_words

VERBS = {
    "policy proposed": _lazy("proposed"),
    "policy published": _lazy("published for all cases"),
    "first policy in force": _lazy("in force from the start"),
    "everything deferred": _lazy("put in force: every case is deferred"),
    "policy rolled back": _lazy("put in force again by a roll back"),
    "policy rolled back by the guard rail": _lazy("put in force again by the guard rail"),
    "policy dropped": _lazy("dropped"),
    "shadow started": _lazy("put in shadow"),
    "shadow ended": _lazy("taken out of the shadow"),
    "canary started": _lazy("published as a canary"),
    "canary widened": _lazy("widened"),
    "canary ended": _lazy("the canary ended"),
    "aggregator withdrawn": _lazy("its learned aggregator was withdrawn"),
    "guard rail": _lazy("the guard rail spoke up"),
}


@dataclass(frozen=True)
class PolicyEvent:
    """One line: when, what, who ("" for the system), and why where something is said of it."""

    when: datetime
    what: str
    who: str
    why: str


def policy_history(policy: Policy) -> list[PolicyEvent]:
    """Oldest first."""
    rows = AuditEvent.objects.filter(
        site=policy.site, case=None, verb__in=VERBS, details__policy=policy.version
    ).select_related("actor")
    return [
        PolicyEvent(
            when=row.created_at,
            what=str(VERBS[row.verb]),
            who=row.actor.get_username() if row.actor else "",
            why=_why(row.verb, row.details),
        )
        for row in rows
    ]


def _why(verb: str, details: dict[str, Any]) -> str:
    if share := details.get("share"):
        return _("for {share:.0%} of the cases").format(share=share)
    evidence = details.get("evidence", {})
    if verb == "guard rail" and evidence:
        return guard_in_words(details["cause"], evidence)
    if verb == "aggregator withdrawn":
        return withdrawal_in_words(evidence, details.get("reason", ""))
    return str(details.get("reason", ""))
