"""The machine beside people, on the newest cases that they checked: by label, source, P(error)."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.uq.audit import ErrorSums, error_terms
from inference.uq.metrics import reliability_bins
from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from inference.uq.types import Bools, Floats
from triage.choices import CaseStatus, Outcome
from triage.models import Site
from triage.selectors.weeks import ASKED, Rate, decisions_of, rate_of

NEWEST = 2000
MOST_SOURCES = 20
FEW = 30
A_BIN, MOST_BINS = 20, 10
DELTA = 0.05


@dataclass(frozen=True)
class Pairs:
    """How often the ensemble said `said` where people said `truth`."""

    said: str
    truth: str
    n: int


@dataclass(frozen=True)
class SourceChecked:
    """One camera by its name, or ("") what people send.

    `answered` deferred cases, `overridden` of them with another label; `error` of the accepted.
    """

    name: str
    answered: int
    overridden: int
    error: Rate

    @property
    def override(self) -> float | None:
        return self.overridden / self.answered if self.answered else None

    @property
    def few_answers(self) -> bool:
        return self.answered < FEW

    @property
    def few_audits(self) -> bool:
        return self.error.n < FEW


@dataclass(frozen=True)
class Bin:
    """`n` cases with about the same stated P(error), and the share of them that was wrong."""

    n: int
    stated: float
    happened: float
    low: float
    high: float

    @property
    def honest(self) -> bool:
        """Whether the statement lies in the 95 % interval of what happened."""
        return self.low <= self.stated <= self.high


@dataclass(frozen=True)
class Reliability:
    """P(error) as stated at the decision against what people found, over `n` cases.

    `gap` is the mean distance of the two (expected calibration error); None with too few cases.
    """

    n: int
    bins: list[Bin]
    gap: float | None


@dataclass(frozen=True)
class Checked:
    """The newest `n` answered cases that had been deferred or drawn for audit."""

    n: int
    pairs: list[Pairs]
    sources: list[SourceChecked]
    reliability: Reliability


@dataclass(frozen=True)
class _Rows:
    """n checked cases as columns, each (n,); `stated` is NaN where none was."""

    said: list[str]
    truth: list[str]
    sources: list[str]
    audited: Bools
    probability: Floats
    stated: Floats

    @property
    def wrong(self) -> Floats:
        return np.array(
            [float(a != b) for a, b in zip(self.said, self.truth, strict=True)], dtype=np.float64
        )


def checked(site: Site) -> Checked:
    """Of a site's own domain. What nobody was to answer is no evidence, and left out."""
    rows = _rows(site)
    counted = Counter(zip(rows.said, rows.truth, strict=True))
    return Checked(
        n=len(rows.said),
        pairs=[Pairs(said, truth, n) for (said, truth), n in sorted(counted.items())],
        sources=_sources(rows),
        reliability=reliability(rows.stated, rows.wrong, rows.probability),
    )


def _rows(site: Site) -> _Rows:
    found: list[Any] = list(
        decisions_of(site)
        .filter(ASKED, case__status=CaseStatus.RESOLVED)
        .order_by("-decided_at")
        .values_list(
            "label",
            "case__label",
            "case__camera__name",
            "outcome",
            "label_probability",
            "explanation__error_probability",
        )[:NEWEST]
    )
    return _Rows(
        said=[row[0] for row in found],
        truth=[row[1] for row in found],
        sources=[row[2] or "" for row in found],
        audited=np.array([row[3] == Outcome.ACCEPT for row in found], dtype=bool),
        probability=np.array([row[4] for row in found], dtype=np.float64),
        stated=np.array([row[5] for row in found], dtype=np.float64),
    )


def _sources(rows: _Rows) -> list[SourceChecked]:
    """Most cases first."""
    names = np.array(rows.sources, dtype=object)
    common = Counter(rows.sources).most_common(MOST_SOURCES)
    return [_source(name, rows, names == name) for name, _n in common]


def _source(name: str, rows: _Rows, own: Bools) -> SourceChecked:
    wrong, audits = rows.wrong, own & rows.audited
    deferred = own & ~rows.audited
    terms = error_terms(wrong[audits], rows.probability[audits]).sum(axis=0)
    # So many were accepted, as far as the audits tell.
    accepted = float(terms[1])
    return SourceChecked(
        name=name,
        answered=int(deferred.sum()),
        overridden=int(wrong[deferred].sum()),
        error=rate_of(ErrorSums(accepted, *terms.tolist()).estimate()),
    )


def reliability(stated: Floats, wrong: Floats, probability: Floats) -> Reliability:
    """Bins of about equal size by rising P(error); all (n,), weighted by 1 / `probability`.

    A bin holds at least 20 cases; without that many there is none. NaN in `stated` is left out.
    """
    known = np.isfinite(stated)
    stated, wrong, weight = stated[known], wrong[known], 1 / probability[known]
    many = min(MOST_BINS, len(stated) // A_BIN)
    rows = reliability_bins(stated, many) if many else []
    bins = [_bin(stated[one], wrong[one], weight[one]) for one in rows]
    shares = [float(weight[one].sum() / weight.sum()) for one in rows]
    apart = [abs(one.stated - one.happened) for one in bins]
    gap = float(np.dot(shares, apart)) if bins else None
    return Reliability(len(stated), bins, gap)


def _bin(stated: Floats, wrong: Floats, weight: Floats) -> Bin:
    happened = float(np.average(wrong, weights=weight))
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    return Bin(
        n=len(stated),
        stated=float(np.average(stated, weights=weight)),
        happened=happened,
        low=clopper_pearson_lower(happened * effective, effective, DELTA / 2),
        high=clopper_pearson_upper(happened * effective, effective, DELTA / 2),
    )
