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
from triage.reasons import LEARNING, kinds
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

    `comparable`: labelled cases are among those accepted, so that others can be asked for as few
    errors.
    """

    cases: int
    deferral: float
    without: list[Without]
    comparable: bool = True

    @property
    def why_not(self) -> str:
        """Why nothing can be said; "" where it can."""
        if not self.cases:
            return _("There is no labelled case of these members yet.")
        if not self.without:
            return _("Of two members none can be left out: one alone cannot disagree.")
        return ""

    @property
    def why_no_deferral(self) -> str:
        """Why the share to defer for as few errors cannot be told; "" where it can."""
        if self.comparable:
            return ""
        if self.deferral >= 1:
            return _(
                "Nothing is accepted today, so there is no error rate among the accepted to match: "
                "the share to defer for as few errors cannot be told."
            )
        return _(
            "None of the labelled cases is as sure as those that are accepted today: the share to "
            "defer for as few errors cannot be told."
        )

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
    found = _judgements(site.pk, signature, labelled.count(), newest.first())
    deferral = _deferral(site, signature)
    if found is None:
        return LeavingOut(0, deferral, [])
    error = error_at(found.whole.unsure, found.whole.wrong, found.weights, deferral)
    without = [_without(found, name, one, error) for name, one in found.rest.items()]
    return LeavingOut(len(found.weights), deferral, without, comparable=error is not None)


@dataclass(frozen=True)
class _Judged:
    """Of n labelled cases: where a vote is wrong, and how unsure it is, by the score that needs no
    labels; (n,) each."""

    wrong: Bools
    unsure: Floats


@dataclass(frozen=True)
class _Judgements:
    """The vote of all, and that of the others without each member; none of two members."""

    whole: _Judged
    rest: dict[str, _Judged]
    weights: Floats


@lru_cache(maxsize=16)
def _judgements(site_pk: int, signature: str, _count: int, _newest: object) -> _Judgements | None:
    """Kept until another label is there: the texts of many cases are read for it.

    What is deferred today is no part of it: that changes with every case.
    """
    site = Site.objects.get(pk=site_pk)
    found = gather(site=site, domain=site.domain, ensemble=signature, newest=NEWEST, only=LABELLED)
    if found is None:
        return None
    members = found.answers.members
    names = members if len(members) >= FEWEST_MEMBERS else ()
    rest = {
        name: _judged(found.answers.only([one for one in members if one != name]), found.truth)
        for name in names
    }
    return _Judgements(_judged(found.answers, found.truth), rest, 1 / found.probability)


def _deferral(site: Site, signature: str) -> float:
    """The share deferred of the newest decisions of this ensemble, those while a camera or the site
    was learning left out; 1 where there is none."""
    rows = (
        Decision.objects.filter(case__site=site, case__domain=site.domain, run__ensemble=signature)
        .order_by("-pk")
        .values_list("outcome", "reasons")[:NEWEST]
    )
    outcomes = [outcome for outcome, why in rows if not kinds(why) & LEARNING]
    return outcomes.count(Outcome.DEFER) / len(outcomes) if outcomes else 1.0


def _without(found: _Judgements, name: str, rest: _Judged, error: float | None) -> Without:
    change = difference(found.whole.wrong, rest.wrong, found.weights)
    if error is None:
        return Without(name, change, None)
    return Without(name, change, deferral_for(rest.unsure, rest.wrong, found.weights, error))


def _judged(answers: Answers, truth: Objects) -> _Judged:
    entropy = vote_entropy(encode(answers.labels, label_set(answers.labels)))
    unsure = cold_start(entropy, von_neumann_entropy(similarity_matrix(answers.reasonings)))
    return _Judged(np.asarray(vote(answers)[0] != truth, dtype=bool), unsure)
