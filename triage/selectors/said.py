"""What the machine said of a case, as its page shows it: members, hypotheses, scores."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from inference.models import MemberJob, Run, StageTrace
from inference.pipeline.stages import Stage
from inference.services.answers import final_traces
from triage.models import Decision
from triage.reasons import UNFAMILIAR, kinds
from triage.selectors.explain import STAGES, novelty_level, stage_title
from triage.selectors.phrases import Part, marked

TEXT_FIELD = {
    Stage.COMPREHENSION: "description",
    Stage.ANALYSIS: "reasoning",
    Stage.REFLECTION: "reflection",
}


@dataclass(frozen=True)
class FrameSaid:
    """What a member said of one frame of a clip; `spoke` marks the one whose answer is its own."""

    position: int
    at_s: float
    label_title: str
    error: str
    spoke: bool


@dataclass(frozen=True)
class TraceView:
    stage: str
    title: str
    parts: tuple[Part, ...]
    label: str
    label_title: str
    valid: bool
    error: str
    seconds: float
    tokens: int
    flipped: bool
    frames: tuple[FrameSaid, ...]


@dataclass(frozen=True)
class MemberRow:
    name: str
    status: str
    stage: str
    error: str
    traces: tuple[TraceView | None, ...]
    label_title: str
    reflected_title: str


@dataclass(frozen=True)
class HypothesisView:
    label: str
    title: str
    share: float
    members: list[str]
    reasoning: str
    key: int


@dataclass(frozen=True)
class ScoreRow:
    method: str
    title: str
    value: float | None
    level: str
    sentence: str
    deciding: bool


@dataclass(frozen=True)
class Words:
    """What members' answers are told with: the titles of labels, the seconds of frames."""

    titles: dict[str, str]
    times: list[float]


def members(run: Run, words: Words, *, decided: bool) -> list[MemberRow]:
    """Until the decision only how far each member is: it may yet be drawn for a blind audit."""
    traces = final_traces(run)
    if not decided:
        traces = {key: _unread(trace) for key, trace in traces.items()}
    jobs = sorted(run.jobs.all(), key=lambda job: job.member)
    parts = _parts([job.member for job in jobs], traces) if decided else {}
    return [_member(job, traces, words, parts) for job in jobs]


def _text(trace: StageTrace) -> str:
    return str(trace.fields.get(TEXT_FIELD[Stage(trace.stage)], "")) or trace.raw_text


def _parts(
    members: list[str], traces: dict[tuple[str, str], StageTrace]
) -> dict[tuple[str, str], tuple[Part, ...]]:
    """What each member said at each stage, with what those who disagree do not say marked."""
    found = {}
    for stage in STAGES:
        spoken = [traces.get((member, stage)) for member in members]
        labels = [_label_of(member, stage, traces) for member in members]
        texts = [_text(trace) if trace and trace.valid else "" for trace in spoken]
        for member, parts in zip(members, marked(texts, labels), strict=True):
            found[member, str(stage)] = parts
    return found


def _label_of(member: str, stage: str, traces: dict[tuple[str, str], StageTrace]) -> str:
    """What the member decided for: with the reflection its last word, before that its first."""
    said = traces.get((member, Stage.REFLECTION if stage == Stage.REFLECTION else Stage.ANALYSIS))
    return str(said.fields.get("label", "")) if said and said.valid else ""


def _unread(trace: StageTrace) -> StageTrace:
    """The trace without what it says."""
    said = _("Answered. It is shown as soon as the case is decided.")
    return StageTrace(stage=trace.stage, valid=trace.valid, raw_text=said, error=trace.error)


def _member(
    job: MemberJob,
    traces: dict[tuple[str, str], StageTrace],
    words: Words,
    parts: dict[tuple[str, str], tuple[Part, ...]],
) -> MemberRow:
    analysis = traces.get((job.member, Stage.ANALYSIS))
    reflection = traces.get((job.member, Stage.REFLECTION))
    first = str(analysis.fields.get("label", "")) if analysis else ""
    views = tuple(
        _trace(traces.get((job.member, stage)), first, words, parts.get((job.member, stage), ()))
        for stage in STAGES
    )
    reflected = str(reflection.fields.get("label", "")) if reflection else ""
    return MemberRow(
        name=job.member,
        status=job.status,
        stage=job.stage,
        error=job.error,
        traces=views,
        label_title=words.titles.get(first, ""),
        reflected_title=words.titles.get(reflected, ""),
    )


