"""The caregivers' pages: what waits, what is asked, what their answers have changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inference import ensemble
from inference.pipeline.domains import Domain, Label
from triage.choices import WAITING, CaseStatus, PolicyStatus, Role
from triage.models import (
    Case,
    DeviceToken,
    Learning,
    Membership,
    Policy,
    PushSubscription,
    Review,
    Site,
    Snooze,
)
from triage.selectors.asking import READ, Home, open_ask, passed_by_all
from triage.selectors.consents import ConsentRow, show_row
from triage.selectors.queue import waiting_count
from triage.selectors.readings import standing
from triage.selectors.retakes import Retake, retakes
from triage.selectors.rows import QueueRow, is_blind, latest_decision, rows, with_details
from triage.selectors.teams import cases_for
from triage.selectors.words import domain_at, domain_of, titles_of

SHOWN = 20


@dataclass(frozen=True)
class HomeRow:
    """A case in the household's list.

    text      what is asked, or what was answered
    asked     who is asked about it now, "" for nobody
    me        whether that is the person who looks
    answered  who has answered it, "" as long as nobody has
    unsure    whether every caregiver has passed it on
    """

    row: QueueRow
    text: str
    asked: str
    me: bool
    answered: str
    unsure: bool


@dataclass(frozen=True)
class HouseholdPage:
    """What waits for an answer, what was answered lately, and what that has changed."""

    site: Site
    trained: bool
    domain: Domain
    waiting: int
    rows: list[HomeRow]
    answered: list[HomeRow]
    processing: int
    retakes: list[Retake]
    changes: list["Change"]
    answers: int
    consent: ConsentRow
    shut_out: bool

    @property
    def staff_alone(self) -> bool:
        """Whether the caregivers are shut out, and whoever looks is not."""
        withdrawn = self.consent.given is False
        return (withdrawn or self.consent.ended) and not self.shut_out


@dataclass(frozen=True)
class Question:
    """What a caregiver is asked about a case, in plain words.

    text    the question
    held    the label that the machine holds, None where that must not be shown or is not known
    well    labels that mean that all is well;  wrong: the others, both without `held`
    camera  what sent the picture, None where a person did
    """

    text: str
    held: Label | None
    well: list[Label]
    wrong: list[Label]
    camera: DeviceToken | None


@dataclass(frozen=True)
class Change:
    """Something that a person's answers have changed, in one sentence."""

    when: datetime
    sentence: str


@dataclass(frozen=True)
class AskingPage:
    """When somebody is asked: in whose turn, not in which hours, not about which cameras."""

    membership: Membership
    people: list[str]
    cameras: list[tuple[DeviceToken | None, str, Snooze | None]]
    browsers: int


def household_page(*, site: Site, user: AbstractBaseUser, shut_out: bool = False) -> HouseholdPage:
    """The household's page; who is `shut_out` learns how much waits, and nothing of what."""
    cases = cases_for(site, user)
    open_ones = cases.filter(status__in=(*WAITING, CaseStatus.IN_REVIEW)).order_by("due_at")
    answered = cases.filter(status=CaseStatus.RESOLVED).order_by("-resolved_at")
    home = Home(site, timezone.now())
    shown = [] if shut_out else _home_rows(open_ones, user, home)
    return HouseholdPage(
        site=site,
        trained=bool(ensemble.members_of(site.domain)),
        domain=domain_at(site),
        waiting=waiting_count(site, user),
        rows=sorted(shown, key=lambda home: not home.me),
        answered=[] if shut_out else _home_rows(answered, user, home),
        processing=cases.filter(status=CaseStatus.OPEN).count(),
        retakes=[] if shut_out else retakes(site, user),
        changes=changes_by(site, user),
        answers=len(_given(site, user)),
        consent=show_row(site),
        shut_out=shut_out,
    )


def question_of(case: Case, viewer: AbstractBaseUser) -> Question:
    """What this person is asked; while blind, without what the machine believes."""
    labels = {label.id: label for label in domain_of(case).labels}
    decision = latest_decision(case)
    known = labels.get(decision.label) if decision else None
    held = None if is_blind(case, viewer) else known
    others = [label for label in labels.values() if label != held]
    text = _("It looks like this: {0}. Is that so?").format(_(held.plain)) if held else ""
    return Question(
        text=text or _("Is everything all right?"),
        held=held,
        well=[label for label in others if label.normal],
        wrong=[label for label in others if not label.normal],
        camera=case.camera,
    )


def asks_of(case: Case, person: AbstractBaseUser) -> str:
    """The question as a phone shows it: where, and what."""
    question = question_of(case, person)
    where = question.camera.name if question.camera else _("A picture")
    return f"{where}: {question.text}"


