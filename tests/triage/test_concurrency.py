"""Many at once, on the databases that people really use."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from benchmarks.ground import seed
from inference.models import MemberJob, Run
from inference.services import jobs
from inference.services.jobs import claim_alike, claim_job
from inference.services.runs import finish_run, finish_runs
from tests.factories import make_case, make_policy, make_run, make_site, make_user, rewrite
from triage.choices import CaseStatus, PolicyStatus, Role
from triage.errors import Conflict, Refused
from triage.models import AuditEvent, Case, ChainHead, Decision, Lease, Policy, Site
from triage.selectors.chains import verify
from triage.services import policies, queue, reviews
from triage.services.decisions import decide_overdue
from triage.services.history import record

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
T = TypeVar("T")
SPLIT = ("Burns", "Burns", "Cut")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """All calls in threads of their own, each with its own connection."""

    def isolated(call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(isolated, calls))


def test_reviewers_who_claim_at_once_never_get_the_same_case() -> None:
    site = make_site()
    people = [make_user(site) for _ in range(8)]
    for _ in people:
        make_case(site, SPLIT)
    leases = at_once([partial(queue.claim_next, site=site, user=who) for who in people])
    assert len({lease.case_id for lease in leases if lease}) == len(people)
    assert Lease.objects.running().count() == len(people)


def test_holds_that_ran_out_are_given_anew_once_while_all_claim_at_once() -> None:
    """Each claim puts the site's expired holds back, and so does the sweep beside them."""
    site = make_site()
    gone, people = ([make_user(site) for _ in range(6)] for _ in range(2))
    for who in gone:
        make_case(site, SPLIT)
        assert queue.claim_next(site=site, user=who)
    long_ago = timezone.now() - timedelta(hours=1)
    Lease.objects.update(taken_at=long_ago - timedelta(hours=1), expires_at=long_ago)
    calls: list[Callable[[], object]] = [
        partial(queue.claim_next, site=site, user=who) for who in people
    ]
    at_once([*calls, queue.end_expired_leases])
    held = [
        queue.claim_next(site=site, user=who) for who in people
    ]  # who came too early comes back
    assert len({lease.case_id for lease in held if lease}) == len(people)
    assert Lease.objects.filter(ended_at=None).count() == len(people)
    ended = Lease.objects.exclude(ended_at=None)
    assert set(ended.values_list("holder", flat=True)) == {who.pk for who in gone}
    assert not Case.objects.exclude(status=CaseStatus.IN_REVIEW).exists()


def test_a_hundred_reviewers_share_a_queue_without_a_double() -> None:
    """Until nothing is left; `benchmarks.load` does it with 5,000 cases and each at once."""
    seed(150, 99)
    site = Site.objects.get()
    people = list(User.objects.all())

    def work(some: Sequence[User]) -> list[UUID]:
        """Takes turns, and goes on while any of them gets a case."""
        given = [case for who in some if (case := answer_next(site, who))]
        return given + work(some) if given else []

    shifts = [partial(work, people[start::20]) for start in range(20)]
    given = [case for cases in at_once(shifts) for case in cases]
    assert len(people) == 100
    assert len(given) == len(set(given)) == 150


def answer_next(site: Site, who: User) -> UUID | None:
    lease = queue.claim_next(site=site, user=who)
    if lease is None:
        return None
    version = Case.objects.get(pk=lease.case_id).version
    reviews.submit_review(
        case=lease.case, token=lease.token, user=who, label="Cut", version=version
    )
    return UUID(str(lease.case_id))


def test_a_person_who_claims_many_times_at_once_holds_one_case() -> None:
    site = make_site()
    person = make_user(site)
    for _ in range(6):
        make_case(site, SPLIT)
    leases = at_once([partial(queue.claim_next, site=site, user=person) for _ in range(6)])
    assert {lease.pk for lease in leases if lease} == set(
        Lease.objects.running().values_list("pk", flat=True)
    )
    assert Lease.objects.running().count() == 1


def test_of_many_who_want_one_case_one_gets_it() -> None:
    site = make_site()
    people = [make_user(site) for _ in range(6)]
    case = make_case(site, SPLIT)

    def try_to_claim(who: object) -> bool:
        try:
            return bool(queue.claim(case=case, user=who))  # type: ignore[arg-type]
        except Conflict:
            return False

    assert sum(at_once([partial(try_to_claim, who) for who in people])) == 1


def test_of_many_workers_one_gets_the_job() -> None:
    case = make_case(make_site(), finish=False)
    Run.objects.all().delete()
    job = make_run(case.observation).jobs.get(member="alpha")
    claimed = at_once([partial(claim_job, job_id=job.pk) for _ in range(8)])
    assert sum(one is not None for one in claimed) == 1
    assert MemberJob.objects.get(pk=job.pk).attempt == 1


