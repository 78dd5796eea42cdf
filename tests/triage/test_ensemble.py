"""The ensemble page counts what rows hold: health, speed, cost, agreement."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inference.backends.registry import MemberSpec
from inference.models import Probe, StageTrace
from inference.pipeline.stages import Stage
from inference.uq.thresholds import clopper_pearson_upper
from tests.factories import MEMBERS, SIGNATURE, make_camera, make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from triage.choices import CaseStatus
from triage.models import AuditEvent, Case, Site
from triage.selectors import leaving_out
from triage.selectors.ensemble import MemberView, Spent, ensemble_page, healths_of, pace_of

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")


@pytest.fixture(autouse=True)
def members(monkeypatch: pytest.MonkeyPatch) -> list[MemberSpec]:
    found = [MemberSpec(name, "scripted", f"/models/{name}", ("wound",)) for name in MEMBERS]
    monkeypatch.setattr("inference.ensemble.all_members", lambda: tuple(found))
    monkeypatch.setattr(leaving_out, "current_signature", lambda _domain: SIGNATURE)
    return found


def resolved(site: Site, truth: str, labels: tuple[str, ...] = SPLIT) -> Case:
    case = make_case(site, labels)
    Case.objects.filter(pk=case.pk).update(
        status=CaseStatus.RESOLVED, waiting_due_at=None, label=truth, resolved_at=timezone.now()
    )
    return case


def view(site: Site, name: str) -> MemberView:
    return next(one for one in ensemble_page(site=site).members if one.name == name)


def client_of(user: object) -> Client:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    return client


def test_agreement_is_the_share_right_with_its_interval(cast: Cast) -> None:
    make_policy(cast.clinic)
    for truth, count in (("Burns", 6), ("Cut", 4)):
        for _ in range(count):
            resolved(cast.clinic, truth)
    alpha, gamma = view(cast.clinic, "alpha").agreement, view(cast.clinic, "gamma").agreement
    assert alpha and gamma
    assert (alpha.share, alpha.n, gamma.share) == (0.6, 10, 0.4)
    assert alpha.low == pytest.approx(1 - clopper_pearson_upper(4, 10, 0.025))
    assert alpha.low < 0.6 < alpha.high
    classes = view(cast.clinic, "alpha").classes
    assert [(one.title, one.right, one.n) for one in classes] == [("Burn", 6, 6), ("Cut", 0, 4)]


def test_what_somebody_opened_by_hand_is_no_evidence(cast: Cast) -> None:
    make_policy(cast.clinic)
    resolved(cast.clinic, "Cut", SURE)  # accepted, not drawn
    make_case(cast.clinic, SPLIT)  # nobody has answered it
    resolved(cast.elsewhere, "Burns")
    assert view(cast.clinic, "alpha").agreement is None
    make_policy(cast.clinic, audit_share=1.0, status="draft")
    resolved(cast.clinic, "Burns")
    found = view(cast.clinic, "alpha").agreement
    assert found and found.n == 1


def test_speed_is_told_by_half_and_nine_in_ten(cast: Cast) -> None:
    cases = [make_case(cast.clinic) for _ in range(11)]
    for number, case in enumerate(cases):
        for stage, seconds in (
            (Stage.COMPREHENSION, 0),
            (Stage.ANALYSIS, number),
            ("reflection", 1),
        ):
            StageTrace.objects.filter(
                run__observation__case=case, member="alpha", stage=stage
            ).update(seconds=seconds, tokens=10 if stage != Stage.COMPREHENSION else 0)
    pace = view(cast.clinic, "alpha").pace
    assert pace and pace.cases == 11
    assert (pace.whole.median, pace.whole.p90) == (6, 10)
    assert [(one.median, one.p90) for one in pace.stages] == [(5, 9), (1, 1)]
    assert (pace.tokens, pace.tokens_a_second) == (20, 220 / (55 + 11))
    alone = pace_of([{Stage.ANALYSIS: Spent(2.0, 4), Stage.REFLECTION: Spent(1.0, 2)}])
    assert (alone.whole.median, alone.whole.p90, alone.tokens_a_second) == (3, 3, 2)


def test_each_member_is_judged_on_as_many_whole_cases(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it fails: then its newest answers lie further back."""
    monkeypatch.setattr("triage.selectors.ensemble.RECENT", 3)
    for labels in [SURE] * 4 + [(None, "Burns", "Burns")] * 4:
        make_case(cast.clinic, labels)
    assert [view(cast.clinic, name).pace.cases for name in MEMBERS] == [3, 3, 3]  # type: ignore[union-attr]
    pace = view(cast.clinic, "alpha").pace
    assert pace and pace.tokens == 30, "all three stages of each"


