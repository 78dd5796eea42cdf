"""What another threshold would do to errors and to people, before it is even proposed."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from inference.uq.promotion import LEARNED
from inference.uq.queueing import Desk, Load, simulate
from inference.uq.sweep import Outlook, Sweep
from inference.uq.types import Bools, Floats
from triage.choices import PolicyMode, ReviewAction
from triage.models import Calibration, Policy, Review, Site
from triage.selectors.past import LABEL, MEDIUM, SOURCE, Past, past_cases
from triage.selectors.policy_state import active_policy, calibration_in_force
from triage.selectors.rules import in_force_of
from triage.selectors.words import domain_at, titles_of

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
FEWEST = 20
FEW_LABELS = 30
NEWEST_REVIEWS = 500
USUAL_MINUTES = 1.0
HOURS = 8.0
OPENS = 8.0
HELD = {
    "learning": _lazy("{n} while a camera or the site was learning"),
    "unfamiliar": _lazy("{n} with an unfamiliar picture"),
    "incomplete": _lazy("{n} without all answers that acceptance needs"),
}
SCORES = {
    "cold_start": _lazy("votes and reasonings (needs no labels)"),
    "alarm": _lazy("the three stages combined (ALARM)"),
    "vote_entropy": _lazy("votes alone"),
    LEARNED: _lazy("the learned aggregator, with a label of its own"),
}


@dataclass(frozen=True)
class Workload:
    """What deferrals and audits ask of people, a day."""

    cases: float
    deferred: float
    audits: float
    readings: float
    hours: float
    load: Load


@dataclass(frozen=True)
class GroupRow:
    name: str
    outlook: Outlook
    few: bool


@dataclass(frozen=True)
class Group:
    """Past cases told apart by one thing; `kind` is its id, `title` the word for it."""

    kind: str
    title: str
    rows: list[GroupRow]


@dataclass(frozen=True)
class Scenario:
    """One threshold, with what it does to errors and to people."""

    outlook: Outlook
    workload: Workload

    @property
    def missed_a_week(self) -> float:
        """Abnormal cases called normal and accepted."""
        kept = self.workload.cases - self.workload.deferred
        return 7 * kept * self.outlook.missed.estimate


@dataclass(frozen=True)
class Pace:
    """What reviews have taken: minutes (k,), and whether anybody has measured it here."""

    minutes: Floats
    measured: bool


@dataclass(frozen=True)
class WhatIf:
    """The console: `then` at the dial, `now` in force; None where there is too little to say."""

    method: str
    methods: list[tuple[str, str]]
    as_of: datetime
    n: int
    fewest: int
    desk: Desk
    minutes: float
    measured: bool
    then: Scenario | None
    now: Scenario | None
    at: float
    least: float
    held: dict[str, int]
    groups: list[Group]
    curve: list[list[float | None]]
    abnormal: bool

    @property
    def why_least(self) -> str:
        """Why the dial does not go further down; "" where it goes down to nothing."""
        if not self.held:
            return ""
        told = [
            str(words).format(n=self.held[why]) for why, words in HELD.items() if why in self.held
        ]
        said = _("{least:.0%} go to a person wherever the threshold is: {reasons}.")
        return said.format(least=self.least, reasons=", ".join(told))

    @property
    def dial_from(self) -> float:
        """Where the dial begins: `least`, down to its next step of half a per cent."""
        return math.floor(200 * self.least + 1e-9) / 200

    @property
    def promise(self) -> str:
        """What the dial says in a sentence."""
        if self.then is None:
            return ""
        if not self.then.outlook.accepted:
            return _("Every case goes to a person.")
        return _("{deferred:.0%} of the cases go to a person; {kept:.0%} are accepted.").format(
            deferred=self.then.outlook.deferral, kept=1 - self.then.outlook.deferral
        )


def what_if(
    *,
    site: Site,
    method: str = "",
    at: float | None = None,
    people: int | None = None,
    hours: float | None = None,
    as_of: datetime | None = None,
) -> WhatIf:
    """The console for a site's own domain.

    Args:
        method: one of the scores that can be had here; by default the one in force.
        at: the share to defer, 0 to 1; by default what is in force.
        people, hours: who reviews at once, and how long a day; by default as it was lately.
        as_of: only what was decided until then, so that moves on one page are comparable.
    """
    as_of = max(BEGINNING, min(as_of or timezone.now(), timezone.now()))
    active = active_policy(site, site.domain)
    calibration = calibration_in_force(site, site.domain)
    methods = _methods(calibration)
    in_force = in_force_of(active) if active else None
    if method not in dict(methods):
        method = in_force.method if in_force and in_force.method in dict(methods) else "cold_start"
    past = None
    if calibration:
        past = past_cases(site.pk, calibration.pk, calibration.created_at, method, as_of)
    pace = _pace(site, as_of)
    desk = _desk(site, people, hours or HOURS, as_of)
    enough = past is not None and past.sweep.cases >= FEWEST and len(past.sweep.ranked) > 0
    then = now = None
    groups: list[Group] = []
    if past and enough:
        audit = active.audit_share if active else 0.0
        if in_force and in_force.method == method:
            accepts = None if _defers_all(active) else in_force.threshold
            now = _scenario(past, accepts, pace, desk, site, audit)
        threshold = past.sweep.threshold_for(at) if at is not None else None
        if at is None:
            threshold = now.outlook.threshold if now else past.sweep.threshold_for(0.5)
        then = _scenario(past, threshold, pace, desk, site, audit)
        groups = _groups(site, past, threshold)
    return WhatIf(
        method=method,
        methods=methods,
        as_of=as_of,
        n=past.sweep.cases if past else 0,
        fewest=FEWEST,
        desk=desk,
        minutes=float(pace.minutes.mean()),
        measured=pace.measured,
        then=then,
        now=now,
        at=then.outlook.deferral if then else 1.0,
        least=1 - len(past.sweep.ranked) / past.sweep.cases if past and enough else 0.0,
        held=past.held if past and enough else {},
        groups=groups,
        curve=_curve(past) if past and enough else [],
        abnormal=any(label.normal for label in domain_at(site).labels),
    )


def _defers_all(policy: Policy | None) -> bool:
    return policy is None or policy.mode == PolicyMode.DEFER_ALL


def _methods(calibration: Calibration | None) -> list[tuple[str, str]]:
    learned = calibration is not None and (
        calibration.window.get("learned", {}).get("chosen") == LEARNED
    )
    return [(key, str(title)) for key, title in SCORES.items() if key != LEARNED or learned]


def _groups(site: Site, past: Past, threshold: float | None) -> list[Group]:
    """In the reader's language; a camera goes by its own name."""
    names = {
        LABEL: titles_of(domain_at(site)),
        SOURCE: {"": _("sent by people")},
        MEDIUM: {"photo": _("photos"), "clip": _("clips")},
    }
    titles = {LABEL: _("label"), SOURCE: _("source"), MEDIUM: _("photo or clip")}
    return [
        Group(
            kind,
            titles[kind],
            _rows([(names[kind].get(one, one), sweep) for one, sweep in sweeps], threshold),
        )
        for kind, sweeps in past.groups.items()
    ]


