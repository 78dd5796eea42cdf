"""Everything that one case's page shows."""

from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, Q, prefetch_related_objects

from inference.models import Frame, Observation, Run
from inference.pipeline.domains import Domain
from triage.choices import (
    CLAIMABLE,
    WAITING,
    CaseStatus,
    ReviewAction,
    Role,
    SiteKind,
)
from triage.models import Case, Decision, Draft, Erasure, Lease, Policy, Review
from triage.permissions import allows
from triage.reasons import in_words
from triage.selectors import said
from triage.selectors.case_history import HistoryLine, history
from triage.selectors.explain import (
    StageLevel,
    overall_level,
    plain_certainty,
    sentence,
    stage_levels,
)
from triage.selectors.household import Question, question_of
from triage.selectors.neighbours import neighbours_of
from triage.selectors.readings import DECISIVE, may_read, reviewers, standing
from triage.selectors.retakes import Retake, retake_of
from triage.selectors.retention import erasure_of, why_erased
from triage.selectors.rows import is_blind, latest_decision, why_not_undo
from triage.selectors.teams import cases_for, is_seen
from triage.selectors.words import domain_of, titles_of

KEYS = 9


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
    members: list[said.MemberRow]
    hypotheses: list[said.HypothesisView]
    labels: list[tuple[str, str, int | None]]
    stages: tuple[StageLevel, ...]
    level: str
    sentence: str
    plain: str
    scores: list[said.ScoreRow]
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
    hypotheses = said.hypotheses(run, titles, detailed) if run and not blind else []
    open_run = run if detailed and not (blind and decision) else None
    shown = decision if detailed and not blind else None
    labels_by_member = said.labels_by_member(run) if run else {}
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
    words = said.Words(titles, [frame.at_s for frame in frames])
    return CasePage(
        case=case,
        domain=domain,
        run=run,
        drawn=case.observation.drawn,
        blind=blind and decision is not None,
        finished=bool(run and run.finished),
        members=said.members(open_run, words, decided=decision is not None) if open_run else [],
        hypotheses=hypotheses,
        labels=_labels(titles, hypotheses),
        stages=stage_levels(shown),
        level=overall_level(shown),
        sentence=sentence(shown, labels_by_member, titles) if shown else "",
        plain="" if blind else plain_certainty(overall_level(decision)),
        scores=said.scores(open_run, decision) if open_run and decision else [],
        decision=shown,
        policy=shown.policy if shown else None,
        reasons=[in_words(code) for code in shown.reasons] if shown else [],
        error_probability=shown.explanation.get("error_probability") if shown else None,
        history=history(case, blind, titles, unnamed=user if disputed and not resolved else None),
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


def _labels(
    titles: dict[str, str], hypotheses: list[said.HypothesisView]
) -> list[tuple[str, str, int | None]]:
    """Every label with its key: the hypotheses' first, the others in the domain's order."""
    keys = {view.label: view.key for view in hypotheses}
    for label in titles:
        keys.setdefault(label, len(keys) + 1)
    return [
        (label, title, keys[label] if keys[label] <= KEYS else None)
        for label, title in titles.items()
    ]


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