def test_of_several_attempts_the_last_one_tells_the_speed(cast: Cast) -> None:
    case = make_case(cast.clinic)
    first = StageTrace.objects.get(run__observation__case=case, member="alpha", stage="analysis")
    first.pk, first.attempt, first.seconds = None, 2, 8.0
    first.save()
    pace = view(cast.clinic, "alpha").pace
    assert pace and pace.stages[0].median == 8.0


def test_cost_follows_from_tokens_and_price(cast: Cast, members: list[MemberSpec]) -> None:
    make_case(cast.clinic)  # 30 tokens a member
    assert view(cast.clinic, "alpha").cost is None
    members[0] = MemberSpec("alpha", "scripted", "", ("wound",), price=2.0)
    assert view(cast.clinic, "alpha").cost == pytest.approx(1000 * 30 * 2.0 / 1e6)
    shown = client_of(cast.clinician).get(reverse("ensemble")).content.decode()
    assert "0.06" in shown and shown.count("no price set") == 2
    StageTrace.objects.filter(member="alpha", stage="analysis").update(prompt_tokens=500)
    members[0] = MemberSpec("alpha", "scripted", "", ("wound",), price=2.0, price_in=0.5)
    assert view(cast.clinic, "alpha").cost == pytest.approx(1000 * (30 * 2 + 500 * 0.5) / 1e6)
    shown = client_of(cast.clinician).get(reverse("ensemble")).content.decode()
    assert "0.31" in shown and "500 go in" in shown


def test_what_came_late_tells_no_speed_and_agrees_with_nobody(cast: Cast) -> None:
    resolved(cast.clinic, "Cut")
    StageTrace.objects.filter(member="beta").update(late=True)
    seen = view(cast.clinic, "beta")
    assert (seen.pace, seen.agreement) == (None, None)
    assert view(cast.clinic, "alpha").agreement


@pytest.mark.parametrize(
    ("row", "state", "words"),
    [
        (None, "unknown", "not asked yet"),
        ({"status": "queued"}, "waiting", "being asked"),
        ({"status": "failed", "error": "no card"}, "alert", "It gave no answer: no card"),
        ({"status": "done", "error": "no JSON"}, "alert", "could not be read: no JSON"),
        (
            {"status": "done", "valid": True, "label": "Cut", "expected": "Cut", "seconds": 0.84},
            "good",
            "It answered in 0.8 s: Cut, as drawn.",
        ),
        (
            {"status": "done", "valid": True, "label": "Cut", "expected": "Burns"},
            "good",
            "Cut, where Burn was drawn.",
        ),
    ],
)
def test_health_is_what_the_newest_question_showed(
    row: dict[str, object] | None, state: str, words: str
) -> None:
    Probe.objects.create(member="alpha", domain="home", status="failed", error="of another domain")
    if row:
        Probe.objects.create(member="alpha", domain="wound", status="failed", error="older")
        Probe.objects.create(member="alpha", domain="wound", **row)
    health = healths_of("wound", ["alpha"])["alpha"]
    assert health.state == state and words in health.sentence


def test_an_administrator_has_a_member_asked(cast: Cast) -> None:
    client = client_of(cast.administrator)
    assert "Ask alpha now" in client.get(reverse("ensemble")).content.decode()
    assert (
        "Ask alpha now" not in client_of(cast.clinician).get(reverse("ensemble")).content.decode()
    )
    shown = client.post(reverse("check-member"), {"member": "alpha"}, follow=True).content.decode()
    assert "alpha is being asked" in shown and "It is being asked." in shown
    assert Probe.objects.get().member == "alpha"
    assert AuditEvent.objects.get(verb="member checked").details == {"member": "alpha"}
    client.post(reverse("check-member"), {"member": "nobody"})
    assert Probe.objects.count() == 1
    answer = client.post("/api/v1/ensemble/check", {"member": "beta"}, "application/json")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    missing = client.post("/api/v1/ensemble/check", {"member": "nobody"}, "application/json")
    assert (missing.status_code, missing.json()["code"]) == (422, "no_member")


def test_the_api_tells_what_the_page_tells(cast: Cast) -> None:
    make_policy(cast.clinic)
    resolved(cast.clinic, "Burns")
    found = client_of(cast.clinician).get("/api/v1/ensemble").json()
    assert [one["name"] for one in found["members"]] == list(MEMBERS)
    alpha = found["members"][0]
    assert (alpha["agreement"]["share"], alpha["health"]["state"]) == (1.0, "unknown")
    assert (alpha["model"], alpha["pace"]["tokens"]) == ("alpha", 30)


