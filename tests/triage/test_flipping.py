"""A reviewer who gives wrong labels on purpose, among honest ones, over the real services.

Cases come in, are decided, claimed, read by one or by two, disputed, settled and learned from as in
the product; only what the members say is drawn here. `-rP` prints what docs/security.md tells.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from tests.factories import LABELS, SIGNATURE, make_case, make_policy, make_site, make_user
from triage.choices import AlertKind, CaseStatus, PolicyStatus, Role
from triage.errors import Forbidden, Refused
from triage.models import Alert, Calibration, Case, Policy, Review, Site
from triage.selectors.evidence import gather
from triage.selectors.experts import worst_reader
from triage.selectors.readings import independent
from triage.selectors.steps import step_of
from triage.services import calibration, decisions, gold, policies, queue, reviews
from triage.services.monitoring import check

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]
SLIPS = 0.03
CAP = 0.3
Answers = Callable[[str, random.Random], str]


def honest(truth: str, rng: random.Random) -> str:
    return other_than(truth, rng) if rng.random() < SLIPS else truth


def flips_all(truth: str, rng: random.Random) -> str:
    return other_than(truth, rng)


def flips_a_third(truth: str, rng: random.Random) -> str:
    return other_than(truth, rng) if rng.random() < 0.3 else truth


def flips_one_class(truth: str, rng: random.Random) -> str:
    return "Bruises" if truth == LABELS[0] else honest(truth, rng)


def other_than(truth: str, rng: random.Random) -> str:
    return rng.choice([label for label in LABELS if label != truth])


@dataclass
class Clinic:
    """Three honest reviewers and one who answers by `answers`.

    `double` of the cases are read by two; `gold` of those that are taken bring a gold case along.
    """

    answers: Answers
    double: float = 0.5
    gold: float = 0.0
    seed: int = 1
    site: Site = field(default_factory=make_site)
    truth: dict[object, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.site.double_share = self.double
        self.site.save(update_fields=["double_share"])
        make_policy(self.site, threshold=0.2, audit_share=0.3)
        self.suspect = make_user(self.site, Role.CLINICIAN, "suspect")
        self.others = [make_user(self.site, Role.CLINICIAN, f"honest {n}") for n in range(3)]

    def day(self, cases: int = 10, turns: int = 1) -> None:
        """That many cases come in and all are answered; the suspect takes `turns` at a time."""
        for _ in range(cases):
            self._arrive()
        people = [*[self.suspect] * turns, *self.others]
        while sum(self._answer(one) for one in people):
            pass

    def know(self, cases: int) -> None:
        """That many cases came in, and an administrator says that their labels are known."""
        for _ in range(cases):
            self._arrive()
        while self._answer(self.others[0]):
            pass
        boss = make_user(self.site, Role.ADMINISTRATOR)
        for case in Case.objects.filter(site=self.site, status=CaseStatus.RESOLVED):
            gold.mark(case=case, actor=boss, known=True)
        hours_ago = timezone.now() - timedelta(hours=9)
        Case.objects.filter(site=self.site).update(resolved_at=hours_ago)

    def answered(self) -> int:
        return self._theirs().count()

    def told_by(self) -> str:
        """How many of their answers somebody else's word is held against."""
        theirs = self._theirs()
        by_two = theirs.filter(case__readings=2).count()
        gold = theirs.filter(case__repeats__isnull=False).count()
        return f"{by_two} read by two, {gold} gold"

    def _theirs(self) -> QuerySet[Review]:
        return Review.objects.filter(case__site=self.site, reviewer=self.suspect)

    def days_until_alarm(self, most: int) -> int | None:
        """How many days it takes until the alarm about somebody's answers stands; None never."""
        for day in range(1, most + 1):
            self.day(turns=2)
            check(site=self.site)
            if Alert.objects.filter(site=self.site, kind=AlertKind.READER, ended_at=None).exists():
                return day
        return None

    def _arrive(self) -> None:
        truth = self.rng.choice(LABELS[:3])
        second = other_than(truth, self.rng)
        said = (truth, truth, truth) if self.rng.random() < 0.4 else (truth, truth, second)
        case = make_case(self.site, said, disagreement=0.3 if len(set(said)) == 1 else 1.2)
        self.truth[case.pk] = truth

    def _answer(self, user: User) -> bool:
        lease = queue.claim_next(site=self.site, user=user, gold_share=self.gold)
        if lease is None:
            return False
        case = Case.objects.get(pk=lease.case_id)
        answers = self.answers if user == self.suspect else honest
        reviews.submit_review(
            case=case,
            token=lease.token,
            user=user,
            label=answers(self.truth[case.repeats_id or case.pk], self.rng),
            version=case.version,
        )
        return True


@pytest.fixture(autouse=True)
def this_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "current_signature", lambda _domain: SIGNATURE)


