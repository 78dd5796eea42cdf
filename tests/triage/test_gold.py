"""Gold cases: settled ones with a known answer, shown again, and nobody can tell."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from inference.models import Media, Observation
from tests.factories import SIGNATURE, make_case, make_policy, make_user, rewrite
from tests.triage.conftest import Cast
from triage import events
from triage.choices import CaseStatus, Purpose, RetakeReason, Role, SkipReason
from triage.errors import Conflict
from triage.events import seat_group, site_group
from triage.models import (
    AuditEvent,
    CareTeamMember,
    Case,
    Consent,
    Lease,
    Review,
    Site,
    Subject,
)
from triage.selectors.accounts import accounts, accounts_of
from triage.selectors.at_work import labels_given
from triage.selectors.chains import verify
from triage.selectors.checkup import look
from triage.selectors.ensemble import ensemble_page
from triage.selectors.evidence import gather, labels_of
from triage.selectors.experts import double_reading, expert_rows, reader_error, worst_reader
from triage.selectors.export import exported
from triage.selectors.gold import WAS_GOLD, candidates, gold_answers, gold_page, readers_for
from triage.selectors.learning import source_rows
from triage.selectors.operations import operations
from triage.selectors.policy_state import new_labels
from triage.selectors.queue import cases_page, queue_page
from triage.selectors.reliance import counted_at, own_reliance
from triage.selectors.retakes import retakes
from triage.selectors.retention import overdue, retention_page
from triage.selectors.rows import why_not_undo
from triage.selectors.service_levels import oldest_deferred, service_levels
from triage.selectors.teams import cases_for, lost_cases, waiting_for
from triage.selectors.weeks import over_time
from triage.selectors.what_if import measured_minutes, what_if
from triage.services import erasing, gold, queue, reviews, trials

pytestmark = pytest.mark.django_db
LABELS = ("Burns", "Cut", "Cut")


def answer(site: Site, user: User, label: str, case: Case | None = None) -> Case:
    """Claim the case, or the next one, and answer it."""
    lease = queue.claim(case=case, user=user) if case else queue.claim_next(site=site, user=user)
    assert lease is not None
    held = Case.objects.get(pk=lease.case_id)
    held.site = site
    reviews.submit_review(
        case=held, token=lease.token, user=user, label=label, version=held.version
    )
    held.refresh_from_db()
    return held


def read_by(site: Site, *labels: str, readings: int = 2, **made: Any) -> Case:
    """A case that as many people, made for it, have answered one after the other, an hour ago."""
    case = make_case(site, LABELS, described="a cut", disagreement=0.0, **made)
    Case.objects.filter(pk=case.pk).update(readings=readings)
    case.refresh_from_db()
    for label in labels:
        case = answer(site, make_user(site), label, case)
    assert case.status == CaseStatus.RESOLVED
    Case.objects.filter(pk=case.pk).update(resolved_at=timezone.now() - timedelta(hours=1))
    case.refresh_from_db()
    return case


def is_candidate(case: Case) -> bool:
    return case in candidates(case.site)


@pytest.fixture
def clinic(cast: Cast) -> Site:
    make_policy(cast.clinic, threshold=0.001)
    return cast.clinic


@pytest.fixture
def source(clinic: Site) -> Case:
    case = read_by(clinic, "Cut", "Cut")
    Case.objects.filter(pk=case.pk).update(
        subject=Subject.objects.create(site=clinic, pseudonym="P-17")
    )
    case.refresh_from_db()
    return case


@pytest.fixture
def again(cast: Cast, source: Case) -> Case:
    """What was settled as Cut, in the queues of all who do not know it."""
    case = gold.put_again(site=cast.clinic, reader=cast.clinician)
    assert case is not None
    assert case.repeats == source
    return case


# What is known ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "readings", "known"),
    [
        (("Cut", "Cut"), 2, True),
        (("Cut", "Burns", "Cut"), 2, True),
        (("Cut", "Burns", "Bruises"), 2, True),
        (("Cut",), 1, False),
    ],
    ids=["two agree", "a third agrees with one", "a third settles it", "one has read it"],
)
def test_what_is_beyond_doubt(
    clinic: Site, labels: tuple[str, ...], readings: int, known: bool
) -> None:
    assert is_candidate(read_by(clinic, *labels, readings=readings)) == known


def test_what_can_still_be_taken_back_is_not_shown_again(clinic: Site, settings: Any) -> None:
    case = read_by(clinic, "Cut", "Cut")
    rewrite(Review.objects.filter(case=case), created_at=case.resolved_at)
    last = case.reviews.order_by("pk").last()
    assert last
    for minutes, settled in ((61, False), (59, True)):
        settings.ALARM_UNDO_MINUTES = minutes
        assert is_candidate(case) == bool(why_not_undo(case, last)) == settled


def test_what_waits_for_somebody_is_what_they_see_of_what_waits(
    cast: Cast, again: Case, source: Case
) -> None:
    make_case(cast.clinic, LABELS)
    held = make_case(cast.clinic, LABELS)
    queue.claim(case=held, user=cast.colleague)
    people = (cast.clinician, cast.colleague, make_user(cast.clinic), cast.outsider)
    for late in (False, True):
        for by_team in (False, True):
            cast.clinic.by_team = by_team
            for one in people:
                seen = cases_for(cast.clinic, one).filter(waiting_due_at__isnull=False)
                assert set(waiting_for(cast.clinic, one)) == set(seen)
        assert (again in set(waiting_for(cast.clinic, cast.clinician))) is not late
        week_ago = timezone.now() - timedelta(days=8)
        Case.objects.filter(pk=again.pk).update(created_at=week_ago)


def test_an_administrator_has_the_last_word(cast: Cast, clinic: Site) -> None:
    two, one = read_by(clinic, "Cut", "Cut"), read_by(clinic, "Cut", readings=1)
    gold.mark(case=two, actor=cast.administrator, known=False)
    gold.mark(case=one, actor=cast.administrator, known=True)
    assert candidates(clinic) == [one]
    with pytest.raises(Conflict, match="already"):
        gold.mark(case=one, actor=cast.administrator, known=True)
    with pytest.raises(Conflict, match="settled"):
        gold.mark(case=make_case(clinic, LABELS), actor=cast.administrator, known=True)
    assert [event.verb for event in one.events.all()][-1] == "marked as known"


def test_who_settles_their_own_dispute_makes_nothing_known(clinic: Site) -> None:
    case = read_by(clinic, "Cut", "Burns", "Cut")
    first, _second, third = case.reviews.order_by("pk")
    rewrite(Review.objects.filter(pk=third.pk), reviewer=first.reviewer)
    assert not is_candidate(case)


def test_what_is_erased_withdrawn_or_decided_otherwise_is_shown_to_nobody(
    cast: Cast, clinic: Site, source: Case
) -> None:
    assert is_candidate(source)
    make_case(clinic, ("Burns", "Burns", "Burns"))  # decided as it was: changes nothing
    assert is_candidate(source)
    consent = Consent.objects.create(site=clinic, purpose=Purpose.LEARN, given=False)
    assert not is_candidate(source)
    rewrite(Consent.objects.filter(pk=consent.pk), given=True)
    assert is_candidate(source)
    erasing.erase_case(case=source, actor=cast.administrator, reason="asked for")
    assert not is_candidate(source)


def test_under_another_policy_it_would_not_look_new(clinic: Site, source: Case) -> None:
    clinic.policies.update(status="retired")
    make_policy(clinic, threshold=0.001)
    assert is_candidate(source)
    make_case(clinic, LABELS)
    assert not is_candidate(source)


def test_at_home_nothing_is_shown_again(cast: Cast) -> None:
    make_policy(cast.household, threshold=0.001)
    case = make_case(cast.household, ("fall", "no_fall", "fall"))
    Case.objects.filter(pk=case.pk).update(
        status=CaseStatus.RESOLVED, waiting_due_at=None, label="fall", known=True
    )
    assert candidates(cast.household) == []
    assert gold.put_again(site=cast.household, reader=cast.caregiver) is None


def test_it_is_for_those_who_have_never_read_sent_or_opened_it(cast: Cast, source: Case) -> None:
    both = {cast.clinician.pk, cast.colleague.pk}
    assert readers_for(source) == both
    client = Client()
    client.force_login(cast.clinician)
    client.get(reverse("thumbnail", args=[source.pk]))
    assert readers_for(source) == both, "a glance at a list is no look"
    client.get(reverse("photo", args=[source.pk]))
    assert readers_for(source) == {cast.colleague.pk}
    Case.objects.filter(pk=source.pk).update(opened_by=cast.colleague)
    source.refresh_from_db()
    source.site = cast.clinic
    assert readers_for(source) == set()
    assert gold.put_again(site=cast.clinic, reader=cast.colleague) is None


def test_nobody_meets_the_same_twice(cast: Cast, again: Case, source: Case) -> None:
    assert gold.put_again(site=cast.clinic, reader=cast.clinician) is None, "it is there already"
    answer(cast.clinic, cast.clinician, "Cut", again)
    assert gold.put_again(site=cast.clinic, reader=cast.clinician) is None
    second = gold.put_again(site=cast.clinic, reader=cast.colleague)
    assert second is not None
    assert set(second.gold.readers.all()) == {cast.colleague}


# How it comes into the queue ----------------------------------------------------------------------


def copies(site: Site) -> int:
    return Case.objects.filter(site=site, repeats__isnull=False).count()


def test_it_joins_the_queue_when_another_case_is_taken(cast: Cast, source: Case) -> None:
    ordinary = make_case(cast.clinic, LABELS)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician, gold_share=1)
    assert lease is not None
    assert lease.case_id == ordinary.pk
    assert copies(cast.clinic) == 1
    queue.claim_next(site=cast.clinic, user=cast.clinician, gold_share=1)  # the one they hold
    assert copies(cast.clinic) == 1
    queue.release(lease=lease)
    found = {row.case.repeats for row in queue_page(site=cast.clinic, user=cast.clinician).rows}
    assert found == {None, source}


def test_whoever_finds_nothing_is_given_nothing(cast: Cast, source: Case) -> None:
    assert queue.claim_next(site=cast.clinic, user=cast.clinician, gold_share=1) is None
    assert copies(cast.clinic) == 0


def test_whatever_goes_wrong_the_case_is_taken(
    cast: Cast, source: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(cast.clinic, LABELS)
    monkeypatch.setattr(gold, "repeat_observation", lambda _seen: 1 / 0)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician, gold_share=1)
    assert lease is not None
    assert lease.case_id == case.pk
    assert copies(cast.clinic) == 0


@pytest.mark.parametrize(("share", "joined"), [(0.0, 0), (0.5, 1)])
def test_the_setting_says_how_often(
    cast: Cast, source: Case, monkeypatch: pytest.MonkeyPatch, share: float, joined: int
) -> None:
    make_case(cast.clinic, LABELS)
    monkeypatch.setattr(gold._chance, "random", lambda: 0.499)
    with override_settings(ALARM_GOLD_SHARE=share):
        queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert copies(cast.clinic) == joined


def test_whether_it_is_read_blind_is_drawn_as_for_any(
    cast: Cast, source: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.clinic.blind_share = 0.5
    cast.clinic.save()
    monkeypatch.setattr(gold._chance, "random", lambda: 0.499)
    case = gold.put_again(site=cast.clinic, reader=cast.clinician)
    assert case is not None
    assert case.blind


# Nobody can tell ----------------------------------------------------------------------------------

CHANGES = (
    (re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"), "ID"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "NUMBER"),
    (re.compile(r'name="csrfmiddlewaretoken" value="\w+"'), "CSRF"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)?"), "TIME"),
    (re.compile(r"<time[^>]*>[^<]*</time>"), "TIME"),
    (re.compile(r'data-left="\d+"'), "LEFT"),
    (re.compile(r'<meta name="csrf-token" content="\w+"'), "CSRF"),
)


def same_words(text: str) -> str:
    """Without what differs between any two cases: ids, numbers, times, tokens of forms."""
    for pattern, word in CHANGES:
        text = pattern.sub(word, text)
    return text


def row_of(text: str, case: Case) -> str:
    """The row of a case in a list."""
    rows = re.findall(r'<li class="row">.*?</li>', text, re.S)
    [row] = [one for one in rows if case.number in one]
    return same_words(row)


def told_of(case: Case, client: Client) -> dict[str, str]:
    """All that one case's reader is told of it, by page and by API."""
    listed = client.get(reverse("api-cases")).json()["results"]
    rows = list(csv.reader(io.StringIO(sent(client, "export"))))
    held = client.get(reverse("api-leases")).json()
    said = {
        "page": client.get(reverse("case", args=[case.pk])).text,
        "panel": client.get(reverse("case-panel", args=[case.pk])).text,
        "api": client.get(reverse("api-case", args=[case.pk])).text,
        "in the list by API": json.dumps([one for one in listed if one["id"] == str(case.pk)]),
        "in the export": json.dumps([row for row in rows if row[0] == str(case.pk)]),
        "in the holds": json.dumps([one["holder"] for one in held if one["case"] == str(case.pk)]),
        "headers": str(sorted(client.get(reverse("case", args=[case.pk])).headers.items())),
    }
    found = {name: same_words(text) for name, text in said.items()}
    found["in the list"] = row_of(client.get(reverse("cases")).text, case)
    found["found by number"] = row_of(client.get(reverse("cases"), {"q": case.number}).text, case)
    if case.status == CaseStatus.DEFERRED:
        found["in the queue"] = row_of(client.get(reverse("queue")).text, case)
    return found


