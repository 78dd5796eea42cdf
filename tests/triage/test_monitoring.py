"""Is it still going well: week by week, and how long people let cases wait."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from inference.pipeline.domains import load_domain
from inference.uq.drift import label_drift
from tests.factories import make_case, make_policy, rewrite
from tests.triage.conftest import Cast
from triage.choices import CaseStatus, PolicyStatus, RetakeReason
from triage.management.commands.sweep import sweep
from triage.models import Case, Checkup, Decision, Lease, Site
from triage.selectors.checkup import as_json, found_at, look
from triage.selectors.drift import in_words, told_of
from triage.selectors.live import live_numbers
from triage.selectors.policies import policies_page
from triage.selectors.service_levels import service_levels
from triage.selectors.weeks import FEWEST_ANSWERS, FEWEST_AUDITS, WEEKS, Week, decisions_of
from triage.services import queue, reviews
from triage.services.monitoring import check, check_due

pytestmark = pytest.mark.django_db
SURE, SPLIT = ("Burns", "Burns", "Burns"), ("Burns", "Burns", "Cut")


def answer(case: Case, label: str, by: object) -> None:
    lease = queue.claim(case=case, user=by)  # type: ignore[arg-type]
    case.refresh_from_db()
    reviews.submit_review(
        case=case,
        token=lease.token,
        user=by,  # type: ignore[arg-type]
        label=label,
        version=case.version,
    )


def in_force(site: Site, audit_share: float) -> None:
    site.policies.update(status=PolicyStatus.RETIRED)
    make_policy(site, threshold=0.2, audit_share=audit_share)


def audits(cast: Cast, right: int, wrong: int) -> list[Case]:
    """Accepted cases that were all drawn for audit, and answered."""
    in_force(cast.clinic, 1.0)
    cases = [make_case(cast.clinic, SURE) for _ in range(right + wrong)]
    for at, case in enumerate(cases):
        answer(case, "Burns" if at < right else "Cut", cast.clinician)
    return cases


def deferred(cast: Cast, kept: int, changed: int) -> list[Case]:
    """Deferred cases, answered as the ensemble said or otherwise."""
    in_force(cast.clinic, 0.000001)
    cases = [make_case(cast.clinic, SPLIT) for _ in range(kept + changed)]
    for at, case in enumerate(cases):
        answer(case, "Burns" if at < kept else "Cut", cast.clinician)
    return cases


def this_week(site: Site) -> Week:
    return look(site).over_time.weeks[-1]


def test_weeks_begin_on_mondays_in_the_sites_own_time(cast: Cast) -> None:
    cast.clinic.time_zone = "Pacific/Auckland"
    cast.clinic.save()
    deferred(cast, 1, 0)
    # Sunday noon in Greenwich is Monday in Auckland.
    sunday = datetime(2026, 11, 22, 12, tzinfo=UTC)
    rewrite(Decision.objects.all(), decided_at=sunday)
    found = look(cast.clinic, sunday + timedelta(hours=1)).over_time
    assert len(found.weeks) == WEEKS
    assert [week.start for week in found.weeks[-2:]] == [date(2026, 11, 16), date(2026, 11, 23)]
    assert [week.decided for week in found.weeks[-2:]] == [0, 1]
    before = look(cast.clinic, sunday - timedelta(hours=2)).over_time
    assert before.weeks[-1].start == date(2026, 11, 16)
    assert sum(week.decided for week in before.weeks) == 0, "what came later is not in the picture"


def test_a_week_says_what_was_deferred_and_overridden(cast: Cast) -> None:
    deferred(cast, 9, 3)
    make_case(cast.clinic, SURE)
    make_case(cast.clinic, SPLIT)
    week = this_week(cast.clinic)
    assert (week.decided, week.deferred, week.answered, week.overridden) == (14, 13, 12, 3)
    assert week.override == pytest.approx(0.25)
    assert week.deferral == pytest.approx(13 / 14)


def test_too_few_answers_or_audits_are_no_rate(cast: Cast) -> None:
    deferred(cast, FEWEST_ANSWERS - 2, 1)
    assert this_week(cast.clinic).override is None
    audits(cast, FEWEST_AUDITS - 2, 1)
    assert not this_week(cast.clinic).enough_audits
    audits(cast, 1, 0)
    assert this_week(cast.clinic).enough_audits


def test_a_weeks_error_is_that_of_its_decisions(cast: Cast) -> None:
    audits(cast, 18, 4)
    in_force(cast.clinic, 0.000001)
    for _ in range(5):
        make_case(cast.clinic, SURE)
    # Some were drawn with another probability: Hajek's weights must show.
    drawn = Decision.objects.filter(audited=True).order_by("pk")
    rewrite(Decision.objects.filter(pk__in=[row.pk for row in drawn[::3]]), label_probability=0.2)
    week, whole = this_week(cast.clinic), live_numbers(decisions_of(cast.clinic)).error
    assert week.error.n == 22 and week.accepted == 27
    assert week.error.estimate == pytest.approx(whole.estimate)
    assert (week.error.low, week.error.high) == pytest.approx((whole.low, whole.high))
    assert week.error.estimate != pytest.approx(4 / 22)


def test_the_policies_page_tells_the_version_in_force_from_the_last_weeks(
    cast: Cast, client: Client
) -> None:
    """A bad new version does not hide behind the good audits of old ones."""
    audits(cast, 40, 0)
    old = timezone.now() - timedelta(weeks=20)
    rewrite(Decision.objects.all(), decided_at=old)
    audits(cast, 15, 0)
    audits(cast, 5, 5)
    audit = policies_page(site=cast.clinic, user=cast.administrator).audit
    assert (audit.version, audit.audited, audit.accepted) == (3, 10, 10)
    assert audit.rate == pytest.approx(0.5)
    assert audit.recent.estimate == pytest.approx(5 / 25) and audit.recent.n == 25
    client.force_login(cast.administrator)
    html = client.get(reverse("policies")).content.decode()
    assert "10 of 10 cases that policy 3 accepted were audited." in html
    assert "In the last 4 weeks, whichever version decided" in html


def test_the_recent_weeks_are_one(cast: Cast) -> None:
    audits(cast, 15, 5)
    old = [row.pk for row in Decision.objects.order_by("pk")[:10]]
    for weeks_ago, pks in ((3, old[:5]), (4, old[5:])):
        earlier = timezone.now() - timedelta(weeks=weeks_ago)
        rewrite(Decision.objects.filter(pk__in=pks), decided_at=earlier)
    found = look(cast.clinic).over_time
    assert [week.decided for week in found.weeks[-5:]] == [5, 5, 0, 0, 10]
    assert found.recent.decided == 15 and found.recent.error.n == 15
    assert found.recent.error.estimate == pytest.approx(5 / 15)
    assert found.recent.start == found.weeks[-4].start


def test_other_sites_other_domains_and_no_policy_are_left_out(cast: Cast) -> None:
    make_policy(cast.elsewhere)
    make_case(cast.elsewhere, SPLIT)
    make_case(cast.clinic, SPLIT)
    assert this_week(cast.clinic).decided == 0, "no policy was in force"
    make_policy(cast.clinic)
    make_case(cast.clinic, SPLIT)
    assert this_week(cast.clinic).decided == 1
    cast.clinic.domain = "home"
    assert this_week(cast.clinic).decided == 0


def test_how_long_cases_wait(cast: Cast) -> None:
    assert service_levels(cast.clinic).oldest is None
    make_policy(cast.clinic)
    now = timezone.now()
    waiting = [make_case(cast.clinic, SPLIT) for _ in range(3)]
    Case.objects.filter(pk=waiting[0].pk).update(
        created_at=now - timedelta(hours=30), waiting_due_at=now - timedelta(hours=6)
    )
    done = make_case(cast.clinic, SPLIT)
    Case.objects.filter(pk=done.pk).update(created_at=now - timedelta(hours=50))
    answer(done, "Cut", cast.clinician)
    make_case(cast.elsewhere, SPLIT)
    levels = service_levels(cast.clinic, now)
    assert (levels.waiting, levels.overdue) == (3, 1)
    assert levels.oldest == pytest.approx(30)
    assert levels.answers == 1
    assert levels.median == pytest.approx(50, abs=0.1)


def aged(case: Case, hours: int, readings: int = 1) -> Case:
    came = timezone.now() - timedelta(hours=hours)
    Case.objects.filter(pk=case.pk).update(created_at=came, readings=readings)
    case.refresh_from_db()
    return case


def test_what_is_in_dispute_has_not_been_answered(cast: Cast) -> None:
    make_policy(cast.clinic)
    case = aged(make_case(cast.clinic, SPLIT), 60, readings=2)
    for label, reader in (("Cut", cast.clinician), ("Burns", cast.colleague)):
        answer(case, label, reader)
        case.refresh_from_db()
    assert case.status == CaseStatus.DISPUTED
    assert service_levels(cast.clinic).oldest == pytest.approx(60, abs=0.1)


def test_what_somebody_holds_has_not_been_answered(cast: Cast) -> None:
    make_policy(cast.clinic)
    queue.claim(case=aged(make_case(cast.clinic, SPLIT), 60), user=cast.clinician)
    assert service_levels(cast.clinic).oldest == pytest.approx(60, abs=0.1)


def test_an_accepted_case_that_somebody_opens_waits_for_nobody(cast: Cast) -> None:
    make_policy(cast.clinic)
    case = aged(make_case(cast.clinic, SURE), 60)
    assert case.status == CaseStatus.ACCEPTED
    queue.claim(case=case, user=cast.clinician)
    assert service_levels(cast.clinic).oldest is None


def test_a_new_photo_is_waited_for_until_it_comes(cast: Cast) -> None:
    make_policy(cast.clinic)
    case = aged(make_case(cast.clinic, SPLIT), 60)
    lease = queue.claim(case=case, user=cast.clinician)
    case.refresh_from_db()
    reviews.ask_again(
        case=case,
        token=lease.token,
        user=cast.clinician,
        reason=RetakeReason.DARK,
        version=case.version,
    )
    assert service_levels(cast.clinic).oldest == pytest.approx(60, abs=0.1)
    Case.objects.filter(pk=make_case(cast.clinic, SPLIT).pk).update(replaces=case)
    assert service_levels(cast.clinic).oldest == pytest.approx(0, abs=0.1)


def test_the_first_answer_to_a_case_is_what_it_waited_for(cast: Cast) -> None:
    make_policy(cast.clinic)
    cases = [make_case(cast.clinic, SPLIT) for _ in range(10)]
    for hours, case in enumerate(cases, start=1):
        answer(case, "Cut", cast.clinician)
        came = timezone.now() - timedelta(hours=hours)
        Case.objects.filter(pk=case.pk).update(created_at=came)
    reviews.undo_review(case=cases[-1], user=cast.clinician)
    lease = queue.held_lease(site=cast.clinic, user=cast.clinician)
    assert lease is not None
    queue.release(lease=lease)
    answer(cases[-1], "Burns", cast.clinician)
    levels = service_levels(cast.clinic)
    assert levels.answers == 10
    assert levels.median == pytest.approx(5.5, abs=0.1)
    assert levels.p90 == pytest.approx(9.1, abs=0.1)


def test_claims_that_ran_out_are_told_from_those_let_go(cast: Cast) -> None:
    make_policy(cast.clinic)
    one, other, old = (make_case(cast.clinic, SPLIT) for _ in range(3))
    queue.release(lease=queue.claim(case=one, user=cast.clinician))
    for case, days in ((other, 0), (old, 8)):
        lease = queue.claim(case=case, user=cast.clinician)
        end = timezone.now() - timedelta(days=days, seconds=1)
        Lease.objects.filter(pk=lease.pk).update(taken_at=end - timedelta(hours=1), expires_at=end)
        assert queue.end_expired_leases() == 1
        if days:  # as if the sweep had come by then
            Lease.objects.filter(pk=lease.pk).update(ended_at=end + timedelta(seconds=1))
    assert service_levels(cast.clinic).expired == 1


def test_what_a_look_found_is_read_back_as_it_was(cast: Cast) -> None:
    audits(cast, 3, 1)
    found = check(site=cast.clinic)
    make_case(cast.clinic, SPLIT)
    assert found_at(cast.clinic) == found, "a page shows the last look, not a fresh one"
    Checkup.objects.update(found={"of": "an earlier version"})
    assert found_at(cast.clinic).over_time.weeks[-1].decided == 5
    assert as_json(found)["over_time"]["weeks"][0]["error"]["estimate"] is None


def test_each_site_is_looked_at_when_it_is_due_and_not_before(cast: Cast) -> None:
    assert check_due() == 3
    assert check_due() == 0
    late = timezone.now() - timedelta(minutes=6)
    Checkup.objects.filter(site=cast.clinic).update(looked_at=late)
    assert sweep()["checked"] == 1
    row = Checkup.objects.get(site=cast.clinic)
    assert row.looked_at > late and row.found["as_of"]


def test_a_site_that_cannot_be_looked_at_holds_up_no_other(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(site: Site) -> object:
        if site == cast.clinic:
            raise ValueError("broken")
        return look(site)

    monkeypatch.setattr("triage.services.monitoring.look", broken)
    assert check_due() == 2


def test_the_page_says_how_it_stands(cast: Cast, client: Client) -> None:
    audits(cast, 20, 5)
    client.force_login(cast.administrator)
    html = client.get(reverse("monitoring")).content.decode()
    assert "20\u202f%" in html and "from 25 audits" in html
    assert "too few audits to tell" not in html
    part = client.get(reverse("monitoring"), headers={"HX-Request": "true"}).content.decode()
    assert 'id="standing"' in part and "<html" not in part
    assert 'href="/monitoring/"' in client.get(reverse("policies")).content.decode()


def test_a_site_without_a_case_has_a_page(cast: Cast, client: Client) -> None:
    client.force_login(cast.administrator)
    html = client.get(reverse("monitoring")).content.decode()
    assert "nothing was accepted" in html and "nobody has answered yet" in html


def test_looking_now_brings_the_page_up_to_date(cast: Cast, client: Client) -> None:
    client.force_login(cast.administrator)
    check(site=cast.clinic)
    make_policy(cast.clinic)
    make_case(cast.clinic, SPLIT)
    assert "of 1 case<" not in client.get(reverse("monitoring")).content.decode()
    html = client.post(reverse("check"), follow=True).content.decode()
    assert "of 1 case<" in html


@pytest.mark.parametrize("count", [1, 12])
def test_the_page_costs_the_same_however_many_cases_there_are(
    cast: Cast,
    client: Client,
    django_assert_max_num_queries: Callable[[int], object],
    count: int,
) -> None:
    deferred(cast, count, 0)
    audits(cast, count, 0)
    client.force_login(cast.administrator)
    with django_assert_max_num_queries(37):  # type: ignore[attr-defined]
        client.get(reverse("monitoring"))
    check(site=cast.clinic)
    with django_assert_max_num_queries(19):  # type: ignore[attr-defined]
        client.get(reverse("monitoring"))


def test_the_api_says_the_same(cast: Cast, client: Client) -> None:
    audits(cast, 20, 5)
    assert Case.objects.filter(status=CaseStatus.RESOLVED).count() == 25
    client.force_login(cast.administrator)
    said = client.get("/api/v1/monitoring").json()
    assert said["recent"]["error"]["estimate"] == pytest.approx(0.2)
    assert said["recent"]["error"]["n"] == 25
    assert len(said["weeks"]) == WEEKS and said["weeks"][0]["error"]["estimate"] is None
    assert said["service_levels"]["answers"] == 25
    assert said["checked"]["pairs"] == [
        {"said": "Burns", "truth": "Burns", "n": 20},
        {"said": "Burns", "truth": "Cut", "n": 5},
    ]
    assert said["reading"] == {"agreement": None, "open": 0, "disputed": 0}


def test_a_label_that_drifts_is_told_by_its_title_in_the_readers_language() -> None:
    home = load_domain("home")
    signal = label_drift(["empty scene"] * 60, ["fall"] * 60)
    values = told_of(signal, home)
    assert values["label"] in {label.title for label in home.labels}
    with translation.override("de"):
        said = in_words(signal.code, values)
    assert gettext_in("de", str(values["label"])) in said
    assert str(signal.values["label"]) not in said


def gettext_in(language: str, text: str) -> str:
    with translation.override(language):
        return translation.gettext(text)
