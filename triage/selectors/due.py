"""When a person should have seen a case."""

from datetime import datetime, timedelta

from triage.models import Case, Decision
from triage.reasons import UNFAMILIAR, kinds
from triage.selectors.rows import measures
from triage.selectors.words import domain_of

HOURS_AT_MOST = 24.0
WEIGHT = {"high": 3.0, "unknown": 3.0, "medium": 2.0, "low": 1.0}


def due(case: Case, decision: Decision) -> datetime:
    """When a person should have seen the case: the severer and the less sure, the sooner.

    24 hours divided by severity (1 to 3; unknown counts 3) and by uncertainty (1 to 3; an
    unfamiliar picture counts 3); an audit may wait the full 24 hours. One that is read blind is
    due as the severest would be: its place in the queue must not tell what the machine said.
    """
    if decision.audited:
        return case.created_at + timedelta(hours=HOURS_AT_MOST)
    if case.blind or measures(decision):
        return case.created_at + timedelta(hours=HOURS_AT_MOST / (3 * WEIGHT["unknown"]))
    severity = {label.id: label.severity for label in domain_of(case).labels}
    level = decision.explanation.get("levels", {}).get("overall", "unknown")
    if kinds(decision.reasons) & UNFAMILIAR:
        level = "unknown"
    weight = severity.get(decision.label, 3) * WEIGHT.get(level, 3.0)
    return case.created_at + timedelta(hours=HOURS_AT_MOST / weight)
