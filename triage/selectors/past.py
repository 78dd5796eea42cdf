"""Past cases under one score, as arrays that a what-if is answered from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.db.models import Q, QuerySet

from inference.pipeline.domains import Domain
from inference.uq.sweep import Sweep
from inference.uq.types import Bools, Floats, Ints, Objects
from triage.choices import CaseStatus, Outcome
from triage.models import Calibration, Decision, Site
from triage.reasons import LEARNING, UNFAMILIAR, kinds
from triage.selectors.evidence import NEWEST, gather
from triage.selectors.rules import rule_with
from triage.selectors.words import domain_at

# Past cases that a dial looks at, the newest ones: reading more would keep people waiting.
LATELY = 50_000
# Of each past case, whatever its score: what it is told apart by.
FACTS = (
    "pk",
    "reasons",
    "case__camera__name",
    "case__observation__media__duration_s",
    "decided_at",
)
LABEL, SOURCE, MEDIUM = "label", "source", "medium"


@dataclass(frozen=True)
class Past:
    """n past cases under one score, as arrays that every question is answered from.

    It is kept between requests, so it holds no words: they are put in the reader's language later.

    Attributes:
        scores: (n,), inf where the case may not be accepted whatever the threshold.
        arrivals: (m,) days since 1970 in the site's own time, of all cases that were decided
            meanwhile, also by other versions.
        like: (m,) which of the n cases each of them counts as: itself, or one drawn at random.
        held: why cases may not be accepted, "learning", "unfamiliar" or "incomplete" -> how many.
        groups: LABEL, SOURCE or MEDIUM -> (label id, camera's name, "photo" or "clip"; its cases);
            a label is the one that would be accepted, "" what people send.
    """

    scores: Floats
    arrivals: Floats
    like: Ints
    sweep: Sweep
    held: dict[str, int]
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

    Scores that were stored under this calibration are used as they are, of the newest LATELY cases;
    a score that has not decided here, or only lately, is computed on the newest ones.
    """
    site = Site.objects.get(pk=site_pk)
    calibration = Calibration.objects.get(pk=calibration_pk)
    decided = Decision.objects.filter(
        case__site=site,
        case__domain=site.domain,
        run__ensemble=calibration.ensemble,
        decided_at__lte=as_of,
    )
    # By their keys: the newest decisions of a few policies are read off an index.
    policies = list(calibration.policy_set.values_list("pk", flat=True))
    stored = decided.filter(policy__in=policies, method=method)
    if stored.order_by()[: NEWEST + 1].count() > NEWEST:
        return _stored(site, stored.order_by("-decided_at", "-pk")[:LATELY])
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
        *FACTS,
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
        facts=[row[9:] for row in rows],
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
    pks = [row.pk for row in evidence.decisions]
    facts = {
        row[0]: row for row in Decision.objects.of(site).filter(pk__in=pks).values_list(*FACTS)
    }
    return _built(
        site,
        scores=np.where(acceptable, applied.scores, np.inf),
        labels=applied.labels,
        truth=evidence.truth,
        labelled=evidence.labelled,
        probability=evidence.probability,
        facts=[facts[pk] for pk in pks],
    )


def _built(
    site: Site,
    *,
    scores: Floats,
    labels: Objects,
    truth: Objects,
    labelled: Bools,
    probability: Floats,
    facts: Sequence[tuple[Any, ...]],
) -> Past:
    domain = domain_at(site)
    normal = np.isin(labels, _normal(domain))
    wrong = np.where(labelled, labels != truth, np.nan).astype(np.float64)
    missed = np.where(labelled, normal & ~np.isin(truth, _normal(domain)), np.nan)
    missed = missed.astype(np.float64)

    def sweep(rows: Bools) -> Sweep:
        return Sweep(scores[rows], wrong[rows], missed[rows], probability[rows])

    sources = np.array([row[2] or "" for row in facts], dtype=object)
    media = np.array(["clip" if row[3] else "photo" for row in facts], dtype=object)
    told = {LABEL: labels, SOURCE: sources, MEDIUM: media}
    known = {
        LABEL: [label.id for label in domain.labels],
        SOURCE: sorted(set(sources)),
        MEDIUM: sorted(set(media)),
    }
    arrivals, like = _arrivals(site, facts)
    return Past(
        scores=scores,
        arrivals=arrivals,
        like=like,
        sweep=sweep(np.ones(len(scores), dtype=bool)),
        held=_held(scores, facts),
        groups={
            kind: [(one, sweep(told[kind] == one)) for one in ids if (told[kind] == one).any()]
            for kind, ids in known.items()
        },
    )


def _held(scores: Floats, facts: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    """Why cases may not be accepted whatever the threshold; each counts once."""
    counts = Counter(
        _why_held(row[1])
        for score, row in zip(scores, facts, strict=True)
        if not np.isfinite(score)
    )
    return dict(counts)


def _why_held(reasons: list[str]) -> str:
    found = kinds(reasons)
    if found & LEARNING:
        return "learning"
    return "unfamiliar" if found & UNFAMILIAR else "incomplete"


def _arrivals(site: Site, facts: Sequence[tuple[Any, ...]]) -> tuple[Floats, Ints]:
    """When all cases of that time arrived, and which of the past cases each counts as.

    What another version decided, beside a canary or between two times in force, was work as well.
    """
    place, times = {row[0]: at for at, row in enumerate(facts)}, [row[4] for row in facts]
    decided = Decision.objects.filter(case__site=site, case__domain=site.domain)
    span = decided.filter(decided_at__gte=min(times), decided_at__lte=max(times))
    rows = list(span.order_by("pk").values_list("pk", "decided_at"))
    drawn = np.random.default_rng(0).integers(len(facts), size=len(rows))
    like = [place.get(row[0], int(drawn[at])) for at, row in enumerate(rows)]
    zone = ZoneInfo(site.time_zone)
    local = [when.astimezone(zone).replace(tzinfo=None) for _pk, when in rows]
    return np.array(local, dtype="datetime64[s]").astype(np.float64) / 86_400, np.array(like)


def _normal(domain: Domain) -> list[str]:
    return [label.id for label in domain.labels if label.normal]
