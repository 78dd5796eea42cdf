"""What another threshold would do, before it is proposed; and the draft that the dial becomes."""

import re
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from inference.models import Media
from tests.factories import make_camera, make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from triage.choices import Outcome, PolicyMode, PolicyStatus
from triage.errors import Refused
from triage.models import AuditEvent, Calibration, Case, Decision, Policy, Review
from triage.selectors import past
from triage.selectors.evidence import gather
from triage.selectors.promises import next_look
from triage.selectors.rules import rule_of
from triage.selectors.what_if import FEWEST, GroupRow, _people, what_if
from triage.services import calibration, policies, queue, reviews

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")


def answer(cast: Cast, case: Case, label: str) -> None:
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.submit_review(
        case=case, token=lease.token, user=cast.clinician, label=label, version=case.version
    )


@pytest.fixture
def history(cast: Cast) -> Cast:
    """15 sure cases that were accepted, 15 split ones: 10 answered, 3 of them otherwise."""
    make_policy(cast.clinic, threshold=0.2, audit_share=0.1)
    with patch("triage.services.decisions._drawn", return_value=False):
        for _ in range(15):
            make_case(cast.clinic, SURE)
    split = [make_case(cast.clinic, SPLIT) for _ in range(15)]
    for case in split[:10]:
        answer(cast, case, "Cut" if case in split[:3] else "Burns")
    return cast


def test_the_dial_stands_where_the_policy_in_force_is(history: Cast) -> None:
    page = what_if(site=history.clinic)
    assert page.n == 30 and page.method == "vote_entropy"
    assert page.then and page.now
    assert page.then.outlook.threshold == page.now.outlook.threshold == 0.2
    assert page.at == pytest.approx(0.5)


def test_accepting_all_would_accept_the_errors_that_experts_found(history: Cast) -> None:
    page = what_if(site=history.clinic, at=0.0)
    assert page.then is not None
    outlook = page.then.outlook
    assert outlook.accepted == 30 and outlook.error.audited == 10
    assert outlook.error.estimate == pytest.approx(0.3)
    assert outlook.error.low < 0.15 and outlook.error.high > 0.5


def test_the_work_follows_the_dial(history: Cast) -> None:
    all_of_it = what_if(site=history.clinic, at=1.0, people=1, hours=8)
    none = what_if(site=history.clinic, at=0.0, people=1, hours=8)
    assert all_of_it.then and none.then
    assert all_of_it.then.outlook.threshold is None
    assert all_of_it.then.workload.deferred == pytest.approx(30)
    assert all_of_it.then.workload.audits == 0
    assert none.then.workload.deferred == 0
    assert none.then.workload.audits == pytest.approx(3)
    assert all_of_it.then.workload.hours > none.then.workload.hours


def test_double_readings_are_part_of_the_work(history: Cast) -> None:
    before = what_if(site=history.clinic, at=1.0).then
    history.clinic.double_share = 0.5
    history.clinic.save()
    after = what_if(site=history.clinic, at=1.0).then
    assert before and after
    assert after.workload.hours == pytest.approx(1.5 * before.workload.hours)


def groups_of(history: Cast) -> dict[str, list[GroupRow]]:
    return {one.kind: one.rows for one in what_if(site=history.clinic, at=0.0).groups}


def test_groups_add_up_and_few_labels_are_said(history: Cast) -> None:
    camera = make_camera(history.clinic, "Door")
    make_case(history.clinic, ("Cut", "Cut", "Cut"), camera=camera)
    groups = groups_of(history)
    assert {row.name: row.outlook.cases for row in groups["label"]} == {"Burn": 30, "Cut": 1}
    assert {row.name: row.outlook.cases for row in groups["source"]} == {
        "sent by people": 30,
        "Door": 1,
    }
    assert all(row.few for row in groups["label"])


def test_clips_are_told_from_photos(history: Cast) -> None:
    clip = make_case(history.clinic, SPLIT)
    Media.objects.filter(observation=clip.observation).update(duration_s=4.0)
    found = {row.name: row.outlook.cases for row in groups_of(history)["medium"]}
    assert found == {"photos": 30, "clips": 1}


def test_a_group_is_named_in_the_language_of_each_reader(history: Cast) -> None:
    as_of = timezone.now()
    with override("de"):
        german = what_if(site=history.clinic, as_of=as_of).groups
    english = what_if(site=history.clinic, as_of=as_of).groups
    assert [one.title for one in german] == ["Beurteilung", "Quelle", "Foto oder Clip"]
    assert [one.title for one in english] == ["label", "source", "photo or clip"]
    assert german[1].rows[0].name != english[1].rows[0].name == "sent by people"
    assert [one.kind for one in german] == [one.kind for one in english]


