"""Members that were added in the console, and what their trials showed."""

from dataclasses import dataclass
from pathlib import Path

from django.db.models import Max
from django.utils.translation import gettext as _

from inference.models import Member, Probe
from inference.pipeline.stages import Stage
from inference.services.probes import Known
from triage.choices import Purpose
from triage.models import Decision, Site
from triage.selectors.consents import is_withdrawn
from triage.selectors.ensemble import Agreement, Took, took
from triage.selectors.evidence import LABELLED
from triage.selectors.words import as_shipped, titles_of

# Past cases that a trial asks about, and answers that could be read before a candidate counts.
CASES = 20
FEWEST_READ = 5
ERRORS = 5


@dataclass(frozen=True)
class Answer:
    """One answer of a trial. `case` is a number to say to each other, "" for a drawing."""

    about: str
    expected: str
    said: str
    label: str
    state: str
    error: str
    reasoning: str


@dataclass(frozen=True)
class Trial:
    """What a candidate's newest trial shows, as far as this site may see: drawings and own cases.

    asked, open   questions, and those without an answer yet
    read, failed  answers that could be read, and questions without one
    experts       its labels held to the experts' and to what was drawn
    ensemble      held to what the ensemble had said of past cases; None without any
    """

    asked: int
    open: int
    read: int
    failed: int
    experts: Agreement | None
    ensemble: Agreement | None
    seconds: Took | None
    errors: list[str]
    answers: list[Answer]


@dataclass(frozen=True)
class MemberRow:
    """A member that was added in the console; `why_not`: why it may not be taken in yet."""

    member: Member
    model: str
    trial: Trial | None
    why_not: str


def added_members(site: Site) -> list[MemberRow]:
    """Candidates and members of a site's domain that were added in the console, newest first."""
    rows = Member.objects.exclude(status=Member.Status.DROPPED).order_by("-pk")
    rows = rows.select_related("added_by", "taken_in_by", "ended_by")
    here = [row for row in rows if site.domain in row.domains]
    trials = _trials(here)
    return [
        MemberRow(
            member=row,
            model=Path(row.model).name,
            trial=_trial(site, trials.get(row.name, [])),
            why_not=_why_not(trials.get(row.name, [])),
        )
        for row in here
    ]


def why_not_take_in(member: Member) -> str:
    """Why its newest trial does not show that it can answer; "" where it does."""
    return _why_not(_trials([member]).get(member.name, []))


def known_cases(site: Site) -> list[Known]:
    """The newest cases of a site that experts were asked about, to try a candidate on.

    None where its people do not let their answers teach the machine.
    """
    if is_withdrawn(site, Purpose.LEARN):
        return []
    rows = Decision.objects.filter(LABELLED, case__site=site, case__domain=site.domain)
    rows = rows.select_related("case__observation", "run").order_by("-pk")[:CASES]
    return [Known(row.case.observation, row.case.label, row.run.prediction) for row in rows]


def _trials(members: list[Member]) -> dict[str, list[Probe]]:
    """name -> the questions of its newest trial; two queries, however many there are."""
    names = [member.name for member in members]
    tried = Probe.objects.filter(member__in=names).exclude(trial=None)
    newest = tried.values("member").annotate(last=Max("pk")).values("last").order_by()
    ids = Probe.objects.filter(pk__in=newest).values("trial")
    found: dict[str, list[Probe]] = {}
    rows = tried.filter(trial__in=ids).select_related("observation__case").order_by("pk")
    for probe in rows:
        found.setdefault(probe.member, []).append(probe)
    return found


def _why_not(probes: list[Probe]) -> str:
    if not probes:
        return _("It was not tried yet.")
    if any(probe.status in Probe.UNFINISHED for probe in probes):
        return _("Its trial is going on.")
    read = sum(probe.valid for probe in probes)
    if read < min(FEWEST_READ, len(probes)) or 2 * read < len(probes):
        return _("Of its {n} answers only {read} could be read.").format(n=len(probes), read=read)
    return ""


def _trial(site: Site, probes: list[Probe]) -> Trial | None:
    own = [one for one in probes if not one.observation or one.observation.case.site_id == site.pk]
    if not own:
        return None
    read = [one for one in own if one.valid]
    held = [one for one in read if one.expected]
    beside = [one for one in read if one.said]
    errors = dict.fromkeys(one.error for one in own if one.error)
    return Trial(
        asked=len(own),
        open=sum(one.status in Probe.UNFINISHED for one in own),
        read=len(read),
        failed=sum(one.status == Probe.Status.FAILED for one in own),
        experts=_agreement([one.label == one.expected for one in held]),
        ensemble=_agreement([one.label == one.said for one in beside]),
        seconds=took("", [one.seconds for one in read]) if read else None,
        errors=list(errors)[:ERRORS],
        answers=[_answer(one) for one in own],
    )


def _agreement(right: list[bool]) -> Agreement | None:
    return Agreement("", sum(right), len(right)) if right else None


def _answer(probe: Probe) -> Answer:
    titles = titles_of(as_shipped(probe.domain))
    about = probe.sample.replace("-", " ")
    if probe.observation:
        about = _("case {0}").format(probe.observation.case.number)
    state = "read" if probe.valid else probe.status
    analysis = probe.fields.get(Stage.ANALYSIS, {})
    return Answer(
        about=about,
        expected=titles.get(probe.expected, probe.expected),
        said=titles.get(probe.said, probe.said),
        label=titles.get(probe.label, probe.label),
        state=state,
        error=probe.error,
        reasoning=analysis.get("reasoning", "") if isinstance(analysis, dict) else str(analysis),
    )