def _trace(
    trace: StageTrace | None, first: str, words: Words, parts: tuple[Part, ...]
) -> TraceView | None:
    if trace is None:
        return None
    label = str(trace.fields.get("label", ""))
    return TraceView(
        stage=trace.stage,
        title=stage_title(trace.stage),
        parts=parts or (Part(_text(trace), False),),
        label=label,
        label_title=words.titles.get(label, ""),
        valid=trace.valid,
        error=trace.error,
        seconds=trace.seconds,
        tokens=trace.tokens,
        flipped=trace.stage == Stage.REFLECTION and bool(label) and label != first,
        frames=_frames_said(trace, words),
    )


def _frames_said(trace: StageTrace, words: Words) -> tuple[FrameSaid, ...]:
    """Empty where the frames were not asked about one by one."""
    said = trace.fields.get("frames", ())
    return tuple(
        FrameSaid(
            position=position,
            at_s=at_s,
            label_title=words.titles.get(str(one.get("label", "")), ""),
            error=str(one.get("error", "")),
            spoke=position == trace.fields.get("frame"),
        )
        for position, (one, at_s) in enumerate(zip(said, words.times, strict=False))
    )


def labels_by_member(run: Run) -> dict[str, str]:
    return {
        member: str(trace.fields["label"])
        for (member, stage), trace in sorted(final_traces(run).items())
        if stage == Stage.ANALYSIS and trace.valid
    }


def hypotheses(run: Run, titles: dict[str, str], detailed: bool) -> list[HypothesisView]:
    """The ensemble's own choice first: with a tie it is not the first of the alphabet."""
    rows = sorted(
        run.hypotheses.all(), key=lambda row: (row.label != run.prediction, -row.share, row.label)
    )
    return [
        HypothesisView(
            label=row.label,
            title=titles.get(row.label, row.label),
            share=row.share,
            members=row.members if detailed else [],
            reasoning=row.reasoning if detailed else "",
            key=key,
        )
        for key, row in enumerate(rows, start=1)
    ]


def scores(run: Run, decision: Decision) -> list[ScoreRow]:
    values = {row.method: row.value for row in run.scores.all()}
    levels: dict[str, Any] = decision.explanation.get("levels", {})
    titles = {
        "s1": (_("S1, seeing"), _("How unusual the pattern of agreement between descriptions is.")),
        "s2": (_("S2, reasoning"), _("How much closer the reasonings come if one label is given.")),
        "s3": (_("S3, reflection"), _("How likely members are to change their label.")),
        "vote_entropy": (_("Vote entropy"), _("How far the votes are spread over labels.")),
        "cold_start": (
            _("Votes and reasonings"),
            _("Vote entropy plus a tenth of the reasonings' von Neumann entropy; needs no labels."),
        ),
        "alarm": (_("Combined (ALARM)"), _("The three stages, standardised and weighted.")),
    }
    return [
        ScoreRow(
            method=method,
            title=title,
            value=values.get(method),
            level=levels.get(method, "unknown"),
            sentence=words,
            deciding=method == decision.method,
        )
        for method, (title, words) in titles.items()
    ] + _novelty(decision)


def _novelty(decision: Decision) -> list[ScoreRow]:
    """The novelty that was decided by; nothing where the domain had no reference."""
    if "novelty" not in decision.explanation:
        return []
    value = decision.explanation["novelty"]
    return [
        ScoreRow(
            method="novelty",
            title=_("Novelty"),
            value=value,
            level=novelty_level(value),
            sentence=_(
                "The share of familiar pictures that are nearer than this one to what the "
                "ensemble was trained on, or to cases that were checked here."
            ),
            deciding=bool(kinds(decision.reasons) & UNFAMILIAR),
        )
    ]
