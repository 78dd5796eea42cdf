"""What an auditor may know of one case: how it was judged, by hashes and labels, not of whom."""

from dataclasses import dataclass
from datetime import datetime

from inference.models import Run, StageTrace
from inference.pipeline.domains import Domain
from inference.pipeline.stages import Stage
from inference.services.answers import final_traces, late_traces
from triage.choices import ReviewAction
from triage.models import AuditEvent, Case, Decision
from triage.reasons import in_words
from triage.selectors.explain import STAGES, stage_title
from triage.selectors.rows import latest_decision
from triage.selectors.said import TEXT_FIELD
from triage.selectors.words import domain_of, titles_of


@dataclass(frozen=True)
class Said:
    """What one member said at one stage; `prompt` is the hash of what it was asked.

    What came `late` was neither counted nor decided by.
    """

    member: str
    stage: str
    label: str
    text: str
    prompt: str
    valid: bool
    late: bool


@dataclass(frozen=True)
class Answer:
    """What a person did with the case, without their comment, which may name somebody."""

    who: str
    what: str
    label: str
    blind: bool
    when: datetime


@dataclass(frozen=True)
class CaseRecord:
    """No media, no subject, no camera, no comments."""

    case: Case
    domain: Domain
    label: str
    sha256: str
    size: tuple[int, int]
    duration: float
    ensemble: str
    decision: Decision | None
    reasons: list[str]
    said: list[Said]
    scores: list[tuple[str, float | None]]
    answers: list[Answer]
    events: list[AuditEvent]


def case_record(case: Case) -> CaseRecord:
    domain = domain_of(case)
    titles = titles_of(domain)
    run = case.observation.runs.filter(trial=False).prefetch_related("traces", "scores").last()
    decision, media = latest_decision(case), case.observation.media
    return CaseRecord(
        case=case,
        domain=domain,
        label=titles.get(case.label, case.label),
        sha256=media.sha256,
        size=(media.width, media.height),
        duration=media.duration_s,
        ensemble=run.ensemble if run else "",
        decision=decision,
        reasons=[in_words(code) for code in decision.reasons] if decision else [],
        said=_said(run, titles) if run else [],
        scores=[(row.method, row.value) for row in run.scores.all()] if run else [],
        answers=_answers(case, titles),
        events=list(case.events.select_related("actor").order_by("position")),
    )


def _said(run: Run, titles: dict[str, str]) -> list[Said]:
    traces = final_traces(run)
    members = sorted({member for member, _stage in traces})
    found = [traces.get((member, stage)) for member in members for stage in STAGES]
    return [_of(trace, titles) for trace in (*found, *late_traces(run)) if trace]


def _of(trace: StageTrace, titles: dict[str, str]) -> Said:
    label = str(trace.fields.get("label", ""))
    return Said(
        member=trace.member,
        stage=stage_title(trace.stage),
        label=titles.get(label, label),
        text=str(trace.fields.get(TEXT_FIELD[Stage(trace.stage)], "")),
        prompt=trace.prompt_hash,
        valid=trace.valid,
        late=trace.late,
    )


def _answers(case: Case, titles: dict[str, str]) -> list[Answer]:
    return [
        Answer(
            who=one.reviewer.get_username(),
            what=str(ReviewAction(one.action).label),
            label=titles.get(one.label, one.label),
            blind=one.blind,
            when=one.created_at,
        )
        for one in case.reviews.select_related("reviewer")
    ]
