"""What the guard rail watches of a published version, and where it would act."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q
from django.utils.translation import gettext as _

from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from inference.uq.watch import bounds_at_all_times
from triage.choices import CaseStatus, GuardCause, Outcome, PolicyMode, PolicyStatus
from triage.models import Decision, GuardRail, Policy, Site
from triage.reasons import ITS_OWN, kinds
from triage.selectors.live import live_numbers

# The chance of ever acting though nothing is wrong: on errors, and on the share deferred.
ERROR_DELTA = 0.05
DEFERRAL_DELTA = 0.01
# So many labels make the version before's error, or a replay's share, something to hold on to.
FEWEST = 20
# The share deferred is watched over so many of a version's first cases.
FIRST_CASES = 2000
PROMISED, KNOWN, INSTALLATION = "promised", "known", "installation"
WATCHED = (PolicyStatus.ACTIVE, PolicyStatus.CANARY)


@dataclass(frozen=True)
class Limit:
    """The error rate among the accepted that the guard holds a version to, and where it is from:
    PROMISED, KNOWN or INSTALLATION."""

    risk: float
    source: str

    @property
    def sentence(self) -> str:
        sentences = {
            PROMISED: _("At most {risk:.1%} was promised."),
            KNOWN: _("Before it was published at most {risk:.1%} were wrong."),
            INSTALLATION: _(
                "Nothing was promised or known before: {risk:.1%} is the limit of this "
                "installation."
            ),
        }
        return sentences[self.source].format(risk=self.risk)

    def to_dict(self) -> dict[str, Any]:
        """What a Policy keeps from its publication on."""
        return {"risk": self.risk, "source": self.source}


@dataclass(frozen=True)
class Audits:
    """`n` answered audits, of which so many were wrong; the error rate lies between `low` and
    `high`, at every look, with 95 % confidence."""

    n: int
    wrong: int
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """Between which shares deferred a version may be, and what its replay expected."""

    low: float
    high: float
    expected: float


@dataclass(frozen=True)
class Watch:
    """Where a version stands.

    Attributes:
        audited, wrong: answered audits of what it accepted, and how many were wrong.
        low, high: the error rate lies between them, at every look, with 95 % confidence.
        cases, deferred: of its first FIRST_CASES those on which the policy itself had the say.
        least, most: the share deferred lies between them, at every look, with 99 % confidence.
        band: None where its replay was too small to expect anything.
    """

    limit: Limit
    audited: int
    wrong: int
    low: float
    high: float
    cases: int
    deferred: int
    least: float
    most: float
    band: Band | None

    @property
    def causes(self) -> list[GuardCause]:
        """What is wrong; the gravest first."""
        found = [GuardCause.ERROR] if self.low > self.limit.risk else []
        if self.band and self.most < self.band.low:
            found.append(GuardCause.ACCEPTS_MORE)
        if self.band and self.least > self.band.high:
            found.append(GuardCause.DEFERS_MORE)
        return found

    @property
    def deferral(self) -> float | None:
        return self.deferred / self.cases if self.cases else None

    def to_dict(self) -> dict[str, Any]:
        """What a GuardRail keeps as its evidence."""
        return {
            "limit": self.limit.risk,
            "limit_from": self.limit.source,
            "audited": self.audited,
            "wrong": self.wrong,
            "low": self.low,
            "cases": self.cases,
            "deferred": self.deferred,
            "band": [self.band.low, self.band.high] if self.band else None,
            "expected": self.band.expected if self.band else None,
        }


def guard_in_words(cause: str, evidence: dict[str, Any]) -> str:
    """Why the guard acted, from what it found, in a sentence or two."""
    if cause == GuardCause.ERROR:
        said = _(
            "{wrong} of {audited} audits of what it accepted were wrong: at least {low:.1%} of all "
            "that it accepts. {limit}"
        )
        limit = Limit(evidence["limit"], evidence["limit_from"]).sentence
        return said.format(**evidence | {"limit": limit})
    said = _(
        "It deferred {deferred} of {cases} cases, {share:.0%}; its replay said {expected:.0%}, and "
        "between {low:.0%} and {high:.0%} is its band."
    )
    low, high = evidence["band"]
    share = evidence["deferred"] / evidence["cases"]
    return said.format(**evidence | {"share": share, "low": low, "high": high})


def told(row: GuardRail) -> GuardRail:
    """With its reason in the reader's language; an old row has kept the words themselves."""
    if not row.reason:
        row.reason = guard_in_words(row.cause, row.evidence)
    return row