def test_a_batch_that_is_taken_and_a_run_that_is_closed_wait_for_no_ring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one has jobs and asks for their runs, the other has a run and asks for its jobs."""
    case = make_case(make_site(), finish=False)
    Run.objects.all().delete()
    run, first = make_run(case.observation), make_run(case.observation)
    Run.objects.filter(pk=run.pk).update(deadline_at=timezone.now() - timedelta(seconds=1))
    holder = claim_job(job_id=first.jobs.get(member="alpha").pk)
    assert holder
    real, taken = jobs._claim, Event()

    def slowly(*args: Any, **more: Any) -> list[MemberJob]:
        found = real(*args, **more)
        taken.set()
        time.sleep(0.5)
        return found

    def close() -> bool:
        assert taken.wait(10)
        return finish_run(run_id=run.pk)

    monkeypatch.setattr(jobs, "_claim", slowly)
    both: list[Callable[[], object]] = [partial(claim_alike, holder, at_most=5), close]
    assert all(at_once(both))
    assert set(run.jobs.values_list("status", flat=True)) == {MemberJob.Status.FAILED}


def test_runs_that_many_sum_up_at_once_are_decided_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two workers with the same batch in other orders, the sweep, and somebody who looks."""
    site = make_site()
    make_policy(site)
    person = make_user(site)
    cases = [make_case(site, finish=False) for _ in range(8)]
    runs = [case.observation.runs.get().pk for case in cases]
    looks = [partial(record, "photo seen", site=site, actor=person, case=case) for case in cases]
    calls: list[Callable[[], object]] = [
        partial(finish_runs, runs),
        partial(finish_runs, runs[::-1]),
        decide_overdue,
        lambda: [look() for look in looks],
        lambda: [look() for look in looks[::-1]],
    ]
    at_once(calls)
    assert not [one for one in caplog.records if one.levelname in ("WARNING", "ERROR")]
    decide_overdue()
    assert Counter(Decision.objects.values_list("case", flat=True)) == dict.fromkeys(
        (case.pk for case in cases), 1
    )
    assert AuditEvent.objects.filter(verb="decided").count() == 8
    assert verify().intact


def test_workers_that_take_batches_at_once_share_no_job() -> None:
    site = make_site()
    cases = [make_case(site, finish=False) for _ in range(24)]
    Run.objects.all().delete()
    pks = [make_run(case.observation).jobs.get(member="alpha").pk for case in cases]

    def take(job_id: int) -> list[MemberJob]:
        first = claim_job(job_id=job_id)
        return [first, *claim_alike(first, at_most=5)] if first else []

    batches = at_once([partial(take, job_id) for job_id in pks[:8]])
    taken = Counter(job.pk for batch in batches for job in batch)
    assert set(taken.values()) == {1}
    assert set(pks[:8]) <= set(taken)
    for batch in batches:
        held = MemberJob.objects.filter(pk__in=[job.pk for job in batch])
        assert {job.token for job in held} == {job.token for job in batch[:1]}
    assert not MemberJob.objects.filter(pk__in=pks, attempt__gt=1).exists()


def test_many_looks_at_once_and_an_answer_are_one_chain_without_a_gap() -> None:
    site = make_site()
    people = [make_user(site) for _ in range(4)]
    cases = [make_case(site, SPLIT) for _ in range(4)]
    leases = [queue.claim(case=case, user=who) for case, who in zip(cases, people, strict=True)]

    def look(number: int) -> None:
        who = people[number % 3]
        for case in cases:
            record("photo seen", site=site, actor=who, case=case)
        record("history verified", site=site, actor=who)

    def answer(number: int) -> None:
        case, lease = cases[number], leases[number]
        case.refresh_from_db()
        reviews.submit_review(
            case=case, token=lease.token, user=people[number], label="Cut", version=case.version
        )

    at_once([partial(look, n) for n in range(8)] + [partial(answer, n) for n in range(4)])
    assert AuditEvent.objects.filter(verb="photo seen").count() == 32
    assert ChainHead.objects.get(site=site, case=None).length == 8
    assert {ChainHead.objects.get(case=case).length for case in cases} == {10}
    assert verify().intact


def test_the_first_lines_of_a_chain_that_come_at_once_are_one_chain() -> None:
    """None of them finds an end of it to wait for: one begins it, and the others go behind."""
    site = make_site()
    person, case = make_user(site), make_case(site, finish=False)
    assert not ChainHead.objects.filter(case=case).exists()
    at_once([partial(record, "photo seen", site=site, actor=person, case=case) for _ in range(6)])
    assert ChainHead.objects.get(case=case).length == 6
    assert verify().intact


def test_of_two_publications_at_once_one_is_measured_against_the_other() -> None:
    site = make_site()
    people = [make_user(site, Role.ADMINISTRATOR) for _ in range(2)]
    make_policy(site, threshold=0.2)
    drafts = [make_policy(site, threshold=5.0, status=PolicyStatus.DRAFT) for _ in people]
    within_the_cap = {"current": {"deferral": 0.6}, "proposed": {"deferral": 0.35}}
    replay = {"n": 100, "labelled": 40, "against": 1} | within_the_cap
    rewrite(Policy.objects.filter(status=PolicyStatus.DRAFT), replay=replay)
    for draft in drafts:
        draft.refresh_from_db()

    def publish(draft: Policy, who: User) -> bool:
        try:
            return bool(policies.publish_policy(policy=draft, actor=who))
        except Refused:
            return False

    calls = [partial(publish, *one) for one in zip(drafts, people, strict=True)]
    assert sorted(at_once(calls)) == [False, True]
    assert Policy.objects.get(status=PolicyStatus.ACTIVE).before == Policy.objects.get(version=1)


def test_two_who_claim_their_cases_again_at_once_wait_for_nobody() -> None:
    """Each holds expired what the other holds expired as well: the wanted case is locked first."""
    for _ in range(5):
        site = make_site()
        people = [make_user(site) for _ in range(2)]
        cases = [make_case(site, SPLIT) for _ in people]
        for case, who in zip(cases, people, strict=True):
            queue.claim(case=case, user=who)
        long_ago = timezone.now() - timedelta(hours=1)
        Lease.objects.update(taken_at=long_ago - timedelta(hours=1), expires_at=long_ago)
        claims = [
            partial(queue.claim, case=case, user=who)
            for case, who in zip(cases, people, strict=True)
        ]
        assert {lease.case_id for lease in at_once(claims)} == {case.pk for case in cases}
