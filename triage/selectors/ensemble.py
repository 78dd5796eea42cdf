"""The ensemble as people see it: who is in it, whether each answers, and how each has done here."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Max, Q
from django.utils.translation import gettext as _

from inference import ensemble
from inference.backends.registry import MemberSpec
from inference.models import MemberJob, Probe, StageTrace
from inference.pipeline.domains import Domain
from inference.pipeline.stages import Stage
from inference.uq.thresholds import clopper_pearson_lower, clopper_pearson_upper
from triage.choices import CaseStatus, Outcome
from triage.models import Site
from triage.selectors.leaving_out import LeavingOut, leaving_out
from triage.selectors.words import as_shipped, domain_at, titles_of

# Of each member, the newest runs that speed and tokens are read from; and the newest answers held
# to experts'.
RECENT, COMPARED = 200, 2000
CASES_A_PRICE = 1000


@dataclass(frozen=True)
class Health:
    """What a small real question has shown. `state`: good, alert, waiting or unknown."""

    state: str
    sentence: str
    when: datetime | None = None


@dataclass(frozen=True)
class Took:
    """Seconds a case: of half of the cases at most `median`, of nine in ten at most `p90`."""

    title: str
    median: float
    p90: float


class Spent(NamedTuple):
    """On one stage: seconds, tokens that were generated, tokens that went in."""

    seconds: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0


@dataclass(frozen=True)
class Pace:
    """Of the newest `cases`: seconds in all and by generation, tokens a second, and a case: those
    generated, and those that went in."""

    cases: int
    whole: Took
    stages: list[Took]
    tokens_a_second: float | None
    tokens: float
    prompt_tokens: float


@dataclass(frozen=True)
class Agreement:
    """Of `n` answers the share that is the expert's label, with its 95 % interval."""

    title: str
    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n

    @property
    def low(self) -> float:
        return 1 - clopper_pearson_upper(self.n - self.right, self.n, 0.025)

    @property
    def high(self) -> float:
        return 1 - clopper_pearson_lower(self.n - self.right, self.n, 0.025)


@dataclass(frozen=True)
class MemberView:
    """One member. What is not known yet is None.

    cost       of the tokens of 1000 cases, in the currency of the prices
    agreement  over all labels;  classes: by the expert's label
    """

    name: str
    model: str
    backend: str
    domains: tuple[str, ...]
    answered: int
    failed: int
    health: Health
    pace: Pace | None
    price: float | None
    price_in: float
    cost: float | None
    agreement: Agreement | None
    classes: list[Agreement]


@dataclass(frozen=True)
class EnsemblePage:
    domain: Domain
    members: list[MemberView]
    leaving_out: LeavingOut


def ensemble_page(*, site: Site) -> EnsemblePage:
    """The members that look at a site's cases; the queries are as many, however many there are."""
    specs = ensemble.members_of(site.domain)
    names = [spec.name for spec in specs]
    jobs, healths = _jobs(site, names), healths_of(site.domain, names)
    paces, said = _paces(site, names), _said(site, names)
    return EnsemblePage(
        domain=domain_at(site),
        members=[
            _member(site, spec, jobs, healths[spec.name], paces.get(spec.name), said[spec.name])
            for spec in specs
        ],
        leaving_out=leaving_out(site),
    )


def _member(
    site: Site,
    spec: MemberSpec,
    jobs: dict[str, dict[str, int]],
    health: Health,
    pace: Pace | None,
    said: list[tuple[str, str]],
) -> MemberView:
    counts = jobs.get(spec.name, {})
    return MemberView(
        name=spec.name,
        model=Path(spec.model).name,
        backend=spec.backend,
        domains=spec.domains,
        answered=counts.get("done", 0),
        failed=counts.get("failed", 0),
        health=health,
        pace=pace,
        price=spec.price,
        price_in=spec.price_in,
        cost=_cost(spec, pace),
        agreement=_agreement("", said),
        classes=by_class(domain_at(site), said),
    )


def _cost(spec: MemberSpec, pace: Pace | None) -> float | None:
    if spec.price is None or pace is None:
        return None
    one = pace.tokens * spec.price + pace.prompt_tokens * spec.price_in
    return CASES_A_PRICE * one / 1e6


def _jobs(site: Site, names: Sequence[str]) -> dict[str, dict[str, int]]:
    rows = (
        MemberJob.objects.filter(
            run__observation__case__site=site, run__trial=False, member__in=names
        )
        .values("member")
        .annotate(
            done=Count("pk", filter=Q(status=MemberJob.Status.DONE)),
            failed=Count("pk", filter=Q(status=MemberJob.Status.FAILED)),
        )
        .order_by()
    )
    return {row["member"]: row for row in rows}  # type: ignore[misc]


def healths_of(domain_id: str, names: Sequence[str]) -> dict[str, Health]:
    """What the newest question to each of these members has shown, about one domain."""
    ended = ~Q(status__in=Probe.UNFINISHED)
    rows = (
        Probe.objects.filter(domain=domain_id, member__in=names, trial=None)
        .values("member")
        .annotate(newest=Max("pk"), ended=Max("pk", filter=ended))
        .order_by()
    )
    newest = {row["member"]: (row["newest"], row["ended"]) for row in rows}
    found = Probe.objects.in_bulk([pk for pair in newest.values() for pk in pair if pk])
    healths = {}
    for name in names:
        last, known = (found.get(pk) for pk in newest.get(name, (0, 0)))
        healths[name] = _health(domain_id, last, known)
    return healths


