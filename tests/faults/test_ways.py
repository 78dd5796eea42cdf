"""Whatever people, workers and the broom do with cases, in any order, the books are right.

A few ways in each run of the tests; 300 of 40 steps with `--hypothesis-profile=soak`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F, Q
from django.test import TestCase
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_ways
from pytest_django.fixtures import Settings

from inference.dispatch import EXECUTE_MEMBER
from inference.media import Limits, Sanitised, sanitise
from inference.models import Media, MemberJob, Observation, Run, StageTrace
from inference.pipeline.run import Trace
from inference.pipeline.stages import Stage
from inference.services.jobs import claim_job, complete_job, fail_job
from inference.services.work import execute_job
from tests.factories import SIGNATURE, make_policy, make_site, make_user, vector
from tests.pictures import photo
from triage.choices import (
    WAITING,
    CaseStatus,
    RetakeReason,
    ReviewAction,
    Role,
    SiteKind,
    SkipReason,
)
from triage.errors import TriageError
from triage.management.commands.sweep import sweep
from triage.models import (
    Ask,
    AuditEvent,
    Case,
    Decision,
    Erasure,
    Lease,
    LegalHold,
    Review,
    Site,
)
from triage.selectors.accounts import accounts
from triage.selectors.chains import verify
from triage.selectors.readings import standing
from triage.services import asking, erasing, intake, queue, reviews
from triage.services.decisions import decide

pytestmark = pytest.mark.django_db
MEMBERS = ("alpha", "beta", "gamma")
LABELS = st.sampled_from(("Burns", "Cut", "Bruises"))
ANY = st.integers(0, 99)
LONG, ATTEMPTS = timedelta(days=2), 3
# Said here once more: what the product may do is not to be held against its own lists.
NOT_NEEDED = (CaseStatus.ACCEPTED, CaseStatus.RESOLVED, CaseStatus.RETAKE)
TOLD = {
    ReviewAction.ANSWER: ("resolved", "read", "read otherwise"),
    ReviewAction.UNDO: ("took back",),
    ReviewAction.PASS: ("passed on",),
    ReviewAction.SKIP: ("skipped",),
    ReviewAction.RETAKE: ("asked for a new photo",),
}
FIELDS = ({"description": "red"}, {"reasoning": "so", "label": "Cut"}, {"label": "Cut"})
SLOWLY: Any = tuple(
    Trace(stage, raw_text="{}", fields=said, valid=True)
    for stage, said in zip(Stage, FIELDS, strict=True)
)
VECTORS = (vector("red").tobytes(), vector("so").tobytes(), None)


class Ways(RuleBasedStateMachine):
    """A clinic, a household, their people, workers whose messages may be lost or come twice.

    Whoever or whatever a step concerns is drawn as a number and taken modulo how many there are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stored = transaction.atomic()
        self.stored.__enter__()
        self.messages: list[int] = []
        self.taken_in = 0
        self.seen: dict[UUID, tuple[int, str]] = {}
        self.slow: list[MemberJob] = []
        self.sums: dict[UUID, object] = {}
        self.settled: dict[int, object] = {}

    def teardown(self) -> None:
        try:
            if self.seen:
                self.nothing_that_is_refused_is_done()
                self.come_to_rest()
        finally:
            transaction.set_rollback(True)
            self.stored.__exit__(None, None, None)

    @initialize(seed=st.integers(0, 999), double=st.sampled_from((0.0, 0.5)))
    def open_the_doors(self, seed: int, double: float) -> None:
        self.random = Random(seed)
        self.clinic = make_site()
        self.home = make_site(kind=SiteKind.HOUSEHOLD, domain="wound")
        Site.objects.filter(pk=self.clinic.pk).update(blind_share=double, double_share=double)
        self.clinicians = [make_user(self.clinic) for _ in range(3)]
        self.caregivers = [make_user(self.home, Role.CAREGIVER) for _ in range(2)]
        self.administrator = make_user(self.clinic, Role.ADMINISTRATOR)
        make_policy(self.clinic, audit_share=0.3)
        for at_home in (False, False, False, True):
            self.a_photo_comes(at_home)
        self.all_messages_arrive(0)

    # What a step needs -------------------------------------------------------------------------

    @contextmanager
    def act(self) -> Iterator[None]:
        """A request: what it puts off is done at its end; one that is refused changes nothing."""

        def hear(task: str, *args: object, queue: str) -> bool:
            if task == EXECUTE_MEMBER:
                self.messages.append(int(str(args[0])))
            return True

        queue.end_expired_leases()
        before = self.books()
        with (
            patch("inference.dispatch.hint", hear),
            # What a member says depends on its observation's id: the same way is the same again.
            patch("os.urandom", self.random.randbytes),
            patch("triage.services.decisions._drawn", lambda share: self.random.random() < share),
            TestCase.captureOnCommitCallbacks(execute=True),
        ):
            try:
                yield
            except TriageError:
                assert self.books() == before, "it was refused, and has changed something"

    def books(self) -> list[object]:
        cases = Case.objects.order_by("pk").values_list("pk", "status", "version", "label")
        counted = (Review, Lease, AuditEvent, Erasure, LegalHold, Observation, Decision)
        return [*cases, *(rows.objects.count() for rows in counted)]

    def case(self, number: int, *, site: Site | None = None, **wanted: object) -> Case | None:
        cases = list(Case.objects.filter(site=site or self.clinic, **wanted).order_by("created_at"))
        return cases[number % len(cases)] if cases else None

    def clinician(self, number: int) -> User:
        return self.clinicians[number % len(self.clinicians)]

    def caregiver(self, number: int) -> User:
        return self.caregivers[number % len(self.caregivers)]

    def hold_of(self, who: int) -> Lease | None:
        """What this person holds, else the next case that they are given."""
        held = []
        with self.act():
            held.append(queue.claim_next(site=self.clinic, user=self.clinician(who)))
        return held[0] if held else None

    def erase(self, case: Case) -> None:
        """What a person still needs, a hold keeps or is erased already is not erased."""
        on = Q(case=case) | (Q(subject=case.subject) if case.subject else Q(pk=None))
        held = LegalHold.objects.filter(on, lifted_at=None).exists()
        may = case.status in NOT_NEEDED and not held and case.erased_at is None
        before = Erasure.objects.count()
        with self.act():
            erasing.erase_case(case=case, actor=self.administrator, reason="asked for")
        assert Erasure.objects.count() == before + may, (case.status, held, case.erased_at)

    def answer(self, case: Case, token: UUID, user: User, *, ago: int = 0) -> None:
        version = Case.objects.get(pk=case.pk).version - ago
        reviews.submit_review(case=case, token=token, user=user, label="Cut", version=version)

    def take_in(self, site: Site, **words: object) -> None:
        self.taken_in += 1
        data = KEPT + self.taken_in.to_bytes(4, "big")
        with self.act():
            opened = intake.open_case(site=site, data=data, **words)  # type: ignore[arg-type]
            again = intake.open_case(site=site, data=data)
            assert (opened.created, again.created) == (True, False)
            assert again.case == opened.case

    # The machine -------------------------------------------------------------------------------

    @rule(at_home=st.booleans())
    def a_photo_comes(self, at_home: bool) -> None:
        self.take_in(self.home if at_home else self.clinic, subject="P-1")

    @rule(number=ANY, stays=st.booleans())
    def a_message_arrives(self, number: int, stays: bool) -> None:
        """It may come again."""
        if self.messages:
            place = number % len(self.messages)
            job = self.messages[place] if stays else self.messages.pop(place)
            with self.act():
                execute_job(job_id=job)

    @rule(number=ANY)
    def all_messages_arrive(self, number: int) -> None:
        while self.messages:
            self.a_message_arrives(number, stays=False)

    @rule()
    def the_broker_forgets(self) -> None:
        self.messages.clear()

    @rule(number=ANY, how=st.sampled_from(("dies", "fails", "fails for good")))
    def a_worker_breaks(self, number: int, how: str) -> None:
        if not self.messages:
            return
        with self.act():
            job = claim_job(job_id=self.messages.pop(number % len(self.messages)))
            if job and how != "dies":
                fail_job(job, error="it broke", permanent=how == "fails for good")

    @rule(number=ANY)
    def a_worker_is_slow(self, number: int) -> None:
        """It has a job in hand, and its lease may run out before it answers."""
        if self.messages:
            with self.act():
                job = claim_job(job_id=self.messages.pop(number % len(self.messages)))
            self.slow += [job] if job else []

    @rule(number=ANY, gone=st.booleans())
    def the_slow_worker_answers(self, number: int, gone: bool) -> None:
        """What it says counts if the job is still its own, and else changes nothing."""
        if not self.slow:
            return
        job = self.slow.pop(number % len(self.slow))
        if gone:
            self.the_broom_comes_later(deadline=False)
            for _ in self.messages[:]:
                self.a_message_arrives(0, stays=False)
        now = MemberJob.objects.get(pk=job.pk)
        mine = now.token == job.token and now.status == MemberJob.Status.RUNNING
        with self.act():
            assert complete_job(job, SLOWLY, VECTORS) == mine

    @rule(deadline=st.booleans())
    def the_broom_comes_later(self, deadline: bool) -> None:
        """Whatever was held by nobody alive has run out by then, and perhaps the runs' time too."""
        MemberJob.objects.update(lease_until=F("lease_until") - LONG, sent_at=F("sent_at") - LONG)
        open_leases = Lease.objects.filter(ended_at=None)
        open_leases.update(taken_at=F("taken_at") - LONG, expires_at=F("expires_at") - LONG)
        if deadline:
            Run.objects.update(deadline_at=F("deadline_at") - LONG)
        with self.act():
            sweep()
        assert not Lease.objects.filter(ended_at=None).exists()

    # People ------------------------------------------------------------------------------------

    @rule(who=ANY)
    def somebody_takes_the_next(self, who: int) -> None:
        self.hold_of(who)

    @rule(who=ANY, which=ANY)
    def somebody_takes_one(self, who: int, which: int) -> None:
        if case := self.case(which):
            with self.act():
                queue.claim(case=case, user=self.clinician(who))

    @rule(who=ANY, how=st.sampled_from(("let go", "skip", "pass on", "take away")))
    def somebody_lets_go(self, who: int, how: str) -> None:
        if lease := self.hold_of(who):
            with self.act():
                match how:
                    case "let go":
                        queue.release(lease=lease)
                    case "skip":
                        queue.skip(lease=lease, reason=SkipReason.TIME)
                    case "pass on":
                        to = self.random.choice((None, self.clinician(who + 1).pk))
                        queue.pass_on(lease=lease, to=to)
                    case "take away":
                        queue.take_away(lease=lease, actor=self.administrator)

    @rule(who=ANY, answerer=ANY, label=LABELS, old=st.integers(0, 5))
    def somebody_answers(self, who: int, answerer: int, label: str, old: int) -> None:
        """Now and then with another's hold, or about a case as it was."""
        answerer = answerer if old == 1 else who
        if lease := self.hold_of(who):
            version = lease.case.version - (old == 2)
            with self.act():
                reviews.submit_review(
                    case=lease.case,
                    token=lease.token,
                    user=self.clinician(answerer),
                    label=label,
                    version=version,
                    comment="words",
                )
                assert self.clinician(answerer).pk == lease.holder_id and old != 2

    @rule(who=ANY)
    def somebody_asks_for_a_new_photo(self, who: int) -> None:
        if lease := self.hold_of(who):
            with self.act():
                reviews.ask_again(
                    case=lease.case,
                    token=lease.token,
                    user=self.clinician(who),
                    reason=RetakeReason.DARK,
                    version=lease.case.version,
                )

    @rule(which=ANY)
    def the_new_photo_comes(self, which: int) -> None:
        if case := self.case(which, status=CaseStatus.RETAKE):
            self.take_in(self.clinic, replaces=case)

    @rule(who=ANY, which=ANY)
    def somebody_takes_back(self, who: int, which: int) -> None:
        answered = Q(reviews__action=ReviewAction.ANSWER)
        cases = list(Case.objects.filter(answered, site=self.clinic).distinct())
        if cases:
            case, user = cases[which % len(cases)], self.clinician(who)
            decisive = (ReviewAction.ANSWER, ReviewAction.UNDO, ReviewAction.RETAKE)
            last = case.reviews.filter(action__in=decisive).order_by("pk").last()
            with self.act():
                reviews.undo_review(case=case, user=user)
                assert last and (last.reviewer_id, last.action) == (user.pk, ReviewAction.ANSWER)

    @rule(who=ANY, which=ANY, label=LABELS, sure=st.booleans())
    def somebody_answers_at_home(self, who: int, which: int, label: str, sure: bool) -> None:
        if case := self.case(which, site=self.home):
            with self.act():
                if sure:
                    reviews.answer_at_home(case=case, user=self.caregiver(who), label=label)
                else:
                    asking.not_sure(case=case, user=self.caregiver(who))

    @rule(which=ANY, at_home=st.booleans())
    def a_case_is_erased(self, which: int, at_home: bool) -> None:
        if case := self.case(which, site=self.home if at_home else self.clinic):
            self.erase(case)

    @rule(which=ANY, subject=st.booleans())
    def a_hold_is_put_or_lifted(self, which: int, subject: bool) -> None:
        if case := self.case(which):
            target = case.subject if subject and case.subject else case
            on = {"subject" if target is case.subject else "case": target}
            with self.act():
                held = LegalHold.objects.filter(lifted_at=None, **on).first()
                if held:
                    erasing.lift(held=held, actor=self.administrator, reason="over")
                else:
                    erasing.hold(target=target, actor=self.administrator, reason="a suit")

    # What always holds -------------------------------------------------------------------------

    @invariant()
    def the_books_balance(self) -> None:
        found = accounts()
        assert found.balanced, found
        assert found.observations == self.taken_in
        assert AuditEvent.objects.filter(verb="opened").count() == self.taken_in
        decided = Case.objects.exclude(status=CaseStatus.OPEN).count()
        assert AuditEvent.objects.filter(verb="decided").count() == decided

    @invariant()
    def a_case_in_review_is_held_by_one_who_holds_no_other(self) -> None:
        held = Lease.objects.filter(ended_at=None)
        in_review = Case.objects.filter(status=CaseStatus.IN_REVIEW)
        assert sorted(held.values_list("case", flat=True)) == sorted(
            in_review.values_list("pk", flat=True)
        )
        many = held.values("holder", "case__site").annotate(n=Count("pk")).filter(n__gt=1)
        assert not many.exists()

    @invariant()
    def a_change_of_state_is_a_new_version(self) -> None:
        now = {pk: (v, s) for pk, v, s in Case.objects.values_list("pk", "version", "status")}
        for pk, (version, status) in self.seen.items():
            assert now[pk][0] >= version
            assert now[pk][1] == status or now[pk][0] > version
        self.seen = now

    @invariant()
    def what_is_resolved_has_somebodys_label(self) -> None:
        for case in Case.objects.filter(status=CaseStatus.RESOLVED).prefetch_related("reviews"):
            assert case.label in {one.label for one in standing(case.reviews.all())}
            assert case.resolved_at is not None

    @invariant()
    def what_is_erased_is_gone_and_what_is_held_is_not(self) -> None:
        erased = Case.objects.exclude(erased_at=None)
        assert not erased.exclude(status__in=NOT_NEEDED).exists()
        assert not Review.objects.filter(case__in=erased).exclude(comment="").exists()
        assert not Media.objects.filter(observation__case__in=erased).exclude(shown="").exists()
        traces = StageTrace.objects.filter(run__observation__case__in=erased)
        assert not traces.exclude(raw_text="").exists()
        assert (
            erased.count()
            == Erasure.objects.count()
            == Erasure.objects.exclude(files_gone_at=None).count()
        )

    @invariant()
    def each_member_has_answered_once(self) -> None:
        stages = (
            StageTrace.objects.filter(late=False)
            .values("run", "member", "stage")
            .annotate(n=Count("pk"))
        )
        assert not stages.filter(n__gt=1).exists()
        done = MemberJob.objects.filter(status=MemberJob.Status.DONE).count()
        assert StageTrace.objects.filter(late=False).count() == 3 * done

    @invariant()
    def a_run_is_summed_up_once_and_by_those_who_answered_in_time(self) -> None:
        finished = Run.objects.exclude(status__in=Run.UNFINISHED)
        for run in finished.prefetch_related("hypotheses", "scores", "jobs"):
            held = sorted((row.label, sorted(row.members)) for row in run.hypotheses.all())
            scores = sorted((row.method, row.value) for row in run.scores.all())
            found = (run.status, run.prediction, run.problems, held, scores)
            assert self.sums.setdefault(run.pk, found) == found
            done = {one.member for one in run.jobs.all() if one.status == MemberJob.Status.DONE}
            assert {name for _label, members in held for name in members} <= done

    @invariant()
    def what_was_decided_stays(self) -> None:
        rows = Decision.objects.values_list("pk", "case", "run", "outcome", "label", "policy")
        for pk, *found in rows:
            assert self.settled.setdefault(pk, found) == found

    @invariant()
    def every_act_stands_in_the_history(self) -> None:
        events = AuditEvent.objects.exclude(actor=None).order_by()
        told = Counter(events.values_list("verb", "case", "actor"))
        said = Counter(Review.objects.order_by().values_list("action", "case", "reviewer"))
        for action, verbs in TOLD.items():
            wanted = {key[1:]: n for key, n in said.items() if key[0] == action}
            found: Counter[tuple[object, ...]] = Counter()
            for (verb, *key), n in told.items():
                if verb in verbs:
                    found[*key] += n
            assert found == wanted, action
        counted = Counter(AuditEvent.objects.order_by().values_list("verb", flat=True))
        assert counted["erased"] == Erasure.objects.count()
        assert counted["asked"] == Ask.objects.count()
        assert counted["legal hold set"] == LegalHold.objects.count()
        assert counted["legal hold lifted"] == LegalHold.objects.exclude(lifted_at=None).count()

    @invariant()
    def a_label_is_the_one_that_was_told_last(self) -> None:
        for case in Case.objects.filter(status=CaseStatus.RESOLVED):
            events = AuditEvent.objects.filter(case=case, verb="resolved").order_by("pk")
            last = events.last()
            assert last and last.details["label"] == case.label

    def is_refused(self, do: Callable[[], object]) -> None:
        with self.act():
            do()
            raise AssertionError("it was not refused")

    def nothing_that_is_refused_is_done(self) -> None:
        """At the end of each way everything is tried by those who may not, or when it is late."""
        self.no_late_answer_counts()
        if lease := self.hold_of(0):
            with self.act():
                self.answer(lease.case, lease.token, lease.holder)
            with self.act():  # which a blind answer refuses
                reviews.undo_review(case=lease.case, user=lease.holder)
        self.hold_of(1)
        for case in Case.objects.order_by("created_at"):
            self.no_second_decision(case)
            self.no_strange_answer(case)
            self.erase(Case.objects.select_related("subject").get(pk=case.pk))
        for lease in Lease.objects.filter(ended_at=None).select_related("holder", "case"):
            self.no_second_hold(lease)
            self.no_answer_to_what_has_changed(lease)
        for job in MemberJob.objects.all():
            job.token, job.attempt = UUID(int=0), job.attempt + 50
            with self.act():
                assert not complete_job(job, SLOWLY, VECTORS)
        for check in (
            self.the_books_balance,
            self.a_case_in_review_is_held_by_one_who_holds_no_other,
            self.what_is_erased_is_gone_and_what_is_held_is_not,
            self.each_member_has_answered_once,
            self.a_run_is_summed_up_once_and_by_those_who_answered_in_time,
            self.what_was_decided_stays,
            self.every_act_stands_in_the_history,
        ):
            check()

    def no_late_answer_counts(self) -> None:
        """Of a worker that was given up, while the others are still asked."""
        self.take_in(self.clinic)
        run = Run.objects.get(observation__case=Case.objects.latest("created_at"))
        given_up, *others = run.jobs.order_by("pk").values_list("pk", flat=True)
        with self.act():
            job = claim_job(job_id=given_up)
            assert job
            fail_job(job, error="it was silent", permanent=True)
            assert not complete_job(job, SLOWLY, VECTORS)
        for pk in others:
            with self.act():
                execute_job(job_id=pk)

    def no_second_decision(self, case: Case) -> None:
        if case.status != CaseStatus.OPEN:
            for run in Run.objects.filter(observation__case=case):
                with self.act():
                    assert decide(run=run) is None

    def no_strange_answer(self, case: Case) -> None:
        decisive = (ReviewAction.ANSWER, ReviewAction.UNDO, ReviewAction.RETAKE)
        last = case.reviews.filter(action__in=decisive).order_by("pk").last()
        for user in self.clinicians:
            if last and (last.reviewer_id, last.action) != (user.pk, ReviewAction.ANSWER):
                self.is_refused(partial(reviews.undo_review, case=case, user=user))
        for lease in Lease.objects.filter(case=case).select_related("holder"):
            for user in self.clinicians:
                if lease.ended_at or user.pk != lease.holder_id:
                    self.is_refused(partial(self.answer, case, lease.token, user))

    def no_second_hold(self, lease: Lease) -> None:
        for user in self.clinicians:
            if user.pk != lease.holder_id:
                self.is_refused(partial(queue.claim, case=lease.case, user=user))
        for case in Case.objects.filter(site=self.clinic, status__in=WAITING):
            self.is_refused(partial(queue.claim, case=case, user=lease.holder))

    def no_answer_to_what_has_changed(self, lease: Lease) -> None:
        """Neither to a case as it was, nor once the hold has run out and nobody has swept."""
        self.is_refused(partial(self.answer, lease.case, lease.token, lease.holder, ago=1))
        past = F("expires_at") - LONG
        Lease.objects.filter(pk=lease.pk).update(taken_at=F("taken_at") - LONG, expires_at=past)
        with pytest.raises(TriageError):
            self.answer(lease.case, lease.token, lease.holder)
        with self.act():
            queue.end_expired_leases()

    def come_to_rest(self) -> None:
        """In the end nothing is in flight, no history has a gap, and no file is without its row."""
        for _ in range(ATTEMPTS):
            self.the_broom_comes_later(deadline=False)
            for job in list(self.messages):
                with self.act():
                    execute_job(job_id=job)
            self.messages.clear()
        assert accounts().in_flight == 0
        assert verify().intact
        queued = Case.objects.filter(waiting_due_at__isnull=False).count()
        assert queued == Case.objects.filter(status__in=WAITING).count()


