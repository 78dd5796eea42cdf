"""Days at a site: cases arrive, people answer what was deferred or drawn, policies follow."""

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from PIL.Image import Image

from inference.backends.placeholders import placeholder
from inference.backends.recordings import Recording
from inference.models import MemberJob
from inference.pipeline.domains import load_domain
from inference.services.work import execute_job
from triage.choices import Outcome, PolicyStatus, Role, SiteKind
from triage.errors import Refused
from triage.models import Case, Decision, Organisation, Policy, Site
from triage.selectors.learning import Source, is_learning
from triage.selectors.live import live_numbers
from triage.selectors.policy_state import active_policy
from triage.selectors.rules import in_force_of
from triage.selectors.weeks import decisions_of
from triage.selectors.words import domain_at
from triage.services import aggregators, calibration, guard, learning, policies, queue, reviews
from triage.services.demo import NAME, add_account
from triage.services.intake import open_case
from triage.services.sites import open_site

Tell = Callable[[str], None]
SITE = "Recorded household"
QUALITY = 92


@dataclass(frozen=True)
class Plan:
    """How the days go.

    per_day  cases that arrive in a day
    mistakes share of an expert's answers that are wrong, 0 to 1
    seed     of the order of the cases and of the mistakes
    """

    per_day: int = 40
    mistakes: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Day:
    """What one day brought, in cases; `wrong` compares with the recorded truth.

    Of the `cases`, `deferred` went to a person and `accepted` did not; of the accepted, `wrong` had
    a wrong label and `audited` were drawn for review. `vote_wrong` would have been wrong had all
    been accepted. `estimate` is what the audits so far say of all accepted so far, with `low` and
    `high`, its 95 % interval. `version` and `decider` are those the day began with.
    """

    cases: int
    deferred: int
    accepted: int
    wrong: int
    vote_wrong: int
    audited: int
    reviews: int
    learning: bool
    version: int | None
    decider: str
    estimate: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Version:
    """A policy that was in force, after how many cases, and from how many labels it came.

    Accepted was at or below `threshold`, in the score `method`, that was chosen by `mode`.
    """

    version: int
    after: int
    labels: int
    mode: str
    method: str
    threshold: float | None


@dataclass(frozen=True)
class Simulation:
    """All days of a simulation, and the policies that were in force."""

    days: tuple[Day, ...]
    versions: tuple[Version, ...]
    withdrawn: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class MissingLabel(ValueError):
    """A recording has a label that the domain has not."""


def check_labels(recordings: Sequence[Recording], domain_id: str) -> None:
    """Raises MissingLabel, which says what to do."""
    known = load_domain(domain_id).label_ids
    found = {one.truth for one in recordings}
    found |= {said.label for one in recordings for said in one.answers.values() if said.label}
    if other := ", ".join(sorted(found - set(known))):
        raise MissingLabel(
            f"The recorded labels {other} are none of the domain {domain_id}: "
            f"{', '.join(known)}. Choose another --domain."
        )


def simulate(
    recordings: Sequence[Recording], domain_id: str, plan: Plan, tell: Tell = lambda _: None
) -> Simulation:
    """Let the recorded cases arrive at a new site of the configured members, and go through all.

    The site starts as every new site does, in learning mode and with nothing known but what ships
    with the members. An administrator publishes each policy that a refit proposes.
    """
    people = _People.at_a_new_site(domain_id)
    rng = np.random.default_rng(plan.seed)
    order = rng.permutation(len(recordings)).tolist()
    days: list[Day] = []
    versions: list[Version] = []
    for start in range(0, len(order), plan.per_day):
        numbers = order[start : start + plan.per_day]
        _note_version(people.site, versions, start)
        days.append(_day(people, {at: recordings[at] for at in numbers}, plan, rng))
        tell(_in_words(len(days), days[-1]))
    withdrawn = Policy.objects.filter(site=people.site, withdrawal__isnull=False).count()
    return Simulation(tuple(days), tuple(versions), withdrawn)