def test_more_members_cost_no_more_queries(
    cast: Cast, members: list[MemberSpec], django_assert_num_queries: Callable[[int], object]
) -> None:
    resolved(cast.clinic, "Burns")
    ensemble_page(site=cast.clinic)  # what leaving out would do is kept
    several = members[:]
    members[:] = members[:1]
    with CaptureQueriesContext(connection) as one:
        ensemble_page(site=cast.clinic)
    members[:] = several
    with django_assert_num_queries(len(one)):  # type: ignore[attr-defined]
        ensemble_page(site=cast.clinic)


def test_leaving_one_out_counts_the_vote_anew(cast: Cast) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    for truth, labels, count in (
        ("Burns", SURE, 6),
        ("Burns", ("Burns", "Cut", "Burns"), 3),
        ("Cut", ("Burns", "Cut", "Burns"), 2),
        ("Cut", ("Cut", "Cut", "Burns"), 4),
    ):
        for _ in range(count):
            resolved(cast.clinic, truth, labels)
    resolved(cast.elsewhere, "Burns")
    found = leaving_out.leaving_out(cast.clinic)
    assert (found.cases, found.few, found.why_not) == (15, True, "")
    assert found.deferral == pytest.approx(9 / 15)
    changes = {row.name: row.change for row in found.without}
    # Without beta the others agree wherever it alone was right, and wherever it alone was wrong;
    # one voice against one: the surer wins, and with equal surety the first in the alphabet.
    assert (changes["beta"].wins, changes["beta"].losses) == (0, 4)
    assert changes["beta"].gain == pytest.approx(-4 / 15)
    assert changes["beta"].low < -4 / 15 < changes["beta"].high
    assert changes["gamma"].losses == 0
    assert all(row.change.cases == 15 for row in found.without)


def test_what_is_labelled_since_is_counted_at_once(cast: Cast) -> None:
    make_policy(cast.clinic)
    assert "no labelled case" in leaving_out.leaving_out(cast.clinic).why_not
    resolved(cast.clinic, "Burns")
    assert leaving_out.leaving_out(cast.clinic).cases == 1
    case = resolved(cast.clinic, "Burns", ("Burns", "Cut", "Cut"))
    beta = leaving_out.leaving_out(cast.clinic).without[1].change
    assert (beta.cases, beta.wins, beta.losses) == (2, 1, 0)
    Case.objects.filter(pk=case.pk).update(label="Cut", resolved_at=timezone.now())
    beta = leaving_out.leaving_out(cast.clinic).without[1].change
    assert (beta.cases, beta.wins, beta.losses) == (2, 0, 1)


def test_learning_is_no_part_of_what_is_deferred_today(cast: Cast) -> None:
    make_policy(cast.clinic, threshold=0.2, audit_share=1.0)
    resolved(cast.clinic, "Burns", SURE)
    resolved(cast.clinic, "Burns", SPLIT)
    assert leaving_out.leaving_out(cast.clinic).deferral == pytest.approx(0.5)
    camera = make_camera(cast.clinic, learning=True)
    make_case(cast.clinic, SURE, camera=camera)
    assert leaving_out.leaving_out(cast.clinic).deferral == pytest.approx(0.5)
    make_case(cast.clinic, SURE)  # another decision, no label yet
    assert leaving_out.leaving_out(cast.clinic).deferral == pytest.approx(1 / 3)


def test_where_nothing_is_accepted_the_page_says_why_a_column_is_empty(cast: Cast) -> None:
    policy = make_policy(cast.clinic, threshold=None)
    resolved(cast.clinic, "Burns")
    found = leaving_out.leaving_out(cast.clinic)
    assert [row.deferral for row in found.without] == [None] * 3
    shown = client_of(cast.clinician).get(reverse("ensemble")).content.decode()
    assert "Nothing is accepted today" in shown
    rewrite(type(policy).objects.filter(pk=policy.pk), threshold=0.2)
    make_case(cast.clinic, SURE)
    assert leaving_out.leaving_out(cast.clinic).why_no_deferral.startswith("None of the labelled")


def test_of_two_members_none_is_left_out(cast: Cast) -> None:
    make_policy(cast.clinic)
    resolved(cast.clinic, "Burns", ("Burns", "Cut"))
    found = leaving_out.leaving_out(cast.clinic)
    assert (found.without, found.why_not[:12]) == ([], "Of two membe")


def test_the_page_warns_of_few_cases(cast: Cast) -> None:
    make_policy(cast.clinic)
    for _ in range(3):
        resolved(cast.clinic, "Burns")
    shown = client_of(cast.clinician).get(reverse("ensemble")).content.decode()
    assert "no more than a hint" in shown and "on the newest 3 labelled cases" in shown
    told = client_of(cast.clinician).get("/api/v1/ensemble").json()["leaving_out"]
    assert (told["cases"], told["few"], len(told["without"])) == (3, True, 3)