KEPT = photo()


@pytest.fixture(autouse=True)
def world(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that answer at once, one picture that is decoded once, and nothing to load."""
    members = tmp_path / "members.toml"
    lines = (
        f'{name} = {{ backend = "scripted", domains = ["wound"], options = {{ agreement = 0.5 }} }}'
        for name in MEMBERS
    )
    members.write_text("[members]\n" + "\n".join(lines))
    settings.ALARM_MEMBERS, settings.MEDIA_ROOT = members, tmp_path / "media"
    decoded = sanitise(KEPT, limits=Limits())

    def kept(data: bytes, limits: Limits) -> Sanitised:
        return replace(decoded, sha256=sha256(data).hexdigest())

    monkeypatch.setattr("triage.services.intake.sanitise", kept)
    monkeypatch.setattr("inference.ensemble.signature", lambda _pins: SIGNATURE)
    monkeypatch.setattr("inference.services.work.embed", lambda texts: [vector(t) for t in texts])
    monkeypatch.setattr("triage.management.commands.sweep.check_due", lambda: 0)
    for where in ("inference.services.looking", "triage.selectors.familiarity"):
        monkeypatch.setattr(f"{where}.load_reference", lambda _domain: None)


def test_no_way_of_acting_breaks_the_books() -> None:
    soaking = settings.get_current_profile_name() == "soak"
    wanted = settings() if soaking else settings(max_examples=5, stateful_step_count=20)
    wanted = settings(wanted, deadline=None, suppress_health_check=list(HealthCheck))
    run_ways(Ways, settings=wanted)
