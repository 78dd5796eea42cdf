"""What the ensemble would be without each of its members: the vote counted anew on past cases."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from django.utils.translation import gettext as _

from inference.ensemble import current_signature
from inference.uq.answers import Answers, encode, label_set, vote
from inference.uq.paired import Difference, deferral_for, difference, error_at
from inference.uq.scores import cold_start, von_neumann_entropy, vote_entropy
from inference.uq.similarity import similarity_matrix
from inference.uq.types import Bools, Floats, Objects
from triage.choices import Outcome
from triage.models import Decision, Site
from triage.selectors.evidence import LABELLED, gather
from triage.selectors.words import domain_at

NEWEST = 400
# With fewer labelled cases the numbers are a hint.
FEW = 100
# An ensemble needs two members that may differ, and so three to leave one out.
FEWEST_MEMBERS = 3


@dataclass(frozen=True)
class Without:
    """The ensemble without one member, on the same labelled cases.

    Attributes:
        change: of the vote's accuracy, with its 95 % interval.
        deferral: the share that would have to be deferred for as few errors among the accepted as
            today; None where nothing is accepted.
    """

    name: str
    change: Difference
    deferral: float | None

    @property
    def sentence(self) -> str:
        return _(
            "Right in {wins} cases where the vote was wrong, wrong in {losses} where it was right."
        ).format(wins=self.change.wins, losses=self.change.losses)


@dataclass(frozen=True)
class LeavingOut:
    """On so many labelled `cases`. `deferral`: the share deferred today, 0 to 1.

    It is kept between requests, so its words are put in the reader's language when they are read.
    """

    cases: int
    deferral: float
    without: list[Without]

    @property
    def why_not(self) -> str:
        """Why nothing can be said; "" where it can."""
        if not self.cases:
            return _("There is no labelled case of these members yet.")
        if not self.without:
            return _("Of two members none can be left out: one alone cannot disagree.")
        return ""

    @property
    def few(self) -> bool:
        return self.cases < FEW


def leaving_out(site: Site) -> LeavingOut:
    """What leaving each member out would do, on the newest cases that experts were asked about."""
    signature = current_signature(domain_at(site))
    labelled = Decision.objects.filter(
        LABELLED, case__site=site, case__domain=site.domain, run__ensemble=signature
    )
    newest = labelled.order_by("-case__resolved_at", "-pk").values_list("pk", "case__resolved_at")
    return _measured(site.pk, signature, labelled.count(), newest.first())


@lru_cache(maxsize=16)
def _measured(site_pk: int, signature: str, _count: int, _newest: object) -> LeavingOut:
    """Kept until another label is there: the texts of many cases are read for it."""
    site = Site.objects.get(pk=site_pk)
    found = gather(site=site, domain=site.domain, ensemble=signature, newest=NEWEST, only=LABELLED)
    deferral = _deferral(site, signature)
    if found is None:
        return LeavingOut(0, deferral, [])
    if len(found.answers.members) < FEWEST_MEMBERS:
        return LeavingOut(len(found), deferral, [])
    return LeavingOut(
        cases=len(found),
        deferral=deferral,
        without=_each(found.answers, found.truth, 1 / found.probability, deferral),
    )


def _deferral(site: Site, signature: str) -> float:
    """The share deferred of the newest decisions of this ensemble; 1 where there is none."""
    outcomes = list(
        Decision.objects.filter(case__site=site, case__domain=site.domain, run__ensemble=signature)
        .order_by("-pk")
        .values_list("outcome", flat=True)[:NEWEST]
    )
    return outcomes.count(Outcome.DEFER) / len(outcomes) if outcomes else 1.0


def _each(answers: Answers, truth: Objects, weights: Floats, deferral: float) -> list[Without]:
    wrong, scores = _judged(answers, truth)
    error = error_at(scores, wrong, weights, deferral)
    rows = []
    for name in answers.members:
        rest = answers.only([one for one in answers.members if one != name])
        amiss, unsure = _judged(rest, truth)
        needed = None if error is None else deferral_for(unsure, amiss, weights, error)
        rows.append(Without(name, difference(wrong, amiss, weights), needed))
    return rows


def _judged(answers: Answers, truth: Objects) -> tuple[Bools, Floats]:
    """Where the vote is wrong, and how unsure it is by the score that needs no labels."""
    entropy = vote_entropy(encode(answers.labels, label_set(answers.labels)))
    unsure = cold_start(entropy, von_neumann_entropy(similarity_matrix(answers.reasonings)))
    return np.asarray(vote(answers)[0] != truth, dtype=bool), unsure
