"""Two people read a case without each other's answer; who reads blind sees the machine's after."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import make_case, make_policy, make_user, rewrite
from tests.triage.conftest import Cast
from tests.triage.test_access import OPEN_TO_ALL, named_routes, url_of
from triage.choices import CaseStatus, Outcome, PolicyStatus, RetakeReason, ReviewAction, Role
from triage.errors import Conflict, Refused
from triage.models import (
    AuditEvent,
    Case,
    Decision,
    Learning,
    Membership,
    Policy,
    Review,
    Site,
)
from triage.reasons import LEARNING, kinds
from triage.selectors.cases import case_page
from triage.selectors.experts import double_reading, expert_rows
from triage.selectors.queue import queue_page
from triage.services import queue, reviews, sites

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")
BLIND_WAIT = timedelta(hours=24 / 9)
# What only the ensemble has said, in every form in which a page or the API might give it away.
MACHINE = (
    "thinks Burns",
    "thinks Cut",
    "sees ",
    "67\u202f%",
    "0.666",
    "above_threshold",
    "less sure",
    "alpha",
)
EXPORTS = ("export", "api-export")
# These answer anybody who reads here, and these would tell of a case that is open to see.
MUST_ANSWER = {"queue", "cases", "case", "case-panel", "household", "at-work", "reliance"}
MUST_ANSWER |= {"ensemble", "compare-versions", "what-if", "policies", "policy", *EXPORTS}
MUST_ANSWER |= {"api-case", "api-cases", "api-at-work", "api-reliance", "api-ensemble"}
MUST_ANSWER |= {"api-compare-versions", "api-policies", "api-policy", "leases", "api-leases"}
TELL_WHEN_OPEN = {"queue", "cases", "case", "case-panel", "api-case", *EXPORTS}


def read_by(case: Case, user: object, label: str, comment: str = "") -> Review:
    lease = queue.claim(case=case, user=user)  # type: ignore[arg-type]
    case.refresh_from_db()
    review = reviews.submit_review(
        case=case,
        token=lease.token,
        user=user,  # type: ignore[arg-type]
        label=label,
        version=case.version,
        comment=comment,
    )
    case.refresh_from_db()
    return review


def client_of(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def everything(user: object, case: Case) -> dict[str, str]:
    """All bytes that a person gets by looking, of every page and all of the API, by route."""
    client = client_of(user)
    versions = list(Policy.objects.filter(site=case.site).order_by("pk"))
    asked = {"left": versions[0].version, "right": versions[-1].version}
    found = {}
    for route in sorted(set(named_routes()) - OPEN_TO_ALL):
        answer = client.get(url_of(route, case, versions[-1]), asked)
        found[route] = bytes(answer.getvalue()).decode(errors="replace")
        if route in MUST_ANSWER and case.site_id == user.memberships.get().site_id:  # type: ignore[attr-defined]
            assert answer.status_code == 200, route
    found["found by its label"] = client.get(reverse("cases"), {"q": "Burns"}).content.decode()
    return found


def told(seen: dict[str, str], case: Case, *, before: dict[str, str]) -> dict[str, list[str]]:
    """Which of the machine's words each answer holds that it did not hold without the case."""
    found = {}
    for route, text in seen.items():
        bare, known = _without_ids(text, case), before.get(route, "")
        words = [word for word in MACHINE if word in bare and word not in known]
        if route in EXPORTS and "Burns" in bare:
            words.append("Burns")
        if words:
            found[route] = words
    return found


@pytest.fixture
def twice(cast: Cast) -> Case:
    """A deferred case that two people read."""
    Site.objects.filter(pk=cast.clinic.pk).update(double_share=1.0)
    make_policy(cast.clinic)
    case = make_case(Site.objects.get(pk=cast.clinic.pk), SPLIT)
    assert (case.status, case.readings) == (CaseStatus.DEFERRED, 2)
    return case


@pytest.fixture
def blind(cast: Cast) -> Case:
    """A deferred case that is read before the machine's answer is seen."""
    Site.objects.filter(pk=cast.clinic.pk).update(blind_share=1.0)
    make_policy(cast.clinic)
    case = make_case(Site.objects.get(pk=cast.clinic.pk), SPLIT)
    assert case.status == CaseStatus.DEFERRED and case.blind
    return case


