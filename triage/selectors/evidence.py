"""What is known of past cases, as arrays: for calibration, replays and audits."""

from dataclasses import dataclass

import numpy as np
from django.db.models import OuterRef, Q, QuerySet, Subquery

from inference.models import Run
from inference.services.answers import answers_of
from inference.uq.answers import Answers
from inference.uq.experts import capped_weights
from inference.uq.types import Bools, Floats, Ints, Objects
from triage.choices import CaseStatus, Outcome, ReviewAction
from triage.models import Decision, Review, Site
from triage.reasons import LEARNING, UNFAMILIAR, kinds

NEWEST = 2000
LABELLED = Q(run__status=Run.Status.SCORED, case__status=CaseStatus.RESOLVED) & (
    Q(audited=True) | Q(outcome=Outcome.DEFER)
)
"""Of a Decision: an expert has answered, in a way whose probability is known; see Evidence."""


@dataclass(frozen=True)
class Evidence:
    """n past decisions of one ensemble at one site, newest first.

    Attributes:
        answers: of n cases and M members.
        labelled: (n,) an expert has answered, in a way whose probability is known: because it was
            deferred, or drawn for audit. An accepted case that somebody opened out of curiosity is
            not labelled in this sense.
        truth: (n,) the expert's label, "" where unlabelled.
        wrong: (n,) 1.0 where the vote differs from the expert's label, NaN where unlabelled.
        probability: (n,) in (0, 1], with which the case was to be labelled.
        trusted: (n,) nothing was missing, unreadable or unfamiliar, so that it may be accepted at
            all.
        experts: (n,) who answered last, "" where unlabelled.
        learning: (n,) its camera or site was new: it was deferred, whatever the score.
        accepted: (n,) it was accepted when it was decided.
    """

    decisions: list[Decision]
    answers: Answers
    labelled: Bools
    truth: Objects
    wrong: Floats
    probability: Floats
    trusted: Bools
    experts: Objects
    learning: Bools
    accepted: Bools

    def __len__(self) -> int:
        return len(self.decisions)

    def take(self, rows: Bools | Ints) -> "Evidence":
        """The cases at `rows` (indices or mask)."""
        return Evidence(
            decisions=[self.decisions[row] for row in np.arange(len(self))[rows]],
            answers=self.answers.take(rows),
            labelled=self.labelled[rows],
            truth=self.truth[rows],
            wrong=self.wrong[rows],
            probability=self.probability[rows],
            trusted=self.trusted[rows],
            experts=self.experts[rows],
            learning=self.learning[rows],
            accepted=self.accepted[rows],
        )

    def wrong_of(self, labels: Objects) -> Floats:
        """1.0 where these labels (n,) differ from the expert's, NaN where unlabelled."""
        return np.where(self.labelled, (labels != self.truth).astype(np.float64), np.nan)

    @property
    def weights(self) -> Floats:
        """How much each label counts, (n,): 1 / probability, times its expert's influence."""
        return self.influence / self.probability

    @property
    def influence(self) -> Floats:
        """In (0, 1], (n,): below 1 where one expert would hold more than half of all labels."""
        influence = np.ones(len(self))
        if self.labelled.any():
            influence[self.labelled] = capped_weights(self.experts[self.labelled].tolist())
        return influence


def gather(
    *, site: Site, domain: str, ensemble: str, newest: int = NEWEST, only: Q | None = None
) -> Evidence | None:
    """The newest scored decisions of the ensemble with that signature; None if there are none.

    Args:
        only: what else must hold of a Decision.
    """
    rows = (
        _scored(site, domain, ensemble)
        .filter(only or Q())
        .select_related("case", "run")
        .prefetch_related("run__traces")
        .annotate(expert=_last_expert())
        .order_by("-pk")[:newest]
    )
    decisions: list[Decision] = list(rows)
    if not decisions:
        return None
    labelled = np.array([_is_labelled(row) for row in decisions])
    truth = np.array([row.case.label for row in decisions], dtype=object)
    differs = np.array([float(row.case.label != row.run.prediction) for row in decisions])
    return Evidence(
        decisions=decisions,
        answers=answers_of([row.run for row in decisions]),
        labelled=labelled,
        truth=np.where(labelled, truth, ""),
        wrong=np.where(labelled, differs, np.nan),
        probability=np.array([row.label_probability for row in decisions]),
        trusted=np.array([_is_trusted(row) for row in decisions]),
        experts=np.where(
            labelled, [str(getattr(row, "expert", "")) for row in decisions], ""
        ).astype(object),
        learning=np.array([bool(kinds(row.reasons) & LEARNING) for row in decisions]),
        accepted=np.array([row.outcome == Outcome.ACCEPT for row in decisions]),
    )


def labels_of(*, site: Site, domain: str, ensemble: str) -> int:
    """How many labels `gather` finds by default: what a refit of that ensemble learns from."""
    newest = _scored(site, domain, ensemble).order_by("-pk").values("pk")[:NEWEST]
    return Decision.objects.of(site).filter(LABELLED, pk__in=newest).count()


def _scored(site: Site, domain: str, ensemble: str) -> QuerySet[Decision]:
    return Decision.objects.filter(
        case__site=site,
        case__domain=domain,
        run__ensemble=ensemble,
        run__status=Run.Status.SCORED,
    )


def _last_expert() -> Subquery:
    answers = Review.objects.filter(case=OuterRef("case"), action=ReviewAction.ANSWER)
    return Subquery(answers.order_by("-pk").values("reviewer")[:1])


def _is_trusted(decision: Decision) -> bool:
    return not decision.run.problems and not kinds(decision.reasons) & UNFAMILIAR


def _is_labelled(decision: Decision) -> bool:
    sampled = decision.audited or decision.outcome == Outcome.DEFER
    return sampled and decision.case.status == CaseStatus.RESOLVED
