"""Everything that one case's page shows."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, Q, prefetch_related_objects
from django.utils.translation import gettext as _

from inference.models import Frame, MemberJob, Observation, Run, StageTrace
from inference.pipeline.domains import Domain
from inference.pipeline.stages import Stage
from inference.services.answers import final_traces
from triage.choices import (
    CLAIMABLE,
    WAITING,
    CaseStatus,
    GlassReason,
    Outcome,
    ReviewAction,
    Role,
    SiteKind,
)
from triage.models import AuditEvent, Case, Decision, Draft, Erasure, Lease, Policy, Review
from triage.permissions import allows
from triage.reasons import UNFAMILIAR, in_words, kinds
from triage.selectors.explain import (
    STAGES,
    StageLevel,
    novelty_level,
    overall_level,
    plain_certainty,
    sentence,
    stage_levels,
    stage_title,
)
from triage.selectors.gold import WAS_GOLD
from triage.selectors.household import Question, question_of
from triage.selectors.looks import SEEN
from triage.selectors.neighbours import neighbours_of
from triage.selectors.phrases import Part, marked
from triage.selectors.readings import DECISIVE, may_read, reviewers, standing
from triage.selectors.retakes import Retake, retake_of
from triage.selectors.retention import erasure_of, why_erased
from triage.selectors.rows import is_blind, latest_decision, why_not_undo
from triage.selectors.teams import cases_for, is_seen
from triage.selectors.words import domain_of, titles_of

KEYS = 9
HOW_IT_CAME = ("opened", "decided")
# What only readers do: in a dispute their names are not told.
OF_READERS = {"read", "read otherwise", "took back", "passed on", "skipped"}
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
class HistoryLine:
    when: datetime
    who: str
    what: str
    detail: str


@dataclass(frozen=True)
class Reading:
    """An expert's answer; `who` is empty as long as the case is disputed."""

    who: str
    title: str
    comment: str
    blind: bool
    when: datetime