def sent(client: Client, route: str) -> str:
    return b"".join(client.get(reverse(route)).streaming_content).decode()  # type: ignore[attr-defined]


@pytest.fixture
def reader(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.clinician)
    return client


def each_step(cast: Cast, case: Case, client: Client) -> Iterator[dict[str, str]]:
    """What is told of a case while it waits, is held, is begun, and is answered."""
    yield told_of(case, client)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    yield told_of(case, client)
    reviews.keep_draft(case=case, user=cast.clinician, label="Burns", comment="red")
    yield told_of(case, client)
    reviews.submit_review(
        case=case,
        token=lease.token,
        user=cast.clinician,
        label="Burns",
        version=case.version,
        comment="red",
    )
    case.refresh_from_db()
    yield told_of(case, client)


@pytest.mark.parametrize("blind", [False, True], ids=["in view", "blind"])
def test_page_and_api_of_a_gold_case_are_those_of_any(
    cast: Cast, again: Case, reader: Client, blind: bool
) -> None:
    ordinary = make_case(cast.clinic, LABELS, described="a cut", disagreement=0.0)
    Case.objects.filter(pk__in=(ordinary.pk, again.pk)).update(
        blind=blind, opened_by=None, due_at=timezone.now(), waiting_due_at=timezone.now()
    )
    ordinary.refresh_from_db()
    again.refresh_from_db()
    of_any = list(each_step(cast, ordinary, reader))
    make_case(cast.clinic, LABELS)  # as many wait as before
    of_gold = list(each_step(cast, again, reader))
    for step, (one, other) in enumerate(zip(of_any, of_gold, strict=True)):
        if step == 3:  # answered: an export teaches, and what is known is not learned again
            assert one.pop("in the export") != other.pop("in the export")
        for name, text in one.items():
            assert other[name] == text, f"step {step}: {name}"


