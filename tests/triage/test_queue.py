"""Two people never hold one case, and none is lost when somebody walks away."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import make_case, make_policy
from tests.triage.conftest import Cast
from triage.choices import CaseStatus
from triage.errors import Conflict
from triage.models import Case, Lease, Membership
from triage.selectors.queue import waiting_count
from triage.services import queue
from triage.templatetags.triage import at_most

pytestmark = pytest.mark.django_db
SPLIT = ("Burns", "Burns", "Cut")


def expire(lease: Lease) -> None:
    then = timezone.now() - timedelta(seconds=1)
    Lease.objects.filter(pk=lease.pk).update(taken_at=then - timedelta(hours=1), expires_at=then)


def test_two_people_get_two_cases(cast: Cast) -> None:
    make_case(cast.clinic, SPLIT), make_case(cast.clinic, SPLIT)
    first = queue.claim_next(site=cast.clinic, user=cast.clinician)
    second = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert first and second and first.case_id != second.case_id


def test_nobody_gets_a_case_that_is_held(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert queue.claim_next(site=cast.clinic, user=cast.colleague) is None
    with pytest.raises(Conflict) as caught:
        queue.claim(case=case, user=cast.colleague)
    assert caught.value.code == "held"


def test_the_database_refuses_a_second_open_lease(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    queue.claim_next(site=cast.clinic, user=cast.clinician)
    with pytest.raises(IntegrityError), transaction.atomic():
        Lease.objects.create(
            case=case, holder=cast.colleague, expires_at=timezone.now() + timedelta(minutes=1)
        )


def test_claiming_again_gives_the_case_one_holds(cast: Cast) -> None:
    make_case(cast.clinic, SPLIT), make_case(cast.clinic, SPLIT)
    first = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) == first


def test_one_person_holds_one_case_at_a_time(cast: Cast) -> None:
    make_case(cast.clinic, SPLIT)
    other = make_case(cast.clinic, SPLIT)
    held = queue.claim_next(site=cast.clinic, user=cast.clinician)
    free = other if held and held.case_id != other.pk else Case.objects.exclude(pk=other.pk).get()
    with pytest.raises(Conflict) as caught:
        queue.claim(case=free, user=cast.clinician)
    assert caught.value.code == "holds_another"


def test_the_most_urgent_comes_first(cast: Cast) -> None:
    late = make_case(cast.clinic, SPLIT)
    soon = make_case(cast.clinic, SPLIT)
    Case.objects.filter(pk=soon.pk).update(waiting_due_at=timezone.now() - timedelta(hours=3))
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease and lease.case_id == soon.pk != late.pk


def test_another_sites_case_is_never_offered(cast: Cast) -> None:
    make_case(cast.elsewhere, SPLIT)
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) is None


def test_a_lease_that_ran_out_frees_the_case(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease
    expire(lease)
    taken = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert taken and taken.case_id == case.pk
    with pytest.raises(Conflict):
        queue.extend(lease=lease)


def test_the_sweep_frees_it_too(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease and queue.end_expired_leases() == 0
    expire(lease)
    assert queue.end_expired_leases() == 1
    case.refresh_from_db()
    assert case.status == CaseStatus.DEFERRED


def test_extending_gives_a_fresh_term(cast: Cast) -> None:
    make_case(cast.clinic, SPLIT)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease
    soon = timezone.now() + timedelta(seconds=30)
    Lease.objects.filter(pk=lease.pk).update(expires_at=soon)
    assert queue.extend(lease=lease).expires_at > soon + timedelta(minutes=5)


def test_a_case_goes_back_to_where_it_waited(cast: Cast) -> None:
    make_policy(cast.clinic, audit_share=1.0)
    case = make_case(cast.clinic)
    assert case.status == CaseStatus.AUDIT
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease
    queue.release(lease=lease)
    case.refresh_from_db()
    assert case.status == CaseStatus.AUDIT


def test_what_one_passes_on_is_offered_to_somebody_else(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
    assert lease
    queue.pass_on(lease=lease, comment="not my field")
    assert queue.claim_next(site=cast.clinic, user=cast.clinician) is None
    other = queue.claim_next(site=cast.clinic, user=cast.colleague)
    assert other and other.case_id == case.pk


def test_an_accepted_case_can_be_opened_by_hand(cast: Cast) -> None:
    make_policy(cast.clinic)
    case = make_case(cast.clinic)
    lease = queue.claim(case=case, user=cast.clinician)
    queue.release(lease=lease)
    case.refresh_from_db()
    assert case.status == CaseStatus.ACCEPTED


def test_the_queues_page_costs_the_same_few_queries_however_many_wait(
    cast: Cast, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    client = Client()
    client.force_login(cast.clinician)
    counts = []
    for _ in range(2):
        for _ in range(6):
            make_case(cast.clinic, SPLIT)
        with django_assert_max_num_queries(20) as captured:
            assert client.get(reverse("queue")).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_the_count_at_the_head_stops_where_there_is_no_more_room(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.selectors.queue.COUNTED", 2)
    for _ in range(3):
        make_case(cast.clinic, SPLIT)
    assert waiting_count(cast.clinic, cast.clinician) == 2
    assert (at_most(999), at_most(1000), at_most(5000)) == ("999", "999+", "999+")


def test_what_everybody_passed_on_comes_again_after_all_others(cast: Cast) -> None:
    case = make_case(cast.clinic, SPLIT)
    for reader, other in ((cast.clinician, cast.colleague), (cast.colleague, cast.clinician)):
        lease = queue.claim_next(site=cast.clinic, user=reader)
        assert lease and lease.case_id == case.pk
        queue.pass_on(lease=lease)
        if other == cast.colleague:
            assert queue.claim_next(site=cast.clinic, user=reader) is None, "a colleague is left"
    later = make_case(cast.clinic, SPLIT)
    order = []
    for _ in range(2):
        lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
        assert lease
        order.append(lease.case_id)
        queue.pass_on(lease=lease)
    assert order == [later.pk, case.pk]


def test_who_is_alone_gets_what_they_passed_on_in_turn(cast: Cast) -> None:
    Membership.objects.filter(user=cast.colleague).delete()
    cases = [make_case(cast.clinic, SPLIT) for _ in range(2)]
    order = []
    for _ in range(4):
        lease = queue.claim_next(site=cast.clinic, user=cast.clinician)
        assert lease
        order.append(lease.case_id)
        queue.pass_on(lease=lease)
    assert order == [case.pk for case in cases] * 2