# Double reading --------------------------------------------------------------------------------


def test_two_who_agree_resolve_it(cast: Cast, twice: Case) -> None:
    read_by(twice, cast.clinician, "Cut")
    assert (twice.status, twice.label) == (CaseStatus.DEFERRED, "")
    read_by(twice, cast.colleague, "Cut")
    assert (twice.status, twice.label) == (CaseStatus.RESOLVED, "Cut")


def test_two_who_differ_are_settled_by_a_third(cast: Cast, twice: Case) -> None:
    third = make_user(cast.clinic, Role.CLINICIAN)
    read_by(twice, cast.clinician, "Cut")
    read_by(twice, cast.colleague, "Burns")
    assert (twice.status, twice.label) == (CaseStatus.DISPUTED, "")
    for reader in (cast.clinician, cast.colleague):
        assert queue.claim_next(site=cast.clinic, user=reader) is None
        with pytest.raises(Conflict) as caught:
            queue.claim(case=twice, user=reader)
        assert caught.value.code == "read"
    lease = queue.claim_next(site=cast.clinic, user=third)
    assert lease and lease.case_id == twice.pk
    assert queue.release(lease=lease)
    twice.refresh_from_db()
    assert twice.status == CaseStatus.DISPUTED, "let go, it is as disputed as before"
    read_by(twice, third, "Bruises")
    assert (twice.status, twice.label) == (CaseStatus.RESOLVED, "Bruises")


def test_where_nobody_else_is_there_a_reader_settles_the_dispute(cast: Cast, twice: Case) -> None:
    read_by(twice, cast.clinician, "Cut")
    read_by(twice, cast.colleague, "Burns")
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease and lease.case_id == twice.pk
    read_by(twice, cast.clinician, "Cut")
    assert (twice.status, twice.label) == (CaseStatus.RESOLVED, "Cut")
    found = double_reading(cast.clinic).agreement
    assert found and (found.cases, found.same) == (1, 0.0), "the dispute stays a disagreement"