def test_the_comparison_sees_what_differs(cast: Cast, again: Case, reader: Client) -> None:
    """Against one that compares nothing."""
    ordinary = make_case(cast.clinic, LABELS, described="a cut", disagreement=0.0, subject="")
    Case.objects.filter(pk=ordinary.pk).update(
        subject=Subject.objects.create(site=cast.clinic, pseudonym="P-18")
    )
    ordinary.refresh_from_db()
    one, other = told_of(ordinary, reader), told_of(again, reader)
    assert {name for name, text in one.items() if other[name] != text} >= {
        "page",
        "api",
        "in the list",
        "in the queue",
        "in the list by API",
        "in the export",
    }


def test_the_row_is_that_of_one_that_was_opened_and_decided(cast: Cast, again: Case) -> None:
    ordinary = make_case(cast.clinic, LABELS)
    told = ("status", "version", "label", "readings", "wanted", "camera", "resolved_at", "domain")
    assert [getattr(ordinary, name) for name in told] == [getattr(again, name) for name in told]
    assert again.created_at - timezone.now() < timedelta(minutes=1)
    assert again.due_at is not None
    assert ordinary.due_at is not None
    off = (again.due_at - again.created_at) - (ordinary.due_at - ordinary.created_at)
    assert abs(off) < timedelta(seconds=1)