def _rows(sweeps: list[tuple[str, Sweep]], threshold: float | None) -> list[GroupRow]:
    rows = [(name, sweep.at(threshold)) for name, sweep in sweeps]
    return [
        GroupRow(name, outlook, few=outlook.accepted > 0 and outlook.error.audited < FEW_LABELS)
        for name, outlook in rows
    ]


def _curve(past: Past) -> list[list[float | None]]:
    """Columns for the chart, in percent: deferred, wrong, and the ends of its interval."""
    known = [one for one in past.sweep.curve() if one.error.audited]
    known.sort(key=lambda one: one.deferral)
    return [
        [100 * one.deferral for one in known],
        [100 * one.error.estimate for one in known],
        [100 * one.error.low for one in known],
        [100 * one.error.high for one in known],
    ]


def _scenario(
    past: Past, threshold: float | None, pace: Pace, desk: Desk, site: Site, audit_share: float
) -> Scenario:
    outlook = past.sweep.at(threshold)
    accepts: Bools = past.scores <= (-np.inf if threshold is None else threshold)
    accepted = accepts[past.like]
    # The same draw for every threshold, so that two of them differ by the threshold alone.
    audited = accepted & (np.random.default_rng(1).random(len(accepted)) < audit_share)
    reviewed = past.arrivals[~accepted | audited]
    twice = np.random.default_rng(2).random(len(reviewed)) < site.double_share
    arrivals = np.concatenate([reviewed, reviewed[twice]])
    a_day = len(past.arrivals) / past.days
    deferred = a_day * outlook.deferral
    audits = (a_day - deferred) * audit_share
    readings = (deferred + audits) * (1 + site.double_share)
    return Scenario(
        outlook,
        Workload(
            cases=a_day,
            deferred=deferred,
            audits=audits,
            readings=readings,
            hours=readings * float(pace.minutes.mean()) / 60,
            load=simulate(arrivals, pace.minutes, desk),
        ),
    )


def measured_minutes(site: Site, as_of: datetime | None = None) -> Floats:
    """What the newest answers took; empty where nobody has answered yet."""
    answers = _answers(site)
    seconds = answers.filter(seconds__gt=0, created_at__lte=as_of or timezone.now())
    times = seconds.order_by("-pk").values_list("seconds", flat=True)[:NEWEST_REVIEWS]
    return np.array(list(times), dtype=np.float64) / 60


def _answers(site: Site) -> QuerySet[Review]:
    return Review.objects.filter(case__site=site, case__repeats=None, action=ReviewAction.ANSWER)


def _pace(site: Site, as_of: datetime) -> Pace:
    """The newest answers' times; a minute each where nobody has answered yet."""
    minutes = measured_minutes(site, as_of)
    if not len(minutes):
        return Pace(np.array([USUAL_MINUTES]), measured=False)
    return Pace(minutes, measured=True)


def _desk(site: Site, people: int | None, hours: float, as_of: datetime) -> Desk:
    return Desk(people or _people(site, as_of), hours, max(0.0, min(OPENS, 24 - hours)))


def _people(site: Site, as_of: datetime) -> int:
    """How many have answered on the newest day, in the site's own time, on which anybody did; at
    least one."""
    answers = _answers(site)
    answers = answers.filter(created_at__lte=as_of)
    newest = answers.order_by("-pk").values_list("created_at", flat=True).first()
    if newest is None:
        return 1
    here = newest.astimezone(ZoneInfo(site.time_zone))
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    that_day = answers.filter(created_at__gte=midnight).order_by()
    return max(1, that_day.values("reviewer").distinct().count())