def test_nobody_reads_a_case_twice(cast: Cast, twice: Case) -> None:
    read_by(twice, cast.clinician, "Cut")
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) is None
    with pytest.raises(Conflict):
        queue.claim(case=twice, user=cast.clinician)
    page = case_page(case=twice, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
    assert page.read and not page.can_claim
    lease = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert lease and lease.case_id == twice.pk


def test_the_first_answer_is_hidden_from_the_second_reader(cast: Cast, twice: Case) -> None:
    read_by(twice, cast.clinician, "Laceration", "torn, not cut: XYZZY")
    queue.claim(case=twice, user=cast.colleague)
    twice.refresh_from_db()
    assert "XYZZY" not in "".join(everything(cast.colleague, twice).values())
    page = case_page(case=twice, user=cast.colleague, roles=frozenset({Role.CLINICIAN}))
    assert page.readings == [] and not page.disputed
    assert [line.detail for line in page.history if line.what == "read"] == [""]
    own = case_page(case=twice, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
    assert [reading.comment for reading in own.readings] == ["torn, not cut: XYZZY"]


def test_an_answer_taken_back_tells_the_colleague_nothing(cast: Cast, twice: Case) -> None:
    read_by(twice, cast.clinician, "Laceration", "XYZZY")
    lease = reviews.undo_review(case=twice, user=cast.clinician)
    queue.release(lease=lease)
    twice.refresh_from_db()
    assert twice.status == CaseStatus.DEFERRED
    events = AuditEvent.objects.filter(case=twice, verb="took back")
    assert [event.details for event in events] == [{}]
    again = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert again and again.case_id == twice.pk, "it is as unread as before"


def test_while_a_colleague_reads_nothing_is_taken_back(cast: Cast, twice: Case) -> None:
    read_by(twice, cast.clinician, "Cut")
    queue.claim(case=twice, user=cast.colleague)
    with pytest.raises(Conflict):
        reviews.undo_review(case=twice, user=cast.clinician)


def test_the_third_person_sees_both_readings_without_names(cast: Cast, twice: Case) -> None:
    third = make_user(cast.clinic, Role.CLINICIAN)
    for reader, name in ((cast.clinician, "ada.first"), (cast.colleague, "ben.second")):
        reader.username = name
        reader.save()
    read_by(twice, cast.clinician, "Cut", "a clean edge")
    read_by(twice, cast.colleague, "Burns", "blisters")
    queue.claim(case=twice, user=third)
    html = client_of(third).get(reverse("case", args=[twice.pk])).content.decode()
    assert "a clean edge" in html and "blisters" in html and "reading 1" in html
    colleagues = html.index('id="pass"'), html.index('id="retake"')  # who can be asked is named
    rest = html[: colleagues[0]] + html[colleagues[1] :]
    assert "ada.first" not in rest and "ben.second" not in rest
    assert rest.count("a reader") == 2
    read_by(twice, third, "Cut")
    html = client_of(third).get(reverse("case", args=[twice.pk])).content.decode()
    assert "ada.first" in html and "ben.second" in html, "once it is settled they are"


def test_the_queue_says_which_case_waits_for_a_colleague(cast: Cast, twice: Case) -> None:
    read_by(twice, cast.clinician, "Cut")
    said = "read by you: a colleague is next"
    assert said in client_of(cast.clinician).get(reverse("queue")).content.decode()
    assert said not in client_of(cast.colleague).get(reverse("queue")).content.decode()
    answer = client_of(cast.clinician).post(reverse("claim-next"), follow=True)
    assert "you have read them" in answer.content.decode()


def test_whoever_is_alone_reads_alone(cast: Cast, twice: Case) -> None:
    """A colleague who has left must not leave cases behind that nobody can finish."""
    Membership.objects.filter(user=cast.colleague).delete()
    read_by(twice, cast.clinician, "Cut")
    assert twice.status == CaseStatus.RESOLVED
    alone = make_case(Site.objects.get(pk=cast.clinic.pk), SPLIT)
    assert alone.readings == 1


def test_a_second_reading_whose_reader_has_left_comes_back_to_the_first(
    cast: Cast, twice: Case
) -> None:
    read_by(twice, cast.clinician, "Cut")
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) is None
    User.objects.filter(pk=cast.colleague.pk).update(is_active=False)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease and lease.case_id == twice.pk
    queue.release(lease=lease)
    read_by(twice, cast.clinician, "Cut")
    assert twice.status == CaseStatus.RESOLVED


def test_an_accepted_case_and_a_household_are_read_once(cast: Cast) -> None:
    for site in (cast.clinic, cast.household):
        Site.objects.filter(pk=site.pk).update(double_share=1.0, blind_share=1.0)
    make_user(cast.household, Role.CAREGIVER)
    make_policy(cast.clinic)
    accepted = make_case(Site.objects.get(pk=cast.clinic.pk))
    assert accepted.status == CaseStatus.ACCEPTED
    home = make_case(Site.objects.get(pk=cast.household.pk), ("fall", "pet", "pet"))
    for case in (accepted, home):
        assert (case.readings, case.blind) == (1, False)


def test_agreement_is_that_of_independent_readers(cast: Cast, twice: Case) -> None:
    make_user(cast.clinic, Role.CLINICIAN, "third")
    site = Site.objects.get(pk=cast.clinic.pk)
    read_by(twice, cast.clinician, "Cut")
    assert double_reading(site).agreement is None
    assert double_reading(site).open == 1
    read_by(twice, cast.colleague, "Burns")
    other = make_case(site, SPLIT)
    read_by(other, cast.colleague, "Burns")
    read_by(other, cast.clinician, "Burns")
    third = make_case(site, SPLIT)
    read_by(third, cast.colleague, "Cut")
    read_by(third, cast.clinician, "Cut")
    found = double_reading(site)
    assert found.agreement and found.agreement.cases == 3
    assert found.agreement.same == pytest.approx(2 / 3)
    # By hand: of 6 labels 3 are Cut and 3 Burns; observed 2/6, expected (36 - 18) / 30 = .6.
    assert found.agreement.alpha == pytest.approx(1 - (2 / 6) / 0.6)
    assert [(pair.names, pair.cases) for pair in found.pairs] == [(("clinician", "colleague"), 3)]
    assert found.pairs[0].kappa == pytest.approx(0.4)
    assert (found.open, found.disputed) == (0, 1)


def test_what_was_taken_back_counts_for_nobody(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    read_by(case, cast.clinician, "Cut")
    assert [(row.name, row.answers) for row in expert_rows(cast.clinic)] == [("clinician", 1)]
    queue.release(lease=reviews.undo_review(case=case, user=cast.clinician))
    read_by(case, cast.colleague, "Burns")
    assert [(row.name, row.answers) for row in expert_rows(cast.clinic)] == [("colleague", 1)]


# Blind first -----------------------------------------------------------------------------------


def test_before_the_first_answer_no_byte_tells_what_the_machine_said(cast: Cast) -> None:
    Site.objects.filter(pk=cast.clinic.pk).update(blind_share=1.0)
    site = Site.objects.get(pk=cast.clinic.pk)
    make_policy(site, status=PolicyStatus.RETIRED)
    make_policy(site)
    make_policy(cast.elsewhere)
    before = everything(cast.colleague, make_case(cast.elsewhere))
    case = make_case(site, SPLIT)
    assert case.status == CaseStatus.DEFERRED and case.blind
    queue.claim(case=case, user=cast.clinician)
    for reader in (cast.clinician, cast.colleague):
        seen = everything(reader, Case.objects.get(pk=case.pk))
        assert "the machine" in seen["case"]
        assert told(seen, case, before=before) == {}
    queue.release(lease=queue.held_lease(site=site, user=cast.clinician))  # type: ignore[arg-type]
    Case.objects.filter(pk=case.pk).update(blind=False)
    shown = told(everything(cast.colleague, Case.objects.get(pk=case.pk)), case, before=before)
    assert set().union(*shown.values()) == {*MACHINE, "Burns"}, (
        "the words that were looked for are those that an answer would show"
    )
    assert set(shown) >= TELL_WHEN_OPEN


@pytest.mark.parametrize("blind", [True, False])
def test_no_page_that_comes_as_the_answer_to_a_form_tells_it_either(
    cast: Cast, blind: bool
) -> None:
    """They are built from the lease's own case, not from one that was looked up for the page."""
    Site.objects.filter(pk=cast.clinic.pk).update(blind_share=1.0 if blind else 0.000001)
    site = Site.objects.get(pk=cast.clinic.pk)
    make_policy(site)
    cases = [make_case(site, SPLIT) for _ in range(2)]
    assert [case.blind for case in cases] == [blind] * 2
    client = client_of(cast.clinician)
    answers = {"claim-next": client.post(reverse("claim-next"))}
    lease = queue.held_lease(site=site, user=cast.clinician)
    assert lease
    address = reverse("review", args=[lease.case_id])
    sent = {"label": "Cut", "token": lease.token, "version": lease.case.version, "next": "1"}
    answers["refused"] = client.post(address, sent | {"version": 99})
    answers["review and next"] = client.post(address, sent)
    following = queue.held_lease(site=site, user=cast.clinician)
    assert following and following.case_id != lease.case_id
    skipped = client.post(reverse("skip", args=[following.case_id]), {"reason": "time"})
    answers["skip"] = skipped
    answers["claim by the API"] = client.post(reverse("api-claim-next"))
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        answers, 200
    ) | {"refused": 409}
    seen = {name: answer.content.decode() for name, answer in answers.items()}
    shown = {
        name: [word for word in ("thinks Burns", "alpha") if word in text]
        for name, text in seen.items()
        if name != "claim by the API"
    }
    assert shown == dict.fromkeys(shown, [] if blind else ["thinks Burns", "alpha"])
    assert "thinks" not in seen["claim by the API"]


def _without_ids(text: str, case: Case) -> str:
    for number in (str(case.pk), case.number, case.sha256):
        text = text.replace(number, "")
    return "".join(part for part in text.split('"') if len(part) != 64)


def test_after_the_answer_its_giver_sees_the_machine_and_may_think_again(
    cast: Cast, blind: Case
) -> None:
    first = read_by(blind, cast.clinician, "Cut")
    assert first.blind
    page = case_page(case=blind, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
    assert not page.blind and page.hypotheses and page.can_undo
    reviews.undo_review(case=blind, user=cast.clinician)
    second = read_by(blind, cast.clinician, "Burns")
    assert not second.blind
    kept = Review.objects.filter(case=blind, action=ReviewAction.ANSWER).order_by("pk")
    assert [(row.label, row.blind) for row in kept] == [("Cut", True), ("Burns", False)]


def test_a_blind_cases_place_in_the_queue_tells_nothing(cast: Cast, blind: Case) -> None:
    site = Site.objects.get(pk=cast.clinic.pk)
    harmless = make_case(site, ("Bruises", "Bruises", "Abrasions"))
    waits = [case.due_at - case.created_at for case in (blind, harmless) if case.due_at]
    assert waits == [BLIND_WAIT] * 2


def test_neither_does_that_of_one_that_only_learning_keeps_back(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=5.0)
    Learning.objects.filter(site=cast.clinic).delete()
    cases = [make_case(cast.clinic, (label,) * 3) for label in ("Burns", "Cut", "Bruises")]
    assert all(kinds(case.decisions.get().reasons) <= LEARNING for case in cases)
    assert {case.due_at - case.created_at for case in cases if case.due_at} == {BLIND_WAIT}


def test_a_first_reading_after_an_asked_for_photo_leaves_the_case_to_the_second(
    cast: Cast, twice: Case
) -> None:
    lease = queue.claim(case=twice, user=cast.clinician)
    twice.refresh_from_db()
    reviews.ask_again(
        case=twice,
        token=lease.token,
        user=cast.clinician,
        reason=RetakeReason.BLURRED,
        version=twice.version,
    )
    read_by(twice, cast.clinician, "Cut")
    assert twice.status == CaseStatus.DEFERRED
    found = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert found and found.case_id == twice.pk


def test_an_audit_stays_hidden_from_its_first_reader(cast: Cast) -> None:
    Site.objects.filter(pk=cast.clinic.pk).update(double_share=1.0)
    make_policy(cast.clinic, audit_share=1.0)
    case = make_case(Site.objects.get(pk=cast.clinic.pk))
    assert (case.status, case.readings) == (CaseStatus.AUDIT, 2)
    read_by(case, cast.clinician, "Cut")
    assert case.status == CaseStatus.AUDIT
    page = case_page(case=case, user=cast.clinician, roles=frozenset({Role.CLINICIAN}))
    assert page.blind and not page.hypotheses
    assert page.can_undo, "nothing was seen yet"
    read_by(case, cast.colleague, "Cut")
    decision = Decision.objects.get(case=case)
    assert decision.outcome == Outcome.ACCEPT and case.label == "Cut"
    page = case_page(case=case, user=cast.colleague, roles=frozenset({Role.CLINICIAN}))
    assert not page.blind and not page.can_undo


# Leaving a case --------------------------------------------------------------------------------


def test_what_is_skipped_comes_back_after_all_others(cast: Cast) -> None:
    first, second = make_case(cast.clinic, SPLIT), make_case(cast.clinic, SPLIT)
    lease = queue.claim(case=first, user=cast.clinician)
    queue.skip(lease=lease, reason="again")
    order = []
    for _ in range(2):
        found = queue.claim_next(site=cast.clinic, user=cast.clinician)
        assert found
        order.append(found.case_id)
        read_by(found.case, cast.clinician, "Cut")
    assert order == [second.pk, first.pk]
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) is None


def test_a_skip_needs_a_reason_and_a_hold(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = queue.claim(case=case, user=cast.clinician)
    with pytest.raises(Refused):
        queue.skip(lease=lease, reason="bored")
    assert queue.held_lease(site=cast.clinic, user=cast.clinician) == lease
    queue.release(lease=lease)
    with pytest.raises(Conflict):
        queue.skip(lease=lease, reason="time")
    assert not Review.objects.exists()


def test_a_colleague_asked_by_name_gets_it_first_and_others_at_last(cast: Cast) -> None:
    third = make_user(cast.clinic, Role.CLINICIAN)
    named = make_case(cast.clinic, SPLIT)
    lease = queue.claim(case=named, user=cast.clinician)
    urgent = make_case(cast.clinic, SPLIT)
    Case.objects.filter(pk=urgent.pk).update(waiting_due_at=timezone.now() - timedelta(days=1))
    queue.pass_on(lease=lease, to=cast.colleague.pk)
    found = queue.claim_next(site=cast.clinic, user=third)
    assert found and found.case_id == urgent.pk
    queue.release(lease=found)
    found = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert found and found.case_id == named.pk
    queue.release(lease=found)
    offered = [queue.claim_next(site=cast.clinic, user=third) for _ in range(2)]
    read_by(urgent, third, "Cut")
    offered.append(queue.claim_next(site=cast.clinic, user=third))
    assert [one.case_id for one in offered if one] == [urgent.pk, urgent.pk, named.pk]


def test_what_was_written_when_passing_on_goes_with_it(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = queue.claim(case=case, user=cast.clinician)
    queue.pass_on(lease=lease, comment="under the nail, I think", to=cast.colleague.pk)
    queue.claim(case=case, user=cast.colleague)
    page = client_of(cast.colleague).get(reverse("case", args=[case.pk])).content.decode()
    assert "clinician passed it on:" in page and "under the nail, I think" in page


@pytest.mark.parametrize("who", ["administrator", "caregiver", "outsider", "clinician"])
def test_it_is_passed_on_only_to_colleagues(cast: Cast, who: str) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = queue.claim(case=case, user=cast.clinician)
    with pytest.raises(Refused):
        queue.pass_on(lease=lease, to=getattr(cast, who).pk)
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW and case.wanted is None


# Settings, and the page that shows them --------------------------------------------------------


def test_an_administrator_sets_the_shares(cast: Cast) -> None:
    client = client_of(cast.administrator)
    client.post(reverse("readings"), {"blind": "12.5", "double": "20"})
    site = Site.objects.get(pk=cast.clinic.pk)
    assert (site.blind_share, site.double_share) == (0.125, 0.2)
    assert AuditEvent.objects.get(verb="set readings").details == {"blind": 0.125, "double": 0.2}
    for bad in ({"blind": "101", "double": "0"}, {"blind": "", "double": "1"}, {"blind": "nan"}):
        client.post(reverse("readings"), bad)
        site.refresh_from_db()
        assert (site.blind_share, site.double_share) == (0.125, 0.2)
    assert 'value="12.5"' in client.get(reverse("policies")).content.decode()


def test_a_household_has_no_such_shares(cast: Cast) -> None:
    with pytest.raises(Refused):
        sites.set_readings(
            site=cast.household, actor=cast.administrator, blind_share=0.1, double_share=0.1
        )


def test_the_queue_tells_the_pace_and_when_a_break_is_due(cast: Cast) -> None:
    for _ in range(3):
        read_by(make_case(cast.clinic, SPLIT), cast.clinician, "Cut")
    make_case(cast.clinic, SPLIT)
    rewrite(Review.objects.all(), seconds=90.0)
    pace = queue_page(site=cast.clinic, user=cast.clinician).pace
    assert (pace.answered, pace.seconds, pace.minutes_left, pace.tired) == (3, 90.0, 2, False)
    assert queue_page(site=cast.clinic, user=cast.colleague).pace.seconds is None


@pytest.mark.parametrize(("share", "undo"), [(1.0, False), (0.000001, True)])
def test_undo_is_offered_only_where_it_can_be_done(cast: Cast, share: float, undo: bool) -> None:
    make_policy(cast.clinic, audit_share=share)
    case = make_case(cast.clinic, ("Burns",) * 3 if share == 1 else SPLIT)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    sent = {"token": lease.token, "version": case.version, "label": "Cut"}
    client = client_of(cast.clinician)
    page = client.post(reverse("review", args=[case.pk]), sent, follow=True).content.decode()
    head = page[: page.index("<main")]
    assert "Stored." in head
    assert (f'action="{reverse("undo", args=[case.pk])}"' in head) is undo
