"""What the accepted cases really get wrong, estimated from those drawn at random."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from inference.uq.audit import AcceptedError, accepted_error
from triage.choices import CaseStatus, Outcome
from triage.models import Decision, Site


@dataclass(frozen=True)
class AuditEstimate:
    """The estimate with its 95 % interval, out of `accepted` cases.

    `open`: audits that nobody has answered. They count as not drawn, which is right only if they
    are open for reasons that have nothing to do with the picture: watch their number.
    """

    error: AcceptedError
    accepted: int
    open: int


def audit_estimate(*, site: Site, domain: str, since: datetime | None = None) -> AuditEstimate:
    """The error rate among the accepted, weighted by how likely each was to be drawn."""
    rows = Decision.objects.filter(case__site=site, case__domain=domain, outcome=Outcome.ACCEPT)
    if since:
        rows = rows.filter(decided_at__gte=since)
    table = list(
        rows.values_list("audited", "label_probability", "label", "case__label", "case__status")
    )
    drawn = np.array([row[0] for row in table], dtype=bool)
    answered = np.array([row[0] and row[4] == CaseStatus.RESOLVED for row in table], dtype=bool)
    wrong = np.array([float(row[2] != row[3]) for row in table])
    probability = np.array([row[1] for row in table])
    accepted = np.ones(len(table), dtype=bool)
    error = accepted_error(wrong, accepted, answered, probability)
    return AuditEstimate(error, len(table), int((drawn & ~answered).sum()))
