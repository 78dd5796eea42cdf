"""An error that an audit found is seldom alone: which accepted cases are described most like it."""

from dataclasses import dataclass

import numpy as np
from django.db.models import F, QuerySet

from inference.uq.similarity import nearest
from triage.choices import CaseStatus, Outcome
from triage.models import Case, Decision, Site
from triage.selectors.descriptions import mean_descriptions
from triage.selectors.words import domain_at, titles_of

ERRORS, NEIGHBOURS = 5, 5
ACCEPTED = 500


@dataclass(frozen=True)
class AuditError:
    """An accepted case whose audit found another label, and accepted cases that resemble it.

    `neighbours` are the most alike of the newest accepted ones that nobody has looked at.
    """

    case: Case
    said: str
    truth: str
    neighbours: list[Case]


def audit_errors(site: Site) -> list[AuditError]:
    """The newest errors that audits found at a site, newest first."""
    wrong = _audit_errors(site).filter(case__domain=site.domain)
    return _with_neighbours(site, list(wrong.order_by("-case__resolved_at")[:ERRORS]))


def neighbours_of(case: Case) -> list[Case]:
    """Of a case whose audit found an error, those that resemble it; of any other none."""
    if case.status != CaseStatus.RESOLVED:
        return []
    found = _with_neighbours(case.site, list(_audit_errors(case.site).filter(case=case)[:1]))
    return found[0].neighbours if found else []


def _audit_errors(site: Site) -> QuerySet[Decision]:
    drawn = Decision.objects.filter(case__site=site, outcome=Outcome.ACCEPT, audited=True)
    resolved = drawn.filter(case__status=CaseStatus.RESOLVED).exclude(case__label=F("label"))
    return resolved.select_related("case")


def _with_neighbours(site: Site, wrong: list[Decision]) -> list[AuditError]:
    if not wrong:
        return []
    unseen = _unseen(site)
    vectors = mean_descriptions([one.run_id for one in (*wrong, *unseen)])
    unseen = [one for one in unseen if one.run_id in vectors]
    rows = np.array([vectors[one.run_id] for one in unseen])
    titles = titles_of(domain_at(site))
    return [
        AuditError(
            case=one.case,
            said=titles.get(one.label, one.label),
            truth=titles.get(one.case.label, one.case.label),
            neighbours=[
                unseen[at].case for at in nearest(vectors[one.run_id], rows, NEIGHBOURS).tolist()
            ]
            if unseen and one.run_id in vectors
            else [],
        )
        for one in wrong
    ]


def _unseen(site: Site) -> list[Decision]:
    accepted = Decision.objects.filter(
        case__site=site,
        case__domain=site.domain,
        case__status=CaseStatus.ACCEPTED,
        case__erased_at=None,
        outcome=Outcome.ACCEPT,
    )
    return list(accepted.select_related("case").order_by("-pk")[:ACCEPTED])