@dataclass(frozen=True)
class _People:
    site: Site
    expert: User
    administrator: User

    @classmethod
    def at_a_new_site(cls, domain_id: str) -> "_People":
        site = open_site(
            organisation=Organisation.objects.create(name=NAME),
            name=SITE,
            kind=SiteKind.HOUSEHOLD,
            domain=domain_id,
            two_person_rule=False,
        )
        expert = add_account("caregiver", Role.CAREGIVER, site)
        return cls(site, expert, add_account("administrator", Role.ADMINISTRATOR, site))


def _day(
    people: _People, arriving: dict[int, Recording], plan: Plan, rng: np.random.Generator
) -> Day:
    site = people.site
    policy = active_policy(site, site.domain)
    new = is_learning(Source(site, site.domain))
    recorded = {_arrive(site, number, one).pk: one for number, one in arriving.items()}
    _run_members()
    decisions = list(Decision.objects.filter(case__in=list(recorded)).select_related("run"))
    accepted = [one for one in decisions if one.outcome == Outcome.ACCEPT]
    decider = in_force_of(policy).method if policy else ""
    answered = _answer_all(people, recorded, plan, rng)
    audit = live_numbers(decisions_of(site)).error
    return Day(
        cases=len(recorded),
        deferred=len(decisions) - len(accepted),
        accepted=len(accepted),
        wrong=sum(one.label != recorded[one.case_id].truth for one in accepted),
        vote_wrong=sum(one.run.prediction != recorded[one.case_id].truth for one in decisions),
        audited=sum(one.audited for one in accepted),
        reviews=answered,
        learning=new,
        version=policy.version if policy else None,
        decider=decider,
        estimate=audit.estimate if audit.audited else None,
        low=audit.low,
        high=audit.high,
    )


def _arrive(site: Site, number: int, recording: Recording) -> Case:
    picture = _jpeg(placeholder(number, recording.id))
    return open_case(site=site, data=picture, source="recording").case


def _jpeg(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _run_members() -> None:
    """What workers do, here and now: each job takes others that wait for its member along."""
    waiting = MemberJob.objects.filter(status=MemberJob.Status.QUEUED).order_by("pk")
    for job_id in list(waiting.values_list("pk", flat=True)):
        execute_job(job_id=job_id)


def _answer_all(
    people: _People, recorded: dict[Any, Recording], plan: Plan, rng: np.random.Generator
) -> int:
    """The expert answers all that waits, most urgent first; returns how many cases that were."""
    site, count = people.site, 0
    labels = domain_at(site).label_ids
    while lease := queue.claim_next(site=site, user=people.expert, gold_share=0):
        truth = recorded[lease.case_id].truth
        others = [label for label in labels if label != truth]
        mistaken = rng.random() < plan.mistakes
        reviews.submit_review(
            case=lease.case,
            token=lease.token,
            user=people.expert,
            label=str(rng.choice(others)) if mistaken else truth,
            version=Case.objects.only("version").get(pk=lease.case_id).version,
        )
        count += 1
        _after_a_review(people)
    return count


def _after_a_review(people: _People) -> None:
    """What a worker does after each review, and an administrator with what it proposes."""
    site, domain = people.site, people.site.domain
    guard.watch_published(site=site, domain=domain)
    learning.end_where_earned(site=site, domain=domain)
    aggregators.withdraw_where_lost(site=site, domain=domain)
    draft = calibration.refit_when_due(site=site, domain=domain)
    if draft and draft.status == PolicyStatus.DRAFT:
        # A step that is too large waits for the next draft, as an administrator would be told to.
        with suppress(Refused):
            policies.publish_policy(policy=draft, actor=people.administrator)


def _note_version(site: Site, versions: list[Version], after: int) -> None:
    """Remember the policy in force, if it is another one than before."""
    policy = active_policy(site, site.domain)
    if policy is None or (versions and versions[-1].version == policy.version):
        return
    versions.append(
        Version(
            version=policy.version,
            after=after,
            labels=int(policy.choice.get("labels", 0)),
            mode=str(policy.get_mode_display()),
            method=policy.method,
            threshold=policy.threshold,
        )
    )


def _in_words(number: int, day: Day) -> str:
    return (
        f"day {number}: {day.deferred} of {day.cases} deferred, {day.wrong} of {day.accepted} "
        f"accepted were wrong, {day.reviews} reviews"
    )
