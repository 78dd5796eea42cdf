"""Past cases under one score, as arrays that a what-if is answered from."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from inference.pipeline.domains import Domain
from inference.uq.sweep import Sweep
from inference.uq.types import Bools, Floats, Objects
from triage.choices import CaseStatus, Outcome
from triage.models import Calibration, Decision, Site
from triage.reasons import LEARNING, UNFAMILIAR, kinds
from triage.selectors.evidence import NEWEST, gather
from triage.selectors.rules import rule_with
from triage.selectors.words import domain_at, titles_of


@dataclass(frozen=True)
class Past:
    """n past cases under one score, as arrays that every question is answered from.

    Attributes:
        scores: (n,), inf where the case may not be accepted whatever the threshold.
        arrivals: (n,) days since 1970 in the site's own time.
        groups: kind of group -> (name, its cases); a label is the one that would be accepted.
    """

    scores: Floats
    arrivals: Floats
    sweep: Sweep
    groups: dict[str, list[tuple[str, Sweep]]]

    @property
    def days(self) -> float:
        """How long it took them to arrive; at least one day."""
        return max(1.0, float(np.ptp(self.arrivals)))


@lru_cache(maxsize=4)
def past_cases(
    site_pk: int, calibration_pk: int, _created_at: datetime, method: str, as_of: datetime
) -> Past | None:
    """Kept, for a dial that is dragged asks for the same cases many times a second.

    Scores that were stored under this calibration are used as they are, however many; a score that
    has not decided here, or only lately, is computed on the newest cases.
    """
    site = Site.objects.get(pk=site_pk)
    calibration = Calibration.objects.get(pk=calibration_pk)
    decided = Decision.objects.filter(
        case__site=site,
        case__domain=site.domain,
        run__ensemble=calibration.ensemble,
        decided_at__lte=as_of,
    )
    stored = decided.filter(policy__calibration=calibration, method=method)
    if stored.order_by().count() > NEWEST:
        return _stored(site, stored)
    return _computed(site, calibration, method, as_of)


def _stored(site: Site, decisions: QuerySet[Decision]) -> Past:
    columns: QuerySet[Any, Any] = decisions.values_list(
        "score",
        "label",
        "case__label",
        "case__status",
        "outcome",
        "audited",
        "label_probability",
        "reasons",
        "run__problems",
        "case__camera__name",
        "decided_at",
    )
    rows = list(columns)
    labelled = np.array([row[3] == CaseStatus.RESOLVED and _was_asked(row) for row in rows])
    unfit = {}
    for row in rows:
        key = (tuple(row[7]), bool(row[8]))
        if key not in unfit:
            unfit[key] = key[1] or bool(kinds(row[7]) & (UNFAMILIAR | LEARNING))
    acceptable = np.array([not unfit[tuple(row[7]), bool(row[8])] for row in rows])
    return _built(
        site,
        scores=np.where(acceptable, np.array([row[0] for row in rows], dtype=np.float64), np.inf),
        labels=np.array([row[1] for row in rows], dtype=object),
        truth=np.where(labelled, np.array([row[2] for row in rows], dtype=object), ""),
        labelled=labelled,
        probability=np.array([row[6] for row in rows], dtype=np.float64),
        cameras=[row[9] for row in rows],
        decided_at=[row[10] for row in rows],
    )


def _was_asked(row: Any) -> bool:
    """Labelled in a way whose probability is known: deferred, or drawn for audit."""
    return bool(row[5]) or row[4] == Outcome.DEFER


def _computed(site: Site, calibration: Calibration, method: str, as_of: datetime) -> Past | None:
    evidence = gather(
        site=site,
        domain=site.domain,
        ensemble=calibration.ensemble,
        only=Q(decided_at__lte=as_of),
    )
    if evidence is None:
        return None
    applied = rule_with(calibration, method, None).apply(evidence)
    acceptable = np.isfinite(applied.scores) & evidence.trusted & ~evidence.learning
    cameras = [row.case.camera.name if row.case.camera else None for row in evidence.decisions]
    return _built(
        site,
        scores=np.where(acceptable, applied.scores, np.inf),
        labels=applied.labels,
        truth=evidence.truth,
        labelled=evidence.labelled,
        probability=evidence.probability,
        cameras=cameras,
        decided_at=[row.decided_at for row in evidence.decisions],
    )


def _built(
    site: Site,
    *,
    scores: Floats,
    labels: Objects,
    truth: Objects,
    labelled: Bools,
    probability: Floats,
    cameras: list[str | None],
    decided_at: list[datetime],
) -> Past:
    domain = domain_at(site)
    normal = np.isin(labels, _normal(domain))
    wrong = np.where(labelled, labels != truth, np.nan).astype(np.float64)
    missed = np.where(labelled, normal & ~np.isin(truth, _normal(domain)), np.nan)
    missed = missed.astype(np.float64)
    offset = ZoneInfo(site.time_zone)
    local = [when.astimezone(offset).replace(tzinfo=None) for when in decided_at]
    arrivals = np.array(local, dtype="datetime64[s]").astype(np.float64) / 86_400

    def sweep(rows: Bools) -> Sweep:
        return Sweep(scores[rows], wrong[rows], missed[rows], probability[rows])

    titles = titles_of(domain)
    sources = np.array([name or "" for name in cameras], dtype=object)
    groups = {
        _("label"): [
            (titles[label.id], sweep(labels == label.id))
            for label in domain.labels
            if (labels == label.id).any()
        ],
        _("source"): [
            (name or _("sent by people"), sweep(sources == name)) for name in sorted(set(sources))
        ],
    }
    everybody = np.ones(len(scores), dtype=bool)
    return Past(scores, arrivals, sweep(everybody), groups)


def _normal(domain: Domain) -> list[str]:
    return [label.id for label in domain.labels if label.normal]