def test_a_day_ends_at_the_sites_own_midnight(history: Cast) -> None:
    history.clinic.time_zone = "Pacific/Auckland"
    history.clinic.save()
    midnight = datetime(2026, 11, 22, 11, tzinfo=UTC)  # in Auckland
    reviews_there = Review.objects.filter(case__site=history.clinic)
    newest = reviews_there.order_by("-pk")[0]
    rewrite(reviews_there.exclude(pk=newest.pk), created_at=midnight - timedelta(minutes=30))
    rewrite(
        reviews_there.filter(pk=newest.pk),
        created_at=midnight + timedelta(minutes=30),
        reviewer=history.colleague,
    )
    assert _people(history.clinic, midnight + timedelta(hours=1)) == 1
    history.clinic.time_zone = "UTC"
    assert _people(history.clinic, midnight + timedelta(hours=1)) == 2


def test_what_another_version_decided_meanwhile_was_work_as_well(
    history: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Policy.objects.get(site=history.clinic)
    Policy.objects.update(status=PolicyStatus.RETIRED)
    make_policy(history.clinic, threshold=0.2)
    for _ in range(12):
        make_case(history.clinic, SPLIT)
    Policy.objects.update(status=PolicyStatus.RETIRED)
    Policy.objects.filter(pk=first.pk).update(status=PolicyStatus.ACTIVE)
    make_case(history.clinic, SPLIT)
    monkeypatch.setattr(past, "NEWEST", 5)
    past.past_cases.cache_clear()
    page = what_if(site=history.clinic, at=1.0)
    assert page.then is not None and page.n == 31, "scores are those of its own calibration"
    assert page.then.workload.cases == pytest.approx(43)
    assert page.then.workload.deferred == pytest.approx(43)
    past.past_cases.cache_clear()


def test_the_dial_begins_where_a_threshold_can_bring_it(history: Cast, client: Client) -> None:
    assert what_if(site=history.clinic).why_least == ""
    for _ in range(5):
        make_case(history.clinic, ("Burns", "Burns", None))
    history.clinic.learnings.create(domain="wound")
    for _ in range(2):
        make_case(history.clinic, SURE)
    page = what_if(site=history.clinic, at=0.0)
    assert page.least == pytest.approx(7 / 37) and page.dial_from == pytest.approx(0.185)
    assert page.held == {"incomplete": 5, "learning": 2}
    client.force_login(history.administrator)
    html = client.get(reverse("what-if")).content.decode()
    assert 'min="18.5"' in html and 'aria-describedby="at-least"' in html
    told = "2 while a camera or the site was learning, 5 without all answers"
    assert f"19% go to a person wherever the threshold is: {told}" in html
    said = client.get("/api/v1/policies/what-if?at=0").json()
    assert said["least"] == pytest.approx(7 / 37) and told in said["why_least"]


def test_what_came_later_is_not_in_the_picture(history: Cast) -> None:
    before = timezone.now()
    make_case(history.clinic, SPLIT)
    assert what_if(site=history.clinic, as_of=before).n == 30
    assert what_if(site=history.clinic).n == 31


def test_stored_scores_say_the_same_as_computed_ones(
    history: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_case(history.clinic, ("Burns", "Burns", None))
    for at in (0.0, 0.5, 0.8):
        computed = what_if(site=history.clinic, at=at)
        with monkeypatch.context() as few:
            few.setattr(past, "NEWEST", 5)
            few.setattr(past, "gather", None)
            past.past_cases.cache_clear()
            stored = what_if(site=history.clinic, at=at)
        assert computed.then and stored.then
        assert stored.n == computed.n == 31
        assert stored.held == computed.held == {"incomplete": 1}
        assert repr(stored.then.workload) == repr(computed.then.workload)
        assert repr(stored.groups) == repr(computed.groups)
        assert repr(stored.then.outlook) == repr(computed.then.outlook)
        assert stored.curve[1] == pytest.approx(computed.curve[1])
        past.past_cases.cache_clear()


def test_other_sites_are_not_in_the_picture(history: Cast) -> None:
    make_policy(history.elsewhere)
    page = what_if(site=history.elsewhere)
    assert (page.n, page.then) == (0, None)


def test_too_few_cases_say_so(cast: Cast, client: Client) -> None:
    make_policy(cast.clinic)
    make_case(cast.clinic, SURE)
    client.force_login(cast.administrator)
    page = client.get(reverse("what-if")).content.decode()
    assert f"at least {FEWEST} cases" in page and "there are 1" in page


def test_a_move_fetches_what_it_would_do(history: Cast, client: Client) -> None:
    client.force_login(history.administrator)
    whole = client.get(reverse("what-if")).content.decode()
    assert 'id="chart"' in whole and 'for="at">50\u202f%</output>' in whole
    fragment = client.get(reverse("what-if"), {"at": "0"}, headers={"HX-Request": "true"})
    said = fragment.content.decode()
    assert said.lstrip().startswith('<section id="outlook"')
    assert '<b class="tabular">30\u202f%</b>' in said, "wrong among the accepted"
    assert "0% of the cases go to a person; 100% are accepted" in said
    assert "too few to tell" in said


@pytest.mark.parametrize(
    "query", ["at=x", "at=-3", "people=0", "hours=nan", "method=none", "as_of=never", "at=nan"]
)
def test_a_question_that_cannot_be_read_is_answered_from_where_things_stand(
    history: Cast, client: Client, query: str
) -> None:
    client.force_login(history.administrator)
    answer = client.get(reverse("what-if") + "?" + query)
    assert answer.status_code == 200
    assert "50\u202f% of" in answer.content.decode() or "50% of" in answer.content.decode()


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
def test_the_ends_of_time_are_no_error(history: Cast, client: Client, as_of: str) -> None:
    client.force_login(history.administrator)
    assert client.get(reverse("what-if"), {"as_of": as_of}).status_code == 200
    assert client.get("/api/v1/policies/what-if", {"as_of": as_of}).status_code == 400


def test_the_dial_becomes_a_draft_with_its_flips(history: Cast, client: Client) -> None:
    client.force_login(history.administrator)
    threshold = what_if(site=history.clinic, at=0.0).then.outlook.threshold  # type: ignore[union-attr]
    page = client.get(reverse("what-if"), {"at": "0"}).content.decode()
    sent = dict(re.findall(r'name="(method|threshold|calibration)" value="([^"]*)"', page))
    assert sent["threshold"] == repr(threshold)
    answer = client.post(reverse("propose-at"), sent)
    draft = Policy.objects.get(status=PolicyStatus.DRAFT)
    assert answer.headers["Location"] == reverse("policy", args=[draft.pk])
    assert (draft.mode, draft.threshold) == (PolicyMode.BY_HAND, threshold)
    assert draft.replay["flip_count"] == 15
    page = client.get(reverse("policy", args=[draft.pk])).content.decode()
    assert "set by hand; no error rate is promised" in page


def test_what_the_dial_said_is_what_the_policy_does(history: Cast) -> None:
    asked = what_if(site=history.clinic, at=0.3)
    assert asked.then and asked.then.outlook.threshold is not None
    draft = calibration.propose_at(
        site=history.clinic,
        domain="wound",
        method=asked.method,
        threshold=asked.then.outlook.threshold,
        calibration=Calibration.objects.get().pk,
        actor=history.administrator,
    )
    evidence = gather(site=history.clinic, domain="wound", ensemble="0" * 64)
    assert evidence is not None
    rule = rule_of(draft, evidence)
    assert rule is not None
    assert rule.apply(evidence).accepted.sum() == asked.then.outlook.accepted
    history.clinic.two_person_rule = False
    history.clinic.save()
    policies.publish_policy(policy=Policy.objects.get(pk=draft.pk), actor=history.administrator)
    case = make_case(history.clinic, SPLIT)
    decided = Decision.objects.get(case=case)
    assert decided.policy_id == draft.pk
    accepts = asked.then.outlook.threshold >= (decided.score or 0)
    assert decided.outcome == (Outcome.ACCEPT if accepts else Outcome.DEFER)


def test_a_dial_that_was_set_on_another_calibration_is_set_anew(
    history: Cast, client: Client
) -> None:
    client.force_login(history.administrator)
    other = Calibration.objects.get().pk + 1
    sent = {"method": "vote_entropy", "threshold": "0.5", "calibration": str(other)}
    answer = client.post(reverse("propose-at"), sent, follow=True)
    assert "set the dial again" in answer.content.decode()
    assert not Policy.objects.filter(status=PolicyStatus.DRAFT).exists()


@pytest.mark.parametrize("threshold", ["", "nan", "inf", "x"])
def test_a_threshold_that_cannot_be_read_is_refused(
    history: Cast, client: Client, threshold: str
) -> None:
    client.force_login(history.administrator)
    sent = {"method": "vote_entropy", "threshold": threshold, "calibration": "1"}
    answer = client.post(reverse("propose-at"), sent, follow=True)
    assert "cannot be read" in answer.content.decode()
    assert not Policy.objects.filter(status=PolicyStatus.DRAFT).exists()


def test_the_api_answers_the_same(history: Cast, client: Client) -> None:
    client.force_login(history.administrator)
    said = client.get("/api/v1/policies/what-if?at=0").json()
    assert said["then"]["outlook"]["accepted"] == 30
    assert said["then"]["outlook"]["error"]["estimate"] == pytest.approx(0.3)
    assert said["now"]["outlook"]["error"]["estimate"] is None
    make_case(history.clinic, SPLIT)
    again = client.get("/api/v1/policies/what-if", {"at": "0", "as_of": said["as_of"]}).json()
    assert again == said
    assert client.get("/api/v1/policies/what-if?at=0").json()["n"] == 31
    assert client.get("/api/v1/policies/what-if?at=2").status_code == 400


def test_a_refused_guarantee_is_a_look_too(history: Cast) -> None:
    before = next_look(history.clinic, "wound")
    with pytest.raises(Refused, match="No threshold qualifies"):
        calibration.propose_by_hand(
            site=history.clinic,
            domain="wound",
            mode=PolicyMode.GUARANTEED,
            value=0.05,
            method="vote_entropy",
            actor=history.administrator,
        )
    assert AuditEvent.objects.filter(verb="guarantee refused").count() == 1
    assert next_look(history.clinic, "wound") == before + 1
