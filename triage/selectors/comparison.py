"""Two versions side by side: what they are, what they did, and where they part."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from inference.uq.types import Ints
from triage.choices import SETTLED, PolicyMode, PolicyStatus
from triage.models import Decision, Policy, Site
from triage.selectors.evidence import Evidence, gather
from triage.selectors.live import Live, live_numbers
from triage.selectors.policies import in_a_sentence
from triage.selectors.rules import Applied, rule_of
from triage.selectors.what_if import SCORES
from triage.selectors.words import domain_of, titles_of

CHOICES = 100
PARTED_AT_MOST = 50


@dataclass(frozen=True)
class Side:
    """One version. `window` says what its calibration was fitted on, `replay` is the stored one."""

    policy: Policy
    sentence: str
    score: str
    window: str
    replay: dict[str, Any]
    live: Live


@dataclass(frozen=True)
class Parted:
    """A past case that only one of the two accepts, or that both accept with another label.

    `left`, `right`: titles of the labels accepted, "" if deferred; `truth` is "" while unlabelled.
    """

    case: str
    number: str
    left: str
    right: str
    secret: bool
    truth: str


@dataclass(frozen=True)
class Comparison:
    """The page. `cases` were tried on both; `why_not` says why they could not be."""

    versions: list[Policy]
    left: Side
    right: Side
    cases: int
    parted_count: int
    only_left: int
    only_right: int
    parted: list[Parted]
    why_not: str


def versions_of(site: Site) -> list[Policy]:
    """Versions to choose from, newest first: the newest ones, and whichever is in force."""
    newest = list(_versions(site)[:CHOICES])
    if any(one.status == PolicyStatus.ACTIVE for one in newest):
        return newest
    return newest + list(_versions(site).filter(status=PolicyStatus.ACTIVE))


def version_of(site: Site, number: int) -> Policy | None:
    """A version by its number, however old; None where there is none."""
    return _versions(site).filter(version=number).first()


def _versions(site: Site) -> QuerySet[Policy]:
    rows = Policy.objects.filter(site=site, domain=site.domain)
    return rows.select_related("calibration", "site", "withdrawal")


def usual_pair(versions: list[Policy]) -> tuple[Policy, Policy] | None:
    """The version in force and the newest other one; None with fewer than two."""
    if len(versions) < 2:
        return None
    active = next((one for one in versions if one.status == PolicyStatus.ACTIVE), versions[1])
    return active, next(one for one in versions if one != active)


def comparison(*, versions: list[Policy], left: Policy, right: Policy) -> Comparison:
    """Both versions, and the newest past cases on which they part."""
    evidence = _evidence(left, right)
    tried = _Tried.on(evidence, left, right) if evidence else None
    return Comparison(
        versions=sorted({*versions, left, right}, key=lambda one: one.version, reverse=True),
        left=_side(left),
        right=_side(right),
        cases=len(evidence) if evidence else 0,
        parted_count=len(tried.parted) if tried else 0,
        only_left=tried.only_left if tried else 0,
        only_right=tried.only_right if tried else 0,
        parted=tried.rows() if tried else [],
        why_not=""
        if tried
        else _("There are no past cases of an ensemble that both were made for."),
    )


@dataclass(frozen=True)
class _Tried:
    """Both versions on the same cases; `parted` are the rows on which they part."""

    evidence: Evidence
    left: Applied
    right: Applied
    parted: Ints

    @classmethod
    def on(cls, evidence: Evidence, left: Policy, right: Policy) -> Self:
        one, other = _applied(left, evidence), _applied(right, evidence)
        another = one.accepted & other.accepted & (one.labels != other.labels)
        parted = np.flatnonzero((one.accepted != other.accepted) | another)
        return cls(evidence, one, other, parted)

    @property
    def only_left(self) -> int:
        return int((self.left.accepted & ~self.right.accepted).sum())

    @property
    def only_right(self) -> int:
        return int((self.right.accepted & ~self.left.accepted).sum())

    def rows(self) -> list[Parted]:
        """The newest of them."""
        return [
            _parted(int(row), self.evidence, self.left, self.right)
            for row in self.parted[:PARTED_AT_MOST]
        ]


def _evidence(left: Policy, right: Policy) -> Evidence | None:
    """The newest cases of the ensemble that both rest on; one that accepts nothing rests on any."""
    ensembles = {
        policy.calibration.ensemble
        for policy in (left, right)
        if policy.calibration and policy.mode != PolicyMode.DEFER_ALL
    }
    if len(ensembles) != 1:
        return None
    return gather(site=left.site, domain=left.domain, ensemble=ensembles.pop())


def _applied(policy: Policy, evidence: Evidence) -> Applied:
    rule = None if policy.mode == PolicyMode.DEFER_ALL else rule_of(policy, evidence)
    if rule is None:
        nobody = np.zeros(len(evidence), dtype=bool)
        unknown = np.full(len(evidence), np.nan)
        return Applied(nobody, unknown, np.full(len(evidence), "", dtype=object))
    applied = rule.apply(evidence)
    return Applied(applied.accepted & ~evidence.learning, applied.scores, applied.labels)


def _parted(row: int, evidence: Evidence, one: Applied, other: Applied) -> Parted:
    case = evidence.decisions[row].case
    titles = titles_of(domain_of(case))

    def said(applied: Applied) -> str:
        label = str(applied.labels[row])
        return titles.get(label, label) if applied.accepted[row] else ""

    return Parted(
        case=str(case.pk),
        number=case.number,
        left=said(one),
        right=said(other),
        secret=case.status not in SETTLED,
        truth=titles.get(str(evidence.truth[row]), "") if evidence.labelled[row] else "",
    )


def _side(policy: Policy) -> Side:
    return Side(
        policy=policy,
        sentence=in_a_sentence(policy),
        score=str(SCORES.get(policy.method, policy.method)),
        window=_window(policy),
        replay=policy.replay,
        live=live_numbers(Decision.objects.filter(policy=policy)),
    )


def _window(policy: Policy) -> str:
    window = policy.calibration.window if policy.calibration else {}
    if not window:
        return ""
    if window.get("shipped"):
        return _("the cases that came with the ensemble")
    said = _("{labels} labels of {cases} cases, {begin} to {end}")
    begin, end = (parse_datetime(str(window.get(key, ""))) for key in ("from", "to"))
    return said.format(
        labels=window.get("labels", 0),
        cases=window.get("cases", 0),
        begin=date_format(begin, "j M Y") if begin else "?",
        end=date_format(end, "j M Y") if end else "?",
    )