def test_its_history_is_told_with_its_own_dates(cast: Cast, source: Case, reader: Client) -> None:
    AuditEvent.objects.filter(case=source)
    case = gold.put_again(site=cast.clinic, reader=cast.clinician)
    assert case is not None
    answer(cast.clinic, cast.clinician, "Cut", case)
    case = Case.objects.get(pk=case.pk)
    case.site = cast.clinic
    from triage.selectors.cases import case_page

    page = case_page(case=case, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
    assert [line.what for line in page.history] == ["decided", "resolved"]
    assert min(line.when for line in page.history) >= case.created_at
    assert page.decision is not None
    assert page.decision.decided_at == case.created_at
    assert page.earlier == []
    assert [one.title for one in page.readings] == ["Cut"]
    assert {one.who for one in page.readings} == {cast.clinician.username}


def found_by(client: Client, **asked: str) -> str:
    return client.get(reverse("cases"), asked).text


def test_it_is_not_found_resolved_under_another_number(
    cast: Cast, again: Case, source: Case, reader: Client
) -> None:
    everywhere: list[Callable[[], str]] = [
        lambda: found_by(reader),
        lambda: found_by(reader, q="P-17"),
        lambda: found_by(reader, q="Cut"),
        lambda: found_by(reader, q=source.number),
        lambda: found_by(reader, status="resolved"),
        lambda: reader.get(reverse("api-cases")).text,
    ]
    assert not any(str(source.pk) in one() for one in everywhere)
    answer(cast.clinic, cast.clinician, "Cut", again)
    assert all(str(source.pk) in one() for one in everywhere), "then it is there again"


def test_whoever_knows_it_does_not_see_it_again(cast: Cast, again: Case, source: Case) -> None:
    knows = source.reviews.earliest("pk").reviewer
    assert again not in cases_for(cast.clinic, knows)
    assert source in {row.case for row in cases_page(site=cast.clinic, user=knows).rows}
    client = Client()
    client.force_login(knows)
    for route in ("case", "photo", "api-case"):
        assert client.get(reverse(route, args=[again.pk])).status_code == 404
    assert queue.claim_next(site=cast.clinic, user=knows) is None


def test_once_somebody_has_answered_it_is_nobody_elses(cast: Cast, again: Case) -> None:
    assert again in cases_for(cast.clinic, cast.colleague)
    answer(cast.clinic, cast.clinician, "Burns", again)
    assert again in cases_for(cast.clinic, cast.clinician)
    assert again not in cases_for(cast.clinic, cast.colleague)


def test_of_another_team_it_is_shown_to_nobody(cast: Cast, again: Case, source: Case) -> None:
    cast.clinic.by_team = True
    cast.clinic.save()
    assert source.subject is not None
    CareTeamMember.objects.create(subject=source.subject, user=cast.colleague)
    assert again not in cases_for(cast.clinic, cast.clinician)
    assert again in cases_for(cast.clinic, cast.colleague)
    source.site = cast.clinic
    assert readers_for(source) == {cast.colleague.pk}
    assert not lost_cases(cast.clinic)


def test_counts_and_pace_go_on_as_with_any_case(cast: Cast, again: Case) -> None:
    """Answering it takes one off the queue and adds one to the day, as answering any does."""
    page = queue_page(site=cast.clinic, user=cast.clinician)
    assert (page.waiting, page.held, page.pace.answered) == (1, 0, 0)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease is not None
    page = queue_page(site=cast.clinic, user=cast.clinician)
    assert (page.waiting, page.held) == (0, 1)
    assert page.mine is not None
    answer(cast.clinic, cast.clinician, "Cut", again)
    page = queue_page(site=cast.clinic, user=cast.clinician)
    assert (page.waiting, page.held, page.pace.answered) == (0, 0, 1)
    assert page.pace.seconds is not None


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    monkeypatch.setattr(events, "_tell", lambda group, message: told.append((group, message)))
    return told


def test_only_its_readers_pages_hear_of_it_and_as_of_any(
    cast: Cast,
    source: Case,
    messages: list[tuple[str, Any]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    ordinary = make_case(cast.clinic, LABELS)
    with django_capture_on_commit_callbacks(execute=True):
        lease = queue.claim(case=ordinary, user=cast.clinician)
    [(group, said)] = messages
    assert group == site_group(cast.clinic.pk)
    queue.release(lease=lease)
    messages.clear()
    with django_capture_on_commit_callbacks(execute=True):
        again = gold.put_again(site=cast.clinic, reader=cast.clinician)
    assert again is not None
    readers = {seat_group(cast.clinic.pk, one.pk) for one in (cast.clinician, cast.colleague)}
    assert {group for group, _said in messages} == readers
    assert all(one == {**said, "id": str(again.pk)} for _group, one in messages)


# What can be done with it -------------------------------------------------------------------------


def test_it_is_passed_on_skipped_let_go_and_taken_back_as_any(cast: Cast, again: Case) -> None:
    def taken(user: User) -> Lease:
        lease = queue.claim_next(site=cast.clinic, user=user)
        assert lease is not None
        assert lease.case_id == again.pk
        return lease

    queue.release(lease=taken(cast.clinician))
    queue.extend(lease=(lease := taken(cast.clinician)))
    queue.skip(lease=lease, reason=SkipReason.TIME)
    queue.pass_on(lease=taken(cast.clinician), to=cast.colleague.pk)
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) is None
    Lease.objects.filter(pk=taken(cast.colleague).pk).update(
        taken_at=timezone.now() - timedelta(hours=2), expires_at=timezone.now()
    )
    assert queue.end_expired_leases() == 1
    answer(cast.clinic, cast.colleague, "Burns", again)
    again.refresh_from_db()
    again.site = cast.clinic
    lease = reviews.undo_review(case=again, user=cast.colleague)
    assert gold_answers(cast.clinic) == []
    queue.release(lease=lease)
    answer(cast.clinic, cast.colleague, "Cut", again)
    assert [one.said for one in gold_answers(cast.clinic)] == ["Cut"]


def test_a_new_photo_can_be_asked_for_and_nobody_else_hears_of_it(cast: Cast, again: Case) -> None:
    lease = queue.claim(case=again, user=cast.clinician)
    again.refresh_from_db()
    reviews.ask_again(
        case=again,
        token=lease.token,
        user=cast.clinician,
        reason=RetakeReason.DARK,
        version=again.version,
    )
    assert again in cases_for(cast.clinic, cast.clinician)
    assert again not in cases_for(cast.clinic, cast.colleague)
    assert oldest_deferred(cast.clinic, timezone.now()) is None
    assert gold_answers(cast.clinic) == []
    Case.objects.filter(pk=again.pk).update(opened_by=None)
    assert retakes(cast.clinic, cast.clinician) == [], "nobody photographs for nothing"


def test_one_that_nobody_takes_is_gone_after_a_week(cast: Cast, again: Case, source: Case) -> None:
    queue.skip(lease=queue.claim(case=again, user=cast.clinician), reason=SkipReason.TIME)
    assert again in cases_for(cast.clinic, cast.clinician)
    Case.objects.filter(pk=again.pk).update(created_at=timezone.now() - timedelta(days=8))
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) is None
    assert again not in cases_for(cast.clinic, cast.clinician)
    assert source in {row.case for row in cases_page(site=cast.clinic, user=cast.clinician).rows}
    assert gold.put_again(site=cast.clinic, reader=cast.colleague) is not None


# What it counts for -------------------------------------------------------------------------------


def estimates(site: Site, user: User) -> dict[str, Any]:
    """All that is estimated, counted or learned at a site."""
    found = gather(site=site, domain=site.domain, ensemble=SIGNATURE)
    assert found is not None
    arrays = ("labelled", "truth", "wrong", "probability", "trusted", "experts", "influence")
    now = timezone.now()
    return {
        "evidence": [getattr(found, name).tolist() for name in arrays],
        "texts": found.answers.descriptions.tobytes(),
        "labels": labels_of(site=site, domain=site.domain, ensemble=SIGNATURE),
        "new labels": new_labels(site=site, domain=site.domain),
        "experts": expert_rows(site),
        "readings": double_reading(site),
        "reader's error": reader_error(site),
        "reliance": (counted_at(site), own_reliance(site=site, user=user)),
        "what if": what_if(site=site),
        "minutes": measured_minutes(site).tolist(),
        "service levels": service_levels(site, now),
        "weeks": over_time(site, now),
        "checkup": [one for one in vars(look(site, now)).items() if one[0] != "reader"],
        "sources": source_rows(site),
        "ensemble": ensemble_page(site=site),
        "labels given": labels_given(site),
        "retention": (retention_page(site).classes, list(overdue(site, "resolved"))),
        "accounts": (accounts(), accounts_of(site)),
        "operations": replace(operations(now), counted_s=0),
        "trial": trials._newest_resolved(site, 50),
        "lost": list(lost_cases(site)),
        "export": [one for one in exported(site, user) if one.label],
    }


def test_no_estimate_moves_by_a_bit(
    cast: Cast, source: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by(cast.clinic, "Cut", readings=1)
    cast.clinic.keep_resolved_days, cast.clinic.blind_share = 1, 1.0
    cast.clinic.save()
    now = timezone.now() + timedelta(days=3)
    monkeypatch.setattr(timezone, "now", lambda: now)
    before = estimates(cast.clinic, cast.clinician)
    case = gold.put_again(site=cast.clinic, reader=cast.clinician)
    assert case is not None
    assert repr(estimates(cast.clinic, cast.clinician)) == repr(before), "waiting"
    answer(cast.clinic, cast.clinician, "Burns", case)
    rewrite(Review.objects.filter(case=case), seconds=30.0)
    after = estimates(cast.clinic, cast.clinician)
    assert [name for name, one in before.items() if repr(after[name]) != repr(one)] == []
    assert worst_reader(cast.clinic) is not None, "and yet it was counted where it should be"


def test_the_books_balance_with_it(cast: Cast, again: Case) -> None:
    assert Observation.objects.count() == 2
    assert accounts().observations == 1
    assert accounts().balanced
    again.repeats = None
    again.save(update_fields=["repeats"])
    assert not accounts().balanced, "as a case of its own it would be one that nobody sent"


def test_what_is_answered_is_held_against_what_is_known(cast: Cast, again: Case) -> None:
    answer(cast.clinic, cast.clinician, "Burns", again)
    second = gold.put_again(site=cast.clinic, reader=cast.colleague)
    answer(cast.clinic, cast.colleague, "Cut", second)
    page = gold_page(cast.clinic, 0.02)
    assert [(row.name, row.answers, row.agreed) for row in page.readers] == [
        ("clinician", 1, 0),
        ("colleague", 1, 1),
    ]
    assert (page.known, page.waiting) == (1, 0)


def test_what_is_known_no_more_counts_no_more(cast: Cast, again: Case, source: Case) -> None:
    answer(cast.clinic, cast.clinician, "Burns", again)
    waiting = gold.put_again(site=cast.clinic, reader=cast.colleague)
    assert waiting is not None
    lease = queue.claim(case=waiting, user=cast.colleague)
    source.site = cast.clinic
    gold.mark(case=source, actor=cast.administrator, known=False)
    assert gold_answers(cast.clinic) == []
    assert waiting not in cases_for(cast.clinic, cast.colleague)
    lease.refresh_from_db()
    assert lease.ended_at is not None


def test_what_is_answered_while_it_is_withdrawn_stays_answered(
    cast: Cast, again: Case, source: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are in hand; while the first is withdrawn, the other one's holder answers."""
    Case.objects.filter(pk=again.pk).update(created_at=timezone.now() - timedelta(days=8))
    other = gold.put_again(site=cast.clinic, reader=cast.colleague)
    assert other is not None
    Case.objects.filter(pk=again.pk).update(created_at=timezone.now())
    leases = {
        case.pk: queue.claim(case=case, user=user)
        for case, user in ((again, cast.clinician), (other, cast.colleague))
    }
    answered: list[Case] = []

    def slowly(case: Case) -> None:
        if not answered:
            pk, lease = next(one for one in leases.items() if one[0] != case.pk)
            held = Case.objects.get(pk=pk)
            held.site = cast.clinic
            reviews.submit_review(
                case=held, token=lease.token, user=lease.holder, label="Cut", version=held.version
            )
            answered.append(held)
        withdraw(case)

    withdraw = gold.withdraw
    monkeypatch.setattr(gold, "withdraw", slowly)
    source.site = cast.clinic
    gold.mark(case=source, actor=cast.administrator, known=False)
    [held] = answered
    held.refresh_from_db()
    assert held.status == CaseStatus.RESOLVED
    assert held.label == "Cut"


def test_an_answer_that_its_own_readers_take_back_is_held_against_nobody(
    cast: Cast, again: Case, source: Case
) -> None:
    answer(cast.clinic, cast.clinician, "Burns", again)
    [counted] = gold_answers(cast.clinic)
    assert not counted.agrees
    Case.objects.filter(pk=source.pk).update(label="Burns")
    assert gold_answers(cast.clinic) == []


def test_the_alarm_about_somebodys_answers_hears_of_it(cast: Cast, clinic: Site) -> None:
    assert worst_reader(clinic) is None
    for _ in range(5):
        read_by(clinic, "Cut", "Cut")
    before = worst_reader(clinic)
    assert before is not None
    for _ in range(5):
        case = gold.put_again(site=clinic, reader=cast.clinician)
        answer(clinic, cast.clinician, "Burns", case)
    after = worst_reader(clinic)
    assert after is not None
    assert after > before + 0.2


# Afterwards ---------------------------------------------------------------------------------------


def test_the_history_says_what_it_was_and_its_reader_is_not_told(
    cast: Cast, again: Case, source: Case, reader: Client
) -> None:
    assert [event.verb for event in again.events.all()] == ["opened"]
    answer(cast.clinic, cast.clinician, "Burns", again)
    event = again.events.get(verb=WAS_GOLD)
    assert event.details == {"repeats": source.number, "known": "Cut", "agrees": False}
    assert "gold" not in reader.get(reverse("case", args=[again.pk])).text
    auditor = Client()
    auditor.force_login(cast.auditor)
    assert WAS_GOLD in auditor.get(reverse("audit")).text
    assert WAS_GOLD in auditor.get(reverse("audit-case", args=[again.pk])).text
    assert verify(site=cast.clinic).intact


def test_erasing_reaches_what_repeats_it(cast: Cast, again: Case, source: Case) -> None:
    answered = answer(cast.clinic, cast.clinician, "Burns", again)
    waiting = gold.put_again(site=cast.clinic, reader=cast.colleague)
    assert waiting is not None
    queue.claim(case=waiting, user=cast.colleague)
    erasing.erase_case(case=source, actor=cast.administrator, reason="asked for")
    for case in (source, answered, waiting):
        case.refresh_from_db()
        media = Media.objects.get(observation=case.observation_id)
        assert case.erased_at is not None
        assert not any((media.original, media.shown, media.thumbnail, media.clip))
    assert waiting not in cases_for(cast.clinic, cast.colleague)
    assert answered in cases_for(cast.clinic, cast.clinician)
    assert not Lease.objects.running().filter(case__site=cast.clinic).exists()


def test_a_hold_on_what_it_repeats_keeps_it(cast: Cast, again: Case, source: Case) -> None:
    answered = answer(cast.clinic, cast.clinician, "Burns", again)
    source.site = cast.clinic
    held = erasing.hold(target=source, actor=cast.administrator, reason="court")
    with pytest.raises(Conflict, match="hold"):
        erasing.erase_case(case=answered, actor=cast.administrator, reason="asked for")
    erasing.lift(held=held, actor=cast.administrator, reason="over")
    assert source.subject is not None
    erasing.hold(target=source.subject, actor=cast.administrator, reason="court")
    with pytest.raises(Conflict, match="hold"):
        erasing.erase_case(case=answered, actor=cast.administrator, reason="asked for")


def test_a_hold_on_what_repeats_it_keeps_both(cast: Cast, again: Case, source: Case) -> None:
    answered = answer(cast.clinic, cast.clinician, "Burns", again)
    erasing.set_retention(site=cast.clinic, actor=cast.administrator, days={"resolved": 1})
    Case.objects.filter(pk=source.pk).update(resolved_at=timezone.now() - timedelta(days=3))
    held = erasing.hold(target=answered, actor=cast.administrator, reason="court")
    assert not overdue(cast.clinic, "resolved").exists()
    assert erasing.retain() == 0
    with pytest.raises(Conflict, match="hold"):
        erasing.erase_case(case=source, actor=cast.administrator, reason="asked for")
    answered.refresh_from_db()
    assert answered.erased_at is None
    erasing.lift(held=held, actor=cast.administrator, reason="over")
    assert erasing.retain() == 1


# The administrators' page -------------------------------------------------------------------------


def test_an_administrator_marks_a_case_by_page_and_by_api(cast: Cast, clinic: Site) -> None:
    case = read_by(clinic, "Cut", readings=1)
    client = Client()
    client.force_login(cast.administrator)
    done = client.post(reverse("mark-gold"), {"number": case.number, "known": "yes"}, follow=True)
    assert f"Case {case.number} may be shown again." in done.text
    assert "beyond doubt" in done.text
    said = client.get(reverse("api-gold")).json()
    assert (said["known"], said["waiting"], said["readers"]) == (1, 0, [])
    assert said["marked"] == [{"case": case.number, "label": "Cut", "known": True}]
    asked = {"case": case.number, "known": False}
    said = client.post(reverse("api-gold"), asked, "application/json").json()
    assert said["known"] == 0
    refused = client.post(
        reverse("api-gold"), {"case": "00000000", "known": True}, "application/json"
    )
    assert refused.status_code == 422
    assert "by its number" in client.post(reverse("mark-gold"), {"number": ""}, follow=True).text


def test_another_sites_case_is_not_marked(cast: Cast) -> None:
    make_policy(cast.elsewhere, threshold=0.001)
    case = read_by(cast.elsewhere, "Cut", readings=1)
    client = Client()
    client.force_login(cast.administrator)
    asked = {"case": case.number, "known": True}
    assert client.post(reverse("api-gold"), asked, "application/json").status_code == 422
    case.refresh_from_db()
    assert case.known is None
