"""What the accepted cases really get wrong, estimated from those drawn at random."""

from datetime import datetime

import numpy as np
from django.db.models import Q

from inference.uq.audit import AcceptedError, accepted_error
from triage.choices import CaseStatus, Outcome
from triage.models import Decision, Site


def accepted_error_at(
    *, site: Site, domain: str, since: datetime | None = None
) -> tuple[AcceptedError, int]:
    """The estimate with its 95 % interval, and the number of accepted cases behind it.

    An audit that nobody has answered yet counts as not drawn: which ones are still open does not
    depend on the picture.
    """
    rows = Decision.objects.filter(Q(case__site=site, case__domain=domain, outcome=Outcome.ACCEPT))
    if since:
        rows = rows.filter(decided_at__gte=since)
    table = list(
        rows.values_list("audited", "label_probability", "label", "case__label", "case__status")
    )
    if not table:
        return AcceptedError(float("nan"), 0.0, 1.0, 0), 0
    answered = np.array([row[0] and row[4] == CaseStatus.RESOLVED for row in table])
    wrong = np.array([float(row[2] != row[3]) for row in table])
    probability = np.array([row[1] for row in table])
    estimate = accepted_error(wrong, np.ones(len(table), bool), answered, probability)
    return estimate, len(table)