@dataclass(frozen=True)
class Earlier:
    """An earlier case of the same subject or camera; `frames` is empty for a photo."""

    case: Case
    frames: list[Frame]

    @property
    def middle(self) -> Frame | None:
        """The frame that stands for its clip in lists."""
        return self.frames[len(self.frames) // 2] if self.frames else None


@dataclass(frozen=True)
class CasePage:
    """One case as one person may see it; while `blind`, without the machine's answer.

    readings    what experts said, as far as this person may know it: before the last one has
                answered only their own, in a dispute both without names
    handovers   what those wrote who passed it on: as all that people wrote, not for whoever looks
                through broken glass
    disputed    two readings differ, and a third person decides
    read        this person has read it, and a colleague's reading is due
    colleagues  (id, name) of those whom it can be passed on to
    """

    case: Case
    domain: Domain
    run: Run | None
    drawn: bool
    blind: bool
    finished: bool
    members: list[MemberRow]
    hypotheses: list[HypothesisView]
    labels: list[tuple[str, str, int | None]]
    stages: tuple[StageLevel, ...]
    level: str
    sentence: str
    plain: str
    scores: list[ScoreRow]
    decision: Decision | None
    policy: Policy | None
    reasons: list[str]
    error_probability: float | None
    history: list[HistoryLine]
    lease: Lease | None
    held_by: str
    can_claim: bool
    can_review: bool
    can_undo: bool
    width: int
    height: int
    clip: bool
    duration: float
    frames: list[Frame]
    earlier: list[Case]
    alike: list[Case]
    draft: Draft | None
    readings: list[Reading]
    handovers: list[Reading]
    disputed: bool
    read: bool
    retake: Retake | None
    colleagues: list[tuple[int, str]]
    question: Question | None
    erasure: Erasure | None
    why_erased: str

    @property
    def earlier_of(self) -> str:
        """Whose `earlier` cases they are."""
        camera = self.case.camera
        return str(self.case.subject or (camera.name if camera else ""))

    @property
    def comparable(self) -> list["Earlier"]:
        """The earlier cases of which something can be laid beside this one, the newest first."""
        return [
            Earlier(case, list(case.observation.media.frames.all()))
            for case in self.earlier
            if not case.erased_at
        ]


def case_page(
    *, case: Case, user: AbstractBaseUser, roles: frozenset[str], lease: Lease | None = None
) -> CasePage:
    """The page of a case for a person who may see it.

    Caregivers get the plain summary: labels in their words, no member's words, no scores.

    Args:
        lease: by which this person has just begun to hold it, if so; it is looked up otherwise.
    """
    if not is_seen(case, case.site, user):
        roles -= {Role.CLINICIAN}  # who looks through broken glass does so as somebody else
    decisions = Prefetch("decisions", Decision.objects.select_related("policy", "run"))
    seen = Prefetch("observation", Observation.objects.select_related("media"))
    prefetch_related_objects([case], decisions, "reviews__reviewer", seen)
    domain = domain_of(case)
    detailed = allows(roles, "see_traces")
    titles = titles_of(domain, plain=not detailed)
    decision = latest_decision(case)
    run = _run_of(case, decision)
    blind = is_blind(case, user)
    lease = lease or _open_lease(case)
    mine = lease if lease and lease.holder_id == user.pk else None
    hypotheses = _hypotheses(run, titles, detailed) if run and not blind else []
    open_run = run if detailed and not (blind and decision) else None
    shown = decision if detailed and not blind else None
    labels_by_member = _labels_by_member(run) if run else {}
    answers = standing(case.reviews.all())
    resolved = case.status == CaseStatus.RESOLVED
    at_home = allows(roles, "answer_at_home") and not detailed
    at_home = at_home and case.site.kind == SiteKind.HOUSEHOLD
    disputed = len({one.label for one in answers}) > 1
    read = case.status in WAITING and not may_read(case, user)
    media = case.observation.media
    frames = list(media.frames.all()) if media.clip else []
    erasure = erasure_of(case)
    reads = allows(roles, "see_cases")
    retake = retake_of(case)
    words = _Words(titles, [frame.at_s for frame in frames])
    return CasePage(
        case=case,
        domain=domain,
        run=run,
        drawn=case.observation.drawn,
        blind=blind and decision is not None,
        finished=bool(run and run.finished),
        members=_members(open_run, words, decided=decision is not None) if open_run else [],
        hypotheses=hypotheses,
        labels=_labels(titles, hypotheses),
        stages=stage_levels(shown),
        level=overall_level(shown),
        sentence=sentence(shown, labels_by_member, titles) if shown else "",
        plain="" if blind else plain_certainty(overall_level(decision)),
        scores=_scores(open_run, decision) if open_run and decision else [],
        decision=shown,
        policy=shown.policy if shown else None,
        reasons=[in_words(code) for code in shown.reasons] if shown else [],
        error_probability=shown.explanation.get("error_probability") if shown else None,
        history=_history(case, blind, titles, unnamed=user if disputed and not resolved else None),
        lease=mine,
        held_by=lease.holder.get_username() if lease and not mine else "",
        can_claim=case.status in CLAIMABLE
        and allows(roles, "review")
        and not (read or case.erased_at),
        can_review=mine is not None,
        can_undo=_can_undo(case, user),
        width=media.width,
        height=media.height,
        clip=bool(media.clip),
        duration=media.duration_s,
        frames=frames,
        earlier=_earlier(case, user),
        alike=[one for one in neighbours_of(case) if is_seen(one, case.site, user)],
        draft=case.drafts.filter(writer_id=user.pk).first() if mine else None,
        readings=[
            one if reads else replace(one, comment="")
            for one in _readings(answers, titles, user, resolved=resolved, disputed=disputed)
        ],
        handovers=_handovers(case) if reads else [],
        disputed=disputed and not resolved,
        read=read,
        retake=retake if reads or retake is None else replace(retake, comment=""),
        colleagues=_colleagues(case, user, answers) if mine else [],
        question=question_of(case, user) if at_home and not case.erased_at else None,
        erasure=erasure,
        why_erased=why_erased(erasure) if erasure else "",
    )


def _run_of(case: Case, decision: Decision | None) -> Run | None:
    """The run that was decided by, or until then the one that is on its way."""
    runs = (case.repeats or case).observation.runs
    run = decision.run if decision else runs.filter(trial=False).last()
    if run:
        prefetch_related_objects([run], "traces", "jobs", "hypotheses", "scores")
    return run


def _readings(
    answers: list[Review],
    titles: dict[str, str],
    user: AbstractBaseUser,
    *,
    resolved: bool,
    disputed: bool,
) -> list[Reading]:
    shown = [one for one in answers if resolved or disputed or one.reviewer_id == user.pk]
    return [
        Reading(
            who=one.reviewer.get_username() if resolved or not disputed else "",
            title=titles.get(one.label, one.label),
            comment=one.comment,
            blind=one.blind,
            when=one.created_at,
        )
        for one in shown
    ]


def _handovers(case: Case) -> list[Reading]:
    return [
        Reading(one.reviewer.get_username(), "", one.comment, one.blind, one.created_at)
        for one in case.reviews.all()
        if one.action == ReviewAction.PASS and one.comment
    ]


def _colleagues(case: Case, user: AbstractBaseUser, answers: list[Review]) -> list[tuple[int, str]]:
    known = {user.pk, *(one.reviewer_id for one in answers)}
    people = reviewers(case.site).order_by("user__username").values_list("user", "user__username")
    return [(pk, name) for pk, name in people if pk not in known]


def _open_lease(case: Case) -> Lease | None:
    return case.leases.running().first()


@dataclass(frozen=True)
class _Words:
    """What members' answers are told with: the titles of labels, the seconds of frames."""

    titles: dict[str, str]
    times: list[float]


def _members(run: Run, words: _Words, *, decided: bool) -> list[MemberRow]:
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
    words: _Words,
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
    trace: StageTrace | None, first: str, words: _Words, parts: tuple[Part, ...]
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


def _frames_said(trace: StageTrace, words: _Words) -> tuple[FrameSaid, ...]:
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


def _labels_by_member(run: Run) -> dict[str, str]:
    return {
        member: str(trace.fields["label"])
        for (member, stage), trace in sorted(final_traces(run).items())
        if stage == Stage.ANALYSIS and trace.valid
    }


def _hypotheses(run: Run, titles: dict[str, str], detailed: bool) -> list[HypothesisView]:
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


def _labels(
    titles: dict[str, str], hypotheses: list[HypothesisView]
) -> list[tuple[str, str, int | None]]:
    """Every label with its key: the hypotheses' first, the others in the domain's order."""
    keys = {view.label: view.key for view in hypotheses}
    for label in titles:
        keys.setdefault(label, len(keys) + 1)
    return [
        (label, title, keys[label] if keys[label] <= KEYS else None)
        for label, title in titles.items()
    ]


def _scores(run: Run, decision: Decision) -> list[ScoreRow]:
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


def _history(
    case: Case, blind: bool, titles: dict[str, str], unnamed: AbstractBaseUser | None
) -> list[HistoryLine]:
    """What happened, oldest first; with `unnamed`, who read it is told to nobody but themselves."""
    # Looks are written down, but a history of them would bury the rest.
    events = list(case.events.select_related("actor").exclude(verb__in=SEEN))
    if case.repeats:
        events = _as_if_new(case, case.repeats, events)
    return [
        HistoryLine(
            when=event.created_at,
            who=_who(event, unnamed),
            what=_(event.verb),
            detail=_detail(event, titles, blind),
        )
        for event in events
        if not (blind and event.verb == "decided")
    ]


def _as_if_new(case: Case, repeats: Case, events: list[AuditEvent]) -> list[AuditEvent]:
    """The history of a gold case as that of any other: how it came in is told of what it repeats,
    with its own dates."""
    came = repeats.events.select_related("actor").filter(verb__in=HOW_IT_CAME)
    begun = {event.verb: event for event in came.order_by("-pk")}
    for event in begun.values():
        event.created_at = case.created_at
    first = [begun[verb] for verb in HOW_IT_CAME if verb in begun]
    return first + [one for one in events if one.verb not in (*HOW_IT_CAME, WAS_GOLD)]


def _who(event: AuditEvent, unnamed: AbstractBaseUser | None) -> str:
    if event.actor is None:
        return _("the system")
    if unnamed and event.verb in OF_READERS and event.actor_id != unnamed.pk:
        return _("a reader")
    return event.actor.get_username()


def _detail(event: AuditEvent, titles: dict[str, str], blind: bool) -> str:
    details = event.details
    if event.verb == "broke the glass":
        return str(GlassReason(details["reason"]).label)
    if blind:
        return ""
    if event.verb == "decided":
        version = details.get("policy")
        by = _("policy version {0}").format(version) if version else _("no policy in force")
        return f"{Outcome(details['outcome']).label}, {by}"
    label = str(details.get("label", ""))
    return titles.get(label, label) or _source(str(details.get("source", "")))


def _source(source: str) -> str:
    return {
        "page": _("by hand"),
        "api": _("by a device or program"),
        "sample": _("as a drawn sample"),
    }.get(source, "")


def _can_undo(case: Case, user: AbstractBaseUser) -> bool:
    decisive = [review for review in case.reviews.all() if review.action in DECISIVE]
    last = decisive[-1] if decisive else None
    over = case.status in (*WAITING, CaseStatus.RESOLVED)
    if not over or last is None or last.reviewer_id != user.pk:
        return False
    return not why_not_undo(case, last)


def _earlier(case: Case, user: AbstractBaseUser) -> list[Case]:
    """Of the same subject; where none is named, of the same camera."""
    if case.subject_id is None and case.camera_id is None:
        return []
    same = Q(subject=case.subject_id) if case.subject_id else Q(camera=case.camera_id)
    others = cases_for(case.site, user).filter(same).select_related("observation__media")
    others = others.prefetch_related("observation__media__frames")
    return list(others.filter(created_at__lt=case.created_at).order_by("-created_at")[:6])
