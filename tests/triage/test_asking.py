"""At home somebody is always asked, and one answer is enough."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, time, timedelta
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.factories import make_camera, make_case, make_policy, make_site, make_user, rewrite
from tests.pictures import photo
from tests.triage.conftest import Cast
from triage.choices import AlertKind, CaseStatus, Purpose, Role, SiteKind
from triage.errors import Conflict, Refused
from triage.management.commands.sweep import sweep
from triage.models import (
    Alert,
    Ask,
    AuditEvent,
    Case,
    Consent,
    DeviceToken,
    Learning,
    Membership,
    Policy,
    Review,
    Site,
    Snooze,
)
from triage.selectors.asking import (
    CALLED,
    Home,
    asked_again_at,
    is_critical,
    is_due,
    is_quiet,
    next_person,
    unanswered,
)
from triage.selectors.consents import looks
from triage.selectors.household import changes_by, household_page, question_of
from triage.services import asking, calibration, intake, monitoring, queue, reviews

pytestmark = pytest.mark.django_db
HARMLESS = ("pet", "person", "pet")
GRAVE = ("fall", "pet", "pet")


@pytest.fixture
def home() -> Site:
    return make_site("Home", kind=SiteKind.HOUSEHOLD, domain="home")


@pytest.fixture
def people(home: Site) -> list[User]:
    """Three, asked in this order."""
    return [make_user(home, Role.CAREGIVER, name) for name in ("ada", "ben", "cleo")]


@pytest.fixture
def camera(home: Site) -> DeviceToken:
    return make_camera(home, "hall")


def asked(case: Case) -> list[str]:
    return [ask.person.username for ask in case.asks.all()]


def membership(user: User) -> Membership:
    return Membership.objects.get(user=user)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def later(case: Case, minutes: float) -> datetime:
    last = case.asks.last()
    assert last
    return last.asked_at + timedelta(minutes=minutes)


# Whose turn it is ------------------------------------------------------------------------------


def test_each_is_asked_in_turn_and_then_the_first_again(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    asking.ask_next(case=case)
    assert asking.ask_next(case=case, now=later(case, 4)) is None, "ada has five minutes"
    for _ in range(3):
        assert asking.ask_next(case=case, now=later(case, 5))
    assert asked(case) == ["ada", "ben", "cleo", "ada"]


def test_whoever_is_not_sure_is_followed_at_once(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    asking.ask_next(case=case)
    asking.not_sure(case=case, user=people[0], comment="too dark")
    assert asked(case) == ["ada", "ben"]
    asking.ask_next(case=case, now=later(case, 5))
    asking.ask_next(case=case, now=later(case, 5))
    assert asked(case) == ["ada", "ben", "cleo", "ben"], "ada has said that she cannot tell"


def test_where_nobody_is_sure_nobody_is_asked_for_hours(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    asking.ask_next(case=case)
    for person in people:
        asking.not_sure(case=case, user=person)
    assert asked(case) == ["ada", "ben", "cleo"]
    [row] = household_page(site=home, user=people[0]).rows
    assert (row.unsure, row.me) == (True, False)
    assert (
        "Nobody here was sure." in client_of(people[0]).get(reverse("household")).content.decode()
    )
    assert asking.ask_next(case=case, now=later(case, 239)) is None
    asking.ask_next(case=case, now=later(case, 241))
    assert asked(case) == ["ada", "ben", "cleo", "ada"]


def test_of_what_is_critical_whoever_passed_is_asked_after_five_minutes(
    home: Site, people: list[User]
) -> None:
    Membership.objects.exclude(user=people[0]).delete()
    case = make_case(home, GRAVE)
    asking.ask_next(case=case)
    assert asking.not_sure(case=case, user=people[0]) is None
    assert asking.ask_next(case=case, now=later(case, 6))


def test_each_round_waits_twice_as_long_to_a_limit(home: Site) -> None:
    make_user(home, Role.CAREGIVER, "ada")
    harmless, grave = make_case(home, HARMLESS), make_case(home, GRAVE)

    def waits(case: Case) -> list[int]:
        """Minutes from each ask to the next."""
        asking.ask_next(case=case)
        found = []
        for _ in range(8):
            found.append(next(n for n in (5, 10, 20, 40, 80, 160, 240) if due(case, n)))
            asking.ask_next(case=case, now=later(case, found[-1]))
        return found

    def due(case: Case, minutes: int) -> bool:
        return is_due(case, later(case, minutes)) and not is_due(case, later(case, minutes - 1))

    assert waits(grave) == [5] * 8
    assert waits(harmless) == [5, 10, 20, 40, 80, 160, 240, 240]


def test_nobody_is_asked_of_two_harmless_cases_at_once(home: Site) -> None:
    ada = make_user(home, Role.CAREGIVER, "ada")
    cases = [make_case(home, HARMLESS) for _ in range(3)]
    assert [bool(asking.ask_next(case=case)) for case in cases] == [True, False, False]
    assert asking.ask_next(case=make_case(home, GRAVE)), "what is critical is asked all the same"
    reviews.answer_at_home(case=cases[0], user=ada, label="pet")
    assert asking.ask_overdue() == 1
    asking.not_sure(case=cases[1], user=ada)
    assert asking.ask_overdue() == 1
    assert [asked(case) for case in cases] == [["ada"]] * 3


def test_each_is_asked_of_one_harmless_case(home: Site, people: list[User]) -> None:
    cases = [make_case(home, HARMLESS) for _ in range(4)]
    for case in cases:
        asking.ask_next(case=case)
    assert [asked(case) for case in cases] == [["ada"], ["ben"], ["cleo"], []]


def test_two_cases_asked_of_the_same_person_do_not_block_each_other(home: Site) -> None:
    ada = make_user(home, Role.CAREGIVER, "ada")
    first, second = make_case(home, HARMLESS), make_case(home, HARMLESS)
    asking.ask_next(case=first)
    reviews.answer_at_home(case=first, user=ada, label="pet")
    asking.ask_next(case=second)
    client_of(ada).post(reverse("undo", args=[first.pk]))
    assert asking.ask_next(case=first, now=later(second, 4)) is None, "ada has five minutes"
    assert asking.ask_next(case=first, now=later(second, 6))
    assert asking.ask_next(case=second, now=later(first, 9)) is None, "the second time she has ten"
    assert asking.ask_next(case=second, now=later(first, 11))


def test_who_is_silent_about_one_case_is_asked_of_another(home: Site, people: list[User]) -> None:
    Membership.objects.filter(user=people[2]).delete()
    case, other = make_case(home, HARMLESS), make_case(home, HARMLESS)
    asking.ask_next(case=case)
    asking.ask_next(case=other)
    assert (asked(case), asked(other)) == (["ada"], ["ben"])
    rewrite(other.asks.all(), asked_at=later(case, -1))
    assert asking.ask_next(case=case, now=later(case, 5))
    assert asked(case) == ["ada", "ben"], "ben's five minutes for the other are over"


def test_many_criticals_are_asked_one_by_one(home: Site, camera: DeviceToken) -> None:
    ada = make_user(home, Role.CAREGIVER, "ada")
    asking.set_quiet_hours(membership=membership(ada), begin=time(0), end=time(23, 59))
    asking.snooze(membership=membership(ada), camera=camera, hours=1)
    cases = [make_case(home, (None, None, None), camera=camera) for _ in range(3)]
    for case, hours in zip(cases, (3, 1, 2), strict=True):
        Case.objects.filter(pk=case.pk).update(due_at=timezone.now() + timedelta(hours=hours))
    rounds = []
    for _ in range(4):
        assert [asking.ask_overdue(), asking.ask_overdue()] == [1, 0], "one in five minutes"
        rounds.append(Ask.objects.latest("pk").case)
        for ask in Ask.objects.all():
            earlier = ask.asked_at - timedelta(minutes=5)
            rewrite(Ask.objects.filter(pk=ask.pk), asked_at=earlier)
    assert rounds == [cases[1], cases[2], cases[0], cases[1]], "all in turn, by urgency"
    assert len(household_page(site=home, user=ada).rows) == 3


def test_an_answer_to_a_critical_one_makes_room_for_the_next(home: Site) -> None:
    ada = make_user(home, Role.CAREGIVER, "ada")
    case, other = make_case(home, GRAVE), make_case(home, GRAVE)
    assert [asking.ask_next(case=case) is None, asking.ask_next(case=other)] == [False, None]
    reviews.answer_at_home(case=case, user=ada, label="fall")
    assert asking.ask_next(case=other)


def test_whoever_passes_a_critical_one_again_is_asked_less_often(home: Site) -> None:
    ada = make_user(home, Role.CAREGIVER, "ada")
    case = make_case(home, GRAVE)
    rests = []
    for _ in range(5):
        asking.not_sure(case=case, user=ada)
        again = asked_again_at(case, timezone.now())
        passed_at = Review.objects.filter(case=case).latest("pk").created_at
        assert again
        rests.append((again - passed_at) / timedelta(minutes=1))
        case = Case.objects.get(pk=case.pk)
    assert rests == [5, 10, 20, 30, 30]
    assert asking.ask_next(case=case, now=again)


def queries(act: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as found:
        act()
    return len(found)


def test_the_more_wait_the_more_is_not_read(home: Site, people: list[User]) -> None:
    client = client_of(people[0])
    camera = make_camera(home)

    def more(count: int) -> None:
        for n in range(count):
            case = make_case(home, (HARMLESS, GRAVE)[n % 2], camera=camera)
            Ask.objects.create(case=case, person=people[n % 3])
            asking.not_sure(case=case, user=people[(n + 1) % 3])
            answered = make_case(home, HARMLESS, camera=camera)
            reviews.answer_at_home(case=answered, user=people[0], label="pet")

    def counted() -> list[int]:
        days_ago = timezone.now() - timedelta(days=2)
        rewrite(Ask.objects.all(), asked_at=days_ago)
        rewrite(Review.objects.all(), created_at=days_ago)
        all_free, none_free = (queries(asking.ask_overdue) for _ in range(2))
        return [all_free, none_free, queries(lambda: client.get(reverse("household")))]

    more(8)
    counted()
    few = counted()
    assert Ask.objects.filter(asked_at__gt=timezone.now() - timedelta(days=1)).count() == 6
    more(8)
    assert counted() == few


def test_who_has_left_is_not_waited_for(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    asking.ask_next(case=case)
    assert asking.ask_next(case=case) is None
    Membership.objects.filter(user=people[0]).delete()
    assert asking.ask_next(case=case)
    assert asked(case) == ["ada", "ben"]


def test_the_order_can_be_changed(home: Site, people: list[User]) -> None:
    Membership.objects.filter(user=people[0]).update(turn=9)
    case = make_case(home, HARMLESS)
    asking.ask_next(case=case)
    assert asked(case) == ["ben"]


def test_nobody_is_asked_about_what_is_answered(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    reviews.answer_at_home(case=case, user=people[2], label="pet")
    assert asking.ask_next(case=case) is None
    with pytest.raises(Conflict):
        asking.not_sure(case=case, user=people[0])


def test_the_sweep_asks_on_when_somebody_is_silent(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    assert sweep()["asked"] == 1
    assert sweep()["asked"] == 0
    rewrite(Ask.objects.all(), asked_at=timezone.now() - timedelta(minutes=6))
    assert sweep()["asked"] == 1
    assert asked(case) == ["ada", "ben"]


def test_a_deferral_asks_by_itself(
    home: Site, people: list[User], django_capture_on_commit_callbacks: object
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        case = make_case(home, HARMLESS)
    assert case.status == CaseStatus.DEFERRED
    assert asked(case) == ["ada"]


def test_a_clinics_case_asks_nobody(cast: Cast) -> None:
    make_case(cast.clinic, ("Burns", "Burns", "Cut"))
    sweep()
    assert not Ask.objects.exists()


# Quiet hours and snoozes -----------------------------------------------------------------------

NIGHT = datetime(2026, 1, 10, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("begin", "end", "at", "zone", "quiet"),
    [
        ("22:00", "07:00", "23:00", "UTC", True),
        ("22:00", "07:00", "07:00", "UTC", False),
        ("22:00", "07:00", "21:59", "UTC", False),
        ("13:00", "15:00", "14:00", "UTC", True),
        ("13:00", "15:00", "15:00", "UTC", False),
        ("22:00", "07:00", "21:30", "Europe/Berlin", True),
        ("22:00", "07:00", "06:30", "Europe/Berlin", False),
    ],
)
def test_quiet_hours_go_over_midnight_and_by_the_homes_clock(
    home: Site, people: list[User], begin: str, end: str, at: str, zone: str, quiet: bool
) -> None:
    home.time_zone = zone
    one = Membership(
        site=home, quiet_from=time.fromisoformat(begin), quiet_until=time.fromisoformat(end)
    )
    now = datetime.combine(NIGHT, time.fromisoformat(at), tzinfo=UTC)
    assert is_quiet(one, now) is quiet


def test_quiet_hours_are_kept_unless_it_is_critical(home: Site, people: list[User]) -> None:
    asking.set_quiet_hours(membership=membership(people[0]), begin=time(1), end=time(5))
    harmless, grave = make_case(home, HARMLESS), make_case(home, GRAVE)
    assert (is_critical(harmless), is_critical(grave)) == (False, True)
    found = [next_person(case, NIGHT) for case in (harmless, grave)]
    assert [one and one.user.username for one in found] == ["ben", "ada"]
    for person in people[1:]:
        asking.set_quiet_hours(membership=membership(person), begin=time(1), end=time(5))
    assert next_person(harmless, NIGHT) is None, "it waits until somebody is awake"
    assert next_person(harmless, NIGHT + timedelta(hours=3)) is not None


def test_a_machine_that_knows_nothing_wakes_somebody(home: Site, people: list[User]) -> None:
    assert is_critical(make_case(home, (None, None, None)))


def test_a_snooze_holds_for_its_camera_and_its_time(
    home: Site, people: list[User], camera: DeviceToken
) -> None:
    now = timezone.now()
    asking.snooze(membership=membership(people[0]), camera=camera, hours=8)
    filmed, sent = make_case(home, HARMLESS, camera=camera), make_case(home, HARMLESS)
    grave = make_case(home, GRAVE, camera=camera)

    def names(when: datetime) -> list[str]:
        found = [next_person(case, when) for case in (filmed, sent, grave)]
        return [one.user.username for one in found if one]

    assert names(now) == ["ben", "ada", "ada"]
    assert names(now + timedelta(hours=9)) == ["ada", "ada", "ada"]
    asking.end_snooze(membership=membership(people[0]), camera=camera)
    assert names(now) == ["ada", "ada", "ada"]


@pytest.mark.parametrize("hours", [0, -1, 169, float("nan")])
def test_a_snooze_is_a_while(people: list[User], camera: DeviceToken, hours: float) -> None:
    with pytest.raises(Refused):
        asking.snooze(membership=membership(people[0]), camera=camera, hours=hours)


def test_quiet_hours_and_snoozes_are_set_on_the_page(
    people: list[User], camera: DeviceToken, cast: Cast
) -> None:
    client = client_of(people[0])
    client.post(reverse("quiet-hours"), {"begin": "22:00", "end": "06:30"})
    assert membership(people[0]).quiet_until == time(6, 30)
    for bad in ({"begin": "22:00"}, {"begin": "9", "end": "x"}, {"begin": "01:00", "end": "01:00"}):
        client.post(reverse("quiet-hours"), bad)
        assert membership(people[0]).quiet_until == time(6, 30)
    client.post(reverse("snooze"), {"camera": camera.pk, "hours": "8"})
    assert Snooze.objects.get().camera == camera
    page = client.get(reverse("asking")).content.decode()
    assert 'value="22:00"' in page and "Ask me again" in page
    for hours in ("1e3", "", "-1"):
        client.post(reverse("snooze"), {"camera": camera.pk, "hours": hours})
    foreign = make_camera(cast.household)
    assert client.post(reverse("snooze"), {"camera": foreign.pk, "hours": "1"}).status_code == 404
    assert Snooze.objects.count() == 1
    client.post(reverse("snooze"), {"camera": camera.pk, "hours": "0"})
    client.post(reverse("quiet-hours"), {})
    assert not Snooze.objects.exists()
    assert membership(people[0]).quiet_from is None


def test_who_passes_it_on_is_told_who_is_asked(home: Site, people: list[User]) -> None:
    case, other = make_case(home, HARMLESS), make_case(home, HARMLESS)
    asking.ask_next(case=case)

    def said(person: User) -> str:
        answer = client_of(person).post(reverse("not-sure", args=[case.pk]), follow=True)
        return " ".join(str(message) for message in answer.context["messages"])

    assert said(people[1]) == "ada is asked now.", "it was not ben's turn"
    assert said(people[0]) == "cleo is asked now."
    Membership.objects.filter(user=people[2]).delete()
    rewrite(Review.objects.all(), created_at=datetime(2026, 1, 1, 10, tzinfo=UTC))
    assert asking.ask_next(case=other)
    assert other.asks.get().person == people[0]
    asking.not_sure(case=other, user=people[0])
    assert asked(other) == ["ada", "ben"]
    assert asked_again_at(case, timezone.now()) is None, "ben has another one first"


def test_where_nobody_else_can_be_asked_it_says_when(home: Site, people: list[User]) -> None:
    Membership.objects.filter(user=people[2]).delete()
    Site.objects.filter(pk=home.pk).update(time_zone="Europe/Berlin")
    begin, end = time(0), time(23, 59)
    asking.set_quiet_hours(membership=membership(people[1]), begin=begin, end=end)
    case = make_case(home, HARMLESS)
    ask = asking.ask_next(case=case)
    assert ask and ask.person == people[0]
    now = timezone.now()
    answer = client_of(people[0]).post(reverse("not-sure", args=[case.pk]), follow=True)
    at = asked_again_at(Case.objects.get(pk=case.pk), now)
    assert at and now < at <= now + timedelta(hours=4, minutes=1)
    here = at.astimezone(ZoneInfo("Europe/Berlin"))
    [said] = [str(message) for message in answer.context["messages"]]
    assert said == f"Nobody else can be asked now: it is asked again at {here:%-d %b, %H:%M}."
    assert asked(case) == ["ada"]


def test_quiet_hours_say_when_they_end(home: Site, people: list[User]) -> None:
    for person in people:
        asking.set_quiet_hours(membership=membership(person), begin=time(22), end=time(7))
    case = make_case(home, HARMLESS)
    assert asked_again_at(case, NIGHT) == NIGHT + timedelta(hours=5)
    snooze = Snooze(membership=membership(people[0]), until=NIGHT + timedelta(hours=21))
    snooze.save()
    Membership.objects.exclude(user=people[0]).delete()
    again = asked_again_at(case, NIGHT)
    assert again == NIGHT + timedelta(hours=29), "it would end at 23:00, in the next night"


def test_not_now_passes_it_on(home: Site, people: list[User], camera: DeviceToken) -> None:
    case, sent = (make_case(home, HARMLESS, camera=one) for one in (camera, None))
    asking.ask_next(case=case)
    client = client_of(people[0])
    page = client.get(reverse("case", args=[case.pk])).content.decode()
    assert 'name="back" value="household"' in page
    posted = {"camera": camera.pk, "hours": "1", "back": "household"}
    answer = client.post(reverse("snooze"), posted)
    assert answer.headers["Location"] == reverse("household")
    assert asked(case) == ["ada", "ben"]
    assert asked(sent) == []
    Membership.objects.exclude(user=people[0]).delete()
    asking.snooze(membership=membership(people[0]), camera=None, hours=1)
    grave = make_case(home, GRAVE)
    asking.ask_next(case=grave)
    asking.snooze(membership=membership(people[0]), camera=None, hours=1)
    assert asked(grave) == ["ada"], "it passes a snooze, and ada is still asked"


def test_who_snoozes_is_not_shown_as_asked(
    home: Site, people: list[User], camera: DeviceToken
) -> None:
    Membership.objects.exclude(user=people[0]).delete()
    case = make_case(home, HARMLESS, camera=camera)
    asking.ask_next(case=case)
    assert household_page(site=home, user=people[0]).rows[0].me
    asking.snooze(membership=membership(people[0]), camera=camera, hours=1)
    assert not household_page(site=home, user=people[0]).rows[0].me


# The answer ------------------------------------------------------------------------------------


def test_the_first_answer_settles_it_for_all(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    reviews.answer_at_home(case=case, user=people[1], label="pet")
    case.refresh_from_db()
    assert (case.status, case.label) == (CaseStatus.RESOLVED, "pet")
    with pytest.raises(Conflict, match="ben has answered already"):
        reviews.answer_at_home(case=case, user=people[0], label="fall")
    page = client_of(people[0]).get(reverse("case", args=[case.pk])).content.decode()
    assert "ben has answered" in page
    assert Review.objects.count() == 1


def test_a_second_tap_counts_once(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    client, address = client_of(people[0]), reverse("answer", args=[case.pk])
    for _ in range(2):
        assert client.post(address, {"label": "pet"}).status_code == 302
    assert Review.objects.count() == 1


def test_nobodys_hold_is_in_the_way_of_an_answer(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    queue.claim(case=case, user=people[0])
    reviews.answer_at_home(case=case, user=people[1], label="pet")
    assert queue.held_lease(site=home, user=people[0]) is None
    assert Case.objects.get(pk=case.pk).label == "pet"


def test_in_a_clinic_nobody_answers_without_a_hold(cast: Cast) -> None:
    case = make_case(cast.clinic, ("Burns", "Burns", "Cut"))
    with pytest.raises(Conflict):
        reviews.answer_at_home(case=case, user=cast.clinician, label="Cut")
    assert not Review.objects.exists()


@pytest.mark.parametrize("label", ["", "Burns", "fall\x00x"])
def test_an_answer_that_is_none_changes_nothing(home: Site, people: list[User], label: str) -> None:
    case = make_case(home, HARMLESS)
    client_of(people[0]).post(reverse("answer", args=[case.pk]), {"label": label})
    case.refresh_from_db()
    assert case.status == CaseStatus.DEFERRED and not Review.objects.exists()


def test_an_answer_taken_back_is_asked_again(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    reviews.answer_at_home(case=case, user=people[0], label="pet")
    client_of(people[0]).post(reverse("undo", args=[case.pk]))
    case.refresh_from_db()
    assert (case.status, case.label) == (CaseStatus.DEFERRED, "")
    assert queue.held_lease(site=home, user=people[0]) is None


def test_the_question_names_what_the_machine_holds_but_not_of_an_audit(
    home: Site, people: list[User]
) -> None:
    question = question_of(make_case(home, GRAVE), people[0])
    assert question.held and question.held.id == "pet"
    assert question.text == "It looks like this: a pet. Is that so?"
    make_policy(home, audit_share=1.0)
    audit = make_case(home, ("fall", "fall", "fall"))
    assert audit.status == CaseStatus.AUDIT
    hidden = question_of(audit, people[0])
    assert (hidden.held, hidden.text) == (None, "Is everything all right?")
    assert {label.id for label in hidden.wrong} >= {"fall"}
    page = client_of(people[0]).get(reverse("case", args=[audit.pk])).content.decode()
    assert "It looks like this" not in page


def test_the_page_says_who_is_asked(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    asking.ask_next(case=case)
    [mine] = household_page(site=home, user=people[0]).rows
    [theirs] = household_page(site=home, user=people[1]).rows
    assert (mine.me, theirs.me, theirs.asked) == (True, False, "ada")
    assert "ada is asked now" in client_of(people[1]).get(reverse("household")).content.decode()


# What the answers changed ----------------------------------------------------------------------


def test_it_says_what_my_answers_changed(
    home: Site, people: list[User], camera: DeviceToken
) -> None:
    assert changes_by(home, people[0]) == []
    for person, count in zip(people[:2], (3, 2), strict=True):
        for _ in range(count):
            case = make_case(home, HARMLESS, camera=camera)
            reviews.answer_at_home(case=case, user=person, label="pet")
    assert changes_by(home, people[0]) == []
    policy = make_policy(home)
    Policy.objects.filter(pk=policy.pk).update(published_at=timezone.now())
    Learning.objects.filter(camera=camera).update(ended_at=timezone.now())
    said = [change.sentence for change in changes_by(home, people[0])]
    assert sorted(said) == [
        "3 answers of yours changed when you are asked.",
        "3 answers of yours showed that hall may now judge sure pictures by itself.",
    ]
    assert changes_by(home, people[2]) == []


def test_an_answer_taken_back_has_changed_nothing(home: Site, people: list[User]) -> None:
    for _ in range(2):
        case = make_case(home, HARMLESS)
        reviews.answer_at_home(case=case, user=people[0], label="pet")
    reviews.undo_review(case=case, user=people[0])
    assert household_page(site=home, user=people[0]).answers == 1
    policy = make_policy(home)
    Policy.objects.filter(pk=policy.pk).update(published_at=timezone.now())
    [change] = changes_by(home, people[0])
    assert change.sentence == "1 answer of yours changed when you are asked."


def test_the_navigations_count_is_the_pages(home: Site, people: list[User]) -> None:
    cases = [make_case(home, HARMLESS) for _ in range(2)]
    client = client_of(people[0])

    def counts() -> tuple[int, bool, bool]:
        answer = client.get(reverse("household"))
        page, number = answer.content.decode(), answer.context["page"].waiting
        live = f'data-for="waiting-count" data-count="{number}"' in page
        nav = next(entry for entry in answer.context["nav"] if entry["count"] is not None)
        return number, live, nav["count"] == number

    assert counts() == (2, True, True)
    queue.claim(case=cases[0], user=people[1])
    assert counts() == (1, True, True)
    assert "held by ben" in client.get(reverse("household")).content.decode()
    reviews.answer_at_home(case=cases[1], user=people[0], label="pet")
    assert counts() == (0, True, True)
    asking.consent(site=home, person=people[0], purpose=Purpose.SHOW, given=False)
    assert counts() == (0, True, True)


# Consent, and who has looked -------------------------------------------------------------------


def test_without_consent_nothing_is_taken_in(home: Site, people: list[User]) -> None:
    client = client_of(people[0])
    client.post(reverse("consent"), {"purpose": "watch", "given": "no"})
    with pytest.raises(Refused, match="withdrawn consent"):
        intake.open_case(site=home, data=photo())
    assert not Case.objects.exists()
    client.post(reverse("consent"), {"purpose": "watch", "given": "yes"})
    assert intake.open_case(site=home, data=photo()).created
    assert [row.given for row in Consent.objects.order_by("pk")] == [False, True]


def test_without_consent_nothing_is_learned(home: Site, people: list[User]) -> None:
    asking.consent(site=home, person=people[0], purpose=Purpose.LEARN, given=False)
    with pytest.raises(Refused, match="consent"):
        calibration.refit(site=home, domain="home")
    asking.consent(site=home, person=people[0], purpose=Purpose.LEARN, given=True)
    with pytest.raises(Refused, match="expert labels"):
        calibration.refit(site=home, domain="home")


def test_one_homes_consent_is_not_anothers(home: Site, people: list[User], cast: Cast) -> None:
    client_of(people[0]).post(reverse("consent"), {"purpose": "everything", "given": "no"})
    assert not Consent.objects.exists()
    asking.consent(site=home, person=people[0], purpose=Purpose.WATCH, given=False)
    assert intake.open_case(site=cast.household, data=photo()).created


def test_the_household_sees_who_has_looked(home: Site, people: list[User], cast: Cast) -> None:
    case = intake.open_case(site=home, data=photo()).case
    for person in (people[0], people[0], people[1]):
        client_of(person).get(reverse("photo", args=[case.pk]))
    foreign = intake.open_case(site=cast.household, data=photo()).case
    client_of(cast.caregiver).get(reverse("photo", args=[foreign.pk]))
    assert sorted((row.who, row.pictures) for row in looks(home)) == [("ada", 1), ("ben", 1)]
    page = client_of(people[2]).get(reverse("privacy")).content.decode()
    assert '<th scope="row">ben' in page
    assert f'<th scope="row">{cast.caregiver.username}' not in page


def test_a_days_looks_are_those_of_the_homes_day(home: Site, people: list[User]) -> None:
    case = intake.open_case(site=home, data=photo()).case
    client_of(people[0]).get(reverse("photo", args=[case.pk]))
    late = datetime(2026, 1, 10, 23, 30, tzinfo=UTC)
    rewrite(AuditEvent.objects.filter(verb="photo seen"), created_at=late)
    home.time_zone = "Europe/Berlin"
    assert [row.day.isoformat() for row in looks(home)] == ["2026-01-11"]


# Nobody answers --------------------------------------------------------------------------------


def at(then: datetime) -> AbstractContextManager[object]:
    return patch("django.utils.timezone.now", return_value=then)


def told_once(home: Site, then: datetime) -> tuple[int, float]:
    """How many cases a sweep calls all about then, and what the alert would say."""
    with at(then):
        called = asking.call_where_nobody_answers()
    return called, float(len(unanswered(Home(home, then))))


def test_what_is_critical_and_nobody_answers_calls_all_once(home: Site, people: list[User]) -> None:
    case = make_case(home, GRAVE)
    asking.ask_next(case=case)
    asking.not_sure(case=case, user=people[0])
    asking.ask_next(case=case, now=later(case, 5))
    assert asked(case) == ["ada", "ben", "cleo"]
    assert told_once(home, later(case, 4)) == (0, 0), "cleo has five minutes"
    assert told_once(home, later(case, 5)) == (1, 1)
    asking.ask_next(case=case, now=later(case, 5))
    assert told_once(home, later(case, 500)) == (0, 1), "it stands, and calls nobody again"
    another = make_case(home, GRAVE)
    for person in people:
        asking.not_sure(case=another, user=person)
    assert told_once(home, later(case, 500)) == (1, 2), "another event is a call of its own"
    assert AuditEvent.objects.filter(verb=CALLED).count() == 2
    for one in (case, another):
        reviews.answer_at_home(case=one, user=people[1], label="fall")
    assert told_once(home, later(case, 500)) == (0, 0)


def test_where_much_is_critical_the_silence_of_all_calls_them_once(
    home: Site, people: list[User]
) -> None:
    """Each is asked of a case of their own: no single one is asked of everybody for a long time."""
    cases = [make_case(home, GRAVE) for _ in range(12)]
    for case in cases:
        asking.ask_next(case=case)
    assert sorted(name for case in cases for name in asked(case)) == ["ada", "ben", "cleo"]
    assert told_once(home, later(cases[2], 4)) == (0, 0)
    assert told_once(home, later(cases[2], 6)) == (1, 1)
    assert AuditEvent.objects.get(verb=CALLED).case == cases[0]
    assert told_once(home, later(cases[2], 7)) == (0, 1), "the alert stands, and nobody is woken"


def called_about(home: Site, count: int) -> tuple[list[Case], datetime]:
    """That many critical cases, asked about at once and answered by none of three people, so that
    all were called six minutes after; and when they were asked."""
    cases = [make_case(home, GRAVE) for _ in range(count)]
    for case in cases:
        asking.ask_next(case=case)
    began = later(cases[2], 0)
    assert told_once(home, began + timedelta(minutes=6)) == (1, 1)
    return cases, began


def test_after_a_call_what_comes_is_asked_about_before_the_next(
    home: Site, people: list[User]
) -> None:
    _cases, began = called_about(home, 3)
    with at(began + timedelta(minutes=7)):
        more = [make_case(home, GRAVE) for _ in range(3)]
    assert told_once(home, began + timedelta(minutes=7)) == (0, 1)
    for case in more:
        asking.ask_next(case=case, now=began + timedelta(minutes=8))
    assert told_once(home, began + timedelta(minutes=12)) == (0, 1)
    assert told_once(home, began + timedelta(minutes=13)) == (1, 2)


def test_after_an_answer_the_rest_of_a_series_can_be_called_about(
    home: Site, people: list[User]
) -> None:
    cases, began = called_about(home, 6)
    with at(began + timedelta(minutes=7)):
        reviews.answer_at_home(case=cases[0], user=people[0], label="fall")
    assert told_once(home, began + timedelta(minutes=7)) == (0, 0)
    for case in cases[3:]:
        asking.ask_next(case=case, now=began + timedelta(minutes=8))
    assert told_once(home, began + timedelta(minutes=13)) == (1, 1)
    last = AuditEvent.objects.filter(verb=CALLED).order_by("pk").last()
    assert last and last.case == cases[1]


def test_what_was_answered_and_taken_back_is_called_about_anew(
    home: Site, people: list[User]
) -> None:
    case = make_case(home, GRAVE)
    for person in people:
        asking.not_sure(case=case, user=person)
    assert told_once(home, timezone.now()) == (1, 1)
    reviews.answer_at_home(case=case, user=people[0], label="fall")
    reviews.undo_review(case=case, user=people[0])
    queue.release(lease=queue.lease_on(case=case, user=people[0]))
    seen = Home(home, timezone.now())
    assert seen.waiting == [case] and not seen.was_called(case)


def test_what_was_called_about_keeps_no_later_series_from_a_call(
    home: Site, people: list[User]
) -> None:
    left = make_case(home, GRAVE)
    for person in people:
        asking.not_sure(case=left, user=person)
    assert told_once(home, timezone.now()) == (1, 1)
    cases = [make_case(home, GRAVE) for _ in range(11)]
    for case in cases:
        asking.ask_next(case=case)
    assert told_once(home, later(cases[2], 6)) == (1, 2)
    assert {event.case for event in AuditEvent.objects.filter(verb=CALLED)} == {
        left,
        cases[0],
    }


def test_who_answers_is_there_for_what_was_asked_before(home: Site, people: list[User]) -> None:
    settled = make_case(home, GRAVE)
    reviews.answer_at_home(case=settled, user=people[0], label="fall")
    cases = [make_case(home, GRAVE) for _ in range(5)]
    for case in cases:
        asking.ask_next(case=case)
    assert told_once(home, later(cases[2], 4)) == (0, 0)
    assert Home(home, later(cases[2], 6)).silent == {one.pk for one in people}
    asking.not_sure(case=cases[4], user=people[1])
    assert Home(home, later(cases[2], 6)).silent == {one.pk for one in people}
    reviews.answer_at_home(case=cases[4], user=people[0], label="fall")
    assert Home(home, later(cases[2], 6)).silent == set()
    elsewhere = make_case(make_site(kind=SiteKind.HOUSEHOLD, domain="home"), GRAVE)
    assert Home(elsewhere.site, later(cases[2], 6)).silent == set()


def test_what_is_harmless_or_was_answered_calls_nobody(home: Site, people: list[User]) -> None:
    case = make_case(home, HARMLESS)
    for person in people:
        asking.not_sure(case=case, user=person)
    assert told_once(home, timezone.now() + timedelta(days=1)) == (0, 0)


def test_a_household_where_nobody_is_left_to_ask_is_told_of_too(home: Site) -> None:
    case = make_case(home, GRAVE)
    assert told_once(home, case.created_at + timedelta(minutes=4)) == (0, 0)
    assert told_once(home, case.created_at + timedelta(minutes=5)) == (1, 1)


def test_where_consent_has_ended_the_staff_has_it(home: Site, people: list[User]) -> None:
    case = make_case(home, GRAVE)
    for person in people:
        asking.not_sure(case=case, user=person)
    asking.consent(site=home, person=people[0], purpose=Purpose.SHOW, given=False)
    assert told_once(home, timezone.now()) == (0, 0)


def test_an_alert_stands_until_somebody_answers(home: Site, people: list[User]) -> None:
    case = make_case(home, GRAVE)
    for person in people:
        asking.not_sure(case=case, user=person)
    for _ in range(2):
        monitoring.check(site=home)
    alert = Alert.objects.get(kind=AlertKind.UNANSWERED)
    assert (alert.value, alert.ended_at) == (1, None)
    reviews.answer_at_home(case=case, user=people[1], label="fall")
    monitoring.check(site=home)
    assert Alert.objects.get(kind=AlertKind.UNANSWERED).ended_at