def in_plain_words(case: Case) -> str:
    """A resolved case's label in caregivers' words."""
    return titles_of(domain_of(case), plain=True).get(case.label, case.label)


def changes_by(site: Site, user: AbstractBaseUser) -> list[Change]:
    """What this person's answers have changed at the site, newest first.

    A policy in force learned from the answers before its calibration, and a camera that was
    trusted was judged by the answers while it learned.
    """
    mine = _given(site, user)
    if not mine:
        return []
    found = [*_learned(site, [when for when, _camera in mine]), *_trusted(site, mine)]
    return sorted(found, key=lambda change: change.when, reverse=True)[:5]


def asking_page(*, site: Site, user: AbstractBaseUser) -> AskingPage:
    people = Membership.objects.filter(site=site, role=Role.CAREGIVER).select_related("user")
    membership = people.select_related("site").get(user_id=user.pk)
    now = timezone.now()
    running = {row.camera_id: row for row in membership.snoozes.filter(until__gt=now)}
    cameras = DeviceToken.objects.filter(site=site, revoked_at=None).order_by("name")
    named: list[tuple[DeviceToken | None, str]] = [(one, one.name) for one in cameras]
    named.append((None, _("photos and clips that people send")))
    return AskingPage(
        membership=membership,
        people=[one.user.get_username() for one in people.order_by("turn", "pk")],
        cameras=[(one, name, running.get(one.pk if one else None)) for one, name in named],
        browsers=PushSubscription.objects.filter(user_id=user.pk).count(),
    )


def _home_rows(cases: QuerySet[Case], user: AbstractBaseUser, home: Home) -> list[HomeRow]:
    read = with_details(cases).select_related("camera").prefetch_related(*READ)
    found = list(read.prefetch_related("asks__person", "reviews__reviewer")[:SHOWN])
    return [
        _home_row(case, row, user, home)
        for case, row in zip(found, rows(found, user, detailed=False), strict=True)
    ]


def _home_row(case: Case, row: QueueRow, user: AbstractBaseUser, home: Home) -> HomeRow:
    resolved = case.status == CaseStatus.RESOLVED
    ask = None if resolved else open_ask(case, home.now, home)
    last = ask.person if ask else None
    answers = standing(case.reviews.all()) if resolved else []
    return HomeRow(
        row=row,
        text=in_plain_words(case) if resolved else question_of(case, user).text,
        asked=last.get_username() if last else "",
        me=bool(last and last.pk == user.pk),
        answered=answers[-1].reviewer.get_username() if answers else "",
        unsure=not resolved and passed_by_all(case, home),
    )


def _given(site: Site, user: AbstractBaseUser) -> list[tuple[datetime, int | None]]:
    """When this person gave the answers that stand, and about which cameras; oldest first."""
    said = Review.objects.filter(case__site=site, reviewer_id=user.pk).select_related("case")
    by_case: dict[UUID, list[Review]] = {}
    for review in said:
        by_case.setdefault(review.case_id, []).append(review)
    answers = [review for some in by_case.values() for review in standing(some)]
    return sorted(((one.created_at, one.case.camera_id) for one in answers), key=lambda row: row[0])


def _learned(site: Site, mine: list[datetime]) -> list[Change]:
    in_force = (PolicyStatus.ACTIVE, PolicyStatus.RETIRED)
    policies = Policy.objects.filter(site=site, status__in=in_force, calibration__isnull=False)
    changes, since = [], None
    for policy in policies.select_related("calibration").order_by("published_at", "pk"):
        fitted_at = policy.calibration.created_at if policy.calibration else None
        n = sum(1 for when in mine if fitted_at and (since or mine[0]) <= when < fitted_at)
        if n and policy.published_at:
            changes.append(Change(policy.published_at, _policy_sentence(n)))
        since = fitted_at or since
    return changes


def _policy_sentence(n: int) -> str:
    return ngettext(
        "{0} answer of yours changed when you are asked.",
        "{0} answers of yours changed when you are asked.",
        n,
    ).format(n)


def _trusted(site: Site, mine: Sequence[tuple[datetime, int | None]]) -> list[Change]:
    ended = Learning.objects.filter(site=site, ended_at__isnull=False).select_related("camera")
    changes = []
    for row in ended:
        until = row.ended_at or row.started_at
        about_it = (when for when, camera in mine if camera == row.camera_id)
        n = sum(1 for when in about_it if row.started_at <= when <= until)
        if n and row.ended_at:
            name = row.camera.name if row.camera else _("the machine, for what people send,")
            sentence = ngettext(
                "{0} answer of yours showed that {1} may now judge sure pictures by itself.",
                "{0} answers of yours showed that {1} may now judge sure pictures by itself.",
                n,
            )
            changes.append(Change(row.ended_at, sentence.format(n, name)))
    return changes