@pytest.fixture(autouse=True)
def the_same_chance_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn for audit and for two readings, so that a run can be told of."""
    rng = random.Random(7)
    monkeypatch.setattr(decisions, "_drawn", lambda share: rng.random() < share)
    monkeypatch.setattr(gold, "_chance", random.Random(7))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answers", "double", "within"),
    [(flips_all, 0.5, 30), (flips_a_third, 1.0, 150), (flips_one_class, 0.5, 60)],
    ids=["all", "a third", "one class"],
)
def test_the_alarm_rings(answers: Answers, double: float, within: int) -> None:
    clinic = Clinic(answers, double)
    day = clinic.days_until_alarm(most=30)
    print(f"{answers.__name__}: after {clinic.answered()} answers, {clinic.told_by()}")
    assert day is not None
    assert clinic.answered() <= within


@pytest.mark.slow
def test_where_everybody_reads_alone_gold_cases_find_them() -> None:
    clinic = Clinic(flips_all, double=0.0)
    clinic.know(20)
    clinic.day(turns=2)
    assert worst_reader(clinic.site) is None, "nobody's word is held against another's"
    clinic.gold = 0.1
    day = clinic.days_until_alarm(most=20)
    print(f"alone, a tenth gold: after {clinic.answered()} answers, {clinic.told_by()}")
    assert day is not None
    assert clinic.answered() <= 60


@pytest.mark.slow
def test_among_honest_people_it_stays_silent() -> None:
    clinic = Clinic(honest)
    assert clinic.days_until_alarm(most=12) is None
    worst = worst_reader(clinic.site)
    print(f"honest, {SLIPS:.0%} slips: silent after {clinic.answered()} answers, at {worst:.1%}")
    assert worst is not None, "there was something to be alarmed about"


@pytest.mark.parametrize("answers", [flips_all, flips_a_third, flips_one_class])
def test_no_more_than_half_of_what_is_learned_is_theirs(answers: Answers) -> None:
    """Whoever answers most of the cases weighs no more than all the others together."""
    clinic = Clinic(answers, double=0.0)
    clinic.day(cases=40, turns=6)
    found = gather(site=clinic.site, domain="wound", ensemble=SIGNATURE)
    assert found is not None
    theirs = found.labelled & (found.experts == str(clinic.suspect.pk))
    answered = theirs.sum() / found.labelled.sum()
    held = found.influence[theirs].sum() / found.influence[found.labelled].sum()
    print(f"{answers.__name__}: {answered:.0%} of the answers weigh {held:.0%}")
    assert answered > 0.6
    assert held <= 0.5 + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("answers", [honest, flips_all, flips_a_third, flips_one_class])
def test_no_step_that_is_published_is_larger_than_the_cap(answers: Answers) -> None:
    """After each refit an administrator publishes whatever is proposed, as far as it goes."""
    clinic = Clinic(answers)
    boss = make_user(clinic.site, Role.ADMINISTRATOR)
    told = []
    for _ in range(4):
        clinic.day(cases=15)
        draft = calibration.refit(site=clinic.site, domain="wound")
        step = step_of(draft)
        assert step is not None
        try:
            policies.publish_policy(policy=draft, actor=boss)
            told.append(f"{step.growth:+.0%}")
            assert step.growth <= CAP + 1e-9
        except Refused as error:
            told.append(f"({step.growth:+.0%} refused)")
            assert error.code == "step"
            assert step.growth > CAP
    print(f"{answers.__name__}: {', '.join(told)}")
    assert Policy.objects.filter(site=clinic.site, status=PolicyStatus.ACTIVE).count() == 1


def accepting_all(clinic: Clinic, boss: User) -> Policy:
    return calibration.propose_at(
        site=clinic.site,
        domain="wound",
        method="vote_entropy",
        threshold=9.0,
        calibration=Calibration.objects.filter(site=clinic.site).latest("pk").pk,
        actor=boss,
    )


def test_a_step_beyond_the_cap_is_refused_whoever_taught_it() -> None:
    clinic = Clinic(flips_one_class)
    clinic.day(cases=20)
    policies.defer_everything(
        site=clinic.site, domain="wound", actor=make_user(clinic.site, Role.ADMINISTRATOR)
    )
    boss, second = (make_user(clinic.site, Role.ADMINISTRATOR) for _ in range(2))
    draft = accepting_all(clinic, boss)
    with pytest.raises(Refused, match="at most 30%"):
        policies.publish_policy(policy=draft, actor=second)


def test_with_too_few_labels_nothing_that_accepts_more_is_published() -> None:
    clinic = Clinic(flips_all)
    for _ in range(3):
        clinic._arrive()
    boss, second = (make_user(clinic.site, Role.ADMINISTRATOR) for _ in range(2))
    with pytest.raises(Refused, match="expert labels"):
        calibration.refit(site=clinic.site, domain="wound")
    draft = accepting_all(clinic, boss)
    with pytest.raises(Refused, match="have an answer"):
        policies.publish_policy(policy=draft, actor=second)


def test_who_proposes_does_not_publish() -> None:
    clinic = Clinic(flips_all)
    clinic.day(cases=20)
    boss = make_user(clinic.site, Role.ADMINISTRATOR)
    draft = calibration.refit(site=clinic.site, domain="wound", actor=boss)
    with pytest.raises(Forbidden, match="another administrator"):
        policies.publish_policy(policy=draft, actor=boss)


def test_as_one_of_two_readers_their_word_alone_settles_nothing() -> None:
    """What they read first, or second, is settled otherwise by the two others who look at it."""
    clinic = Clinic(flips_all, double=1.0)
    clinic.day(cases=20)
    gold = Case.objects.filter(site=clinic.site, readings=2, status=CaseStatus.RESOLVED)
    read = [case for case in gold if clinic.suspect.pk in readers_of(case)]
    assert len(read) >= 5
    theirs = [one.label for case in read for one in case.reviews.filter(reviewer=clinic.suspect)]
    assert sum(a.label == b for a, b in zip(read, theirs, strict=True)) == 0


def readers_of(case: Case) -> set[int]:
    return {one.reviewer_id for one in independent(case.reviews.all())}