def _health(domain_id: str, newest: Probe | None, ended: Probe | None) -> Health:
    if newest is None:
        return Health("unknown", _("It was not asked yet."))
    if newest != ended:
        return Health("waiting", _("It is being asked."), newest.asked_at)
    if newest.status == Probe.Status.FAILED:
        return Health("alert", _("It gave no answer: {0}").format(newest.error), newest.ended_at)
    if not newest.valid:
        words = _("Its answer could not be read: {0}").format(newest.error)
        return Health("alert", words, newest.ended_at)
    return Health("good", _in_words(domain_id, newest), newest.ended_at)


def _in_words(domain_id: str, probe: Probe) -> str:
    titles = titles_of(as_shipped(domain_id))
    said = titles.get(probe.label, probe.label)
    if probe.label == probe.expected:
        return _("It answered in {seconds:.1f} s: {said}, as drawn.").format(
            seconds=probe.seconds, said=said
        )
    if not probe.expected:
        return _("It answered in {seconds:.1f} s: {said}.").format(seconds=probe.seconds, said=said)
    return _("It answered in {seconds:.1f} s: {said}, where {drawn} was drawn.").format(
        seconds=probe.seconds, said=said, drawn=titles.get(probe.expected, probe.expected)
    )


def _paces(site: Site, names: Sequence[str]) -> dict[str, Pace]:
    """Each member on as many of the newest cases that it answered, whole ones."""
    newest = set(_newest_runs(site, names))
    rows = (
        StageTrace.objects.filter(run__in={run_id for _member, run_id in newest}, member__in=names)
        .filter(late=False)
        .order_by("pk")  # of several attempts the last one counts
        .values_list("member", "run_id", "stage", "seconds", "tokens", "prompt_tokens")
    )
    runs: dict[str, dict[object, dict[str, Spent]]] = defaultdict(dict)
    for member, run_id, stage, seconds, tokens, went_in in rows:
        if (member, run_id) in newest:
            spent = Spent(seconds, tokens, went_in)
            runs[member].setdefault(run_id, {})[stage] = spent
    return {member: pace_of(list(some.values())) for member, some in runs.items()}


def _newest_runs(site: Site, names: Sequence[str]) -> Iterable[tuple[str, UUID]]:
    """(member, run) of the newest RECENT that each has answered, in one query."""
    done = MemberJob.objects.filter(
        run__observation__case__site=site, run__trial=False, status=MemberJob.Status.DONE
    )
    each = [done.filter(member=name).order_by("-pk").values("pk")[:RECENT] for name in names]
    wanted = reduce(or_, (Q(pk__in=some) for some in each), Q(pk=None))
    return done.filter(wanted).values_list("member", "run_id")


def pace_of(runs: Sequence[dict[str, Spent]]) -> Pace:
    """How fast, of n >= 1 cases: stage -> what it took.

    The first two stages are one generation, which is booked on the second.
    """
    look = [run.get(Stage.ANALYSIS, Spent()).seconds for run in runs]
    reflect = [run.get(Stage.REFLECTION, Spent()).seconds for run in runs]
    seconds = [sum(spent.seconds for spent in run.values()) for run in runs]
    tokens = [sum(spent.tokens for spent in run.values()) for run in runs]
    went_in = [sum(spent.prompt_tokens for spent in run.values()) for run in runs]
    return Pace(
        cases=len(runs),
        whole=took(_("a case"), seconds),
        stages=[took(_("to look and answer"), look), took(_("to reflect"), reflect)],
        tokens_a_second=sum(tokens) / sum(seconds) if sum(seconds) > 0 else None,
        tokens=sum(tokens) / len(runs),
        prompt_tokens=sum(went_in) / len(runs),
    )


def took(title: str, seconds: Sequence[float]) -> Took:
    """Median and 90th percentile of n >= 1 durations."""
    tenths = quantiles(seconds, n=10, method="inclusive") if len(seconds) > 1 else list(seconds)
    return Took(title, median(seconds), tenths[-1])


def _said(site: Site, names: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """member -> (its label, the expert's) of the newest cases that experts were asked about."""
    asked = Q(run__decision__audited=True) | Q(run__decision__outcome=Outcome.DEFER)
    rows = (
        StageTrace.objects.filter(asked, stage=Stage.ANALYSIS, valid=True, member__in=names)
        .filter(late=False)
        .filter(run__observation__case__site=site)
        .filter(run__observation__case__status=CaseStatus.RESOLVED)
        .order_by("-pk")
        .values_list("member", "fields__label", "run__observation__case__label")
    )
    said: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for member, label, truth in rows[: COMPARED * len(names)]:
        said[member].append((label, truth))
    return said


def _agreement(title: str, said: Sequence[tuple[str, str]]) -> Agreement | None:
    right = sum(label == truth for label, truth in said)
    return Agreement(title, right, len(said)) if said else None


def by_class(domain: Domain, said: Iterable[tuple[str, str]]) -> list[Agreement]:
    """Agreement by the expert's label, in the domain's order."""
    of: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for label, truth in said:
        of[truth].append((label, truth))
    titles: dict[str, Any] = titles_of(domain)
    found = (_agreement(title, of[label]) for label, title in titles.items() if of.get(label))
    return [one for one in found if one]