def is_watched(policy: Policy) -> bool:
    """Whether it decides, and was published over another version."""
    deciding = policy.status in WATCHED and policy.mode != PolicyMode.DEFER_ALL
    return deciding and policy.before_id is not None


def audits_of(policy: Policy) -> Audits:
    """All answered audits of what a version accepted.

    All were drawn with the same probability, so a plain count of them is fair.
    """
    audits = Decision.objects.filter(
        policy=policy, outcome=Outcome.ACCEPT, audited=True, case__status=CaseStatus.RESOLVED
    ).aggregate(n=Count("pk"), wrong=Count("pk", filter=~Q(label=F("case__label"))))
    n, wrong = audits["n"], audits["wrong"]
    return Audits(n, wrong, *bounds_at_all_times(wrong, n, ERROR_DELTA))


def watch(policy: Policy) -> Watch:
    """All that it has decided so far against what was promised of it, or known before it."""
    audits = audits_of(policy)
    own = _decided_itself(
        Decision.objects.filter(policy=policy)
        .order_by("pk")
        .values_list("outcome", "reasons")[:FIRST_CASES]
    )
    deferred = sum(outcome == Outcome.DEFER for outcome in own)
    least, most = bounds_at_all_times(deferred, len(own), DEFERRAL_DELTA)
    return Watch(
        limit=limit_of(policy),
        audited=audits.n,
        wrong=audits.wrong,
        low=audits.low,
        high=audits.high,
        cases=len(own),
        deferred=deferred,
        least=least,
        most=most,
        band=_band(policy),
    )


def _decided_itself(rows: Iterable[tuple[str, list[str]]]) -> list[str]:
    """The outcomes where learning, an unfamiliar picture or a failed member did not decide."""
    return [outcome for outcome, reasons in rows if kinds(reasons) <= ITS_OWN]


def limit_of(policy: Policy) -> Limit:
    """What stood when it was published; the setting of this installation is that of today."""
    kept = policy.guard_limit
    if not kept:  # published before it was kept, or not at all
        return limit_at_publication(policy)
    if kept["source"] == INSTALLATION:
        return Limit(settings.ALARM_GUARD_RISK, INSTALLATION)
    return Limit(kept["risk"], kept["source"])


def limit_at_publication(policy: Policy) -> Limit:
    """What is promised; else the most that is known by now of the version before; else the setting.

    Kept when it is published: audits of the version before that are answered later, and those of
    its cases beside a canary, must not move it.
    """
    if policy.mode == PolicyMode.GUARANTEED and policy.choice.get("value"):
        return Limit(float(policy.choice["value"]), PROMISED)
    known = _known_before(policy)
    if known is not None:
        return Limit(known, KNOWN)
    return Limit(settings.ALARM_GUARD_RISK, INSTALLATION)


def _known_before(policy: Policy) -> float | None:
    """The upper end of the version before's error, by its own audits or by the replay."""
    if policy.before is not None:
        error = live_numbers(Decision.objects.filter(policy=policy.before)).error
        if error.audited >= FEWEST:
            return error.high
    current = policy.replay.get("current", {})
    if current.get("labelled", 0) >= FEWEST and current.get("low") is not None:
        return 1 - float(current["low"])
    return None


def _band(policy: Policy) -> Band | None:
    """Around what the replay expected, by its uncertainty and ALARM_GUARD_BAND on either side."""
    cases, accepted = policy.replay.get("acceptable", 0), policy.replay.get("accepted", 0)
    if cases < FEWEST:
        return None
    deferred, width = cases - accepted, settings.ALARM_GUARD_BAND
    return Band(
        low=max(0.0, clopper_pearson_lower(deferred, cases, 0.025) - width),
        high=min(1.0, clopper_pearson_upper(deferred, cases, 0.025) + width),
        expected=deferred / cases,
    )


def newest_guard_rail(site: Site) -> GuardRail | None:
    """What administrators have to know: gone once a person has put a version in force since."""
    rows = GuardRail.objects.filter(policy__site=site, policy__domain=site.domain)
    newest = rows.select_related("policy").order_by("-pk").first()
    if newest is None:
        return None
    since = Policy.objects.filter(
        site=site, domain=site.domain, published_by__isnull=False, status__in=WATCHED
    ).filter(published_at__gt=newest.created_at)
    return None if since.exists() else told(newest)
