"""A member's health is told by a real answer, asked for by a worker and once."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from inference import dispatch
from inference.backends.registry import MemberSpec
from inference.drawings.samples import samples
from inference.models import Probe
from inference.pipeline.stages import Stage
from inference.services import probes
from inference.signals import probe_ended
from inference.tasks import execute_probe

pytestmark = pytest.mark.django_db
Capture = Callable[..., object]


def spec(name: str = "alpha", **options: object) -> MemberSpec:
    return MemberSpec(name, "scripted", name, ("wound", "home"), options=options)


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> list[MemberSpec]:
    found = [spec()]
    monkeypatch.setattr("inference.ensemble.all_members", lambda: tuple(found))
    return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []

    def hint(task: str, *args: object, queue: str) -> bool:
        found.append((task, *args, queue))
        return True

    monkeypatch.setattr(dispatch, "hint", hint)
    return found


def asked(domain: str = "wound") -> Probe:
    probe = probes.ask(spec=spec(), domain_id=domain)
    execute_probe(probe.pk)
    return Probe.objects.get(pk=probe.pk)


def test_a_worker_of_the_member_is_pointed_at_the_question(
    sent: list[tuple[object, ...]], django_capture_on_commit_callbacks: Capture
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        probe = probes.ask(spec=spec(), domain_id="wound")
    assert sent == [("inference.tasks.execute_probe", probe.pk, "member.alpha")]
    assert (probe.status, probe.sample) == ("queued", samples("wound")[0].name)


def test_what_it_said_is_stored(members: list[MemberSpec]) -> None:
    drawn = samples("wound")[0]
    members[0] = spec(answers={"any": {"label": drawn.label}, "reflection": {"label": drawn.label}})
    probe = asked()
    assert (probe.status, probe.valid, probe.error) == ("done", True, "")
    assert probe.label == probe.expected == drawn.label
    assert probe.tokens > 0 and probe.ended_at and probe.began_at
    assert set(probe.fields) == set(Stage) and probe.fields["analysis"]["label"] == drawn.label


def test_one_drawing_after_the_other_is_shown(members: list[MemberSpec]) -> None:
    names = [asked("home").sample for _ in range(len(samples("home")) + 1)]
    assert names == [one.name for one in samples("home")] + [samples("home")[0].name]


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [("unavailable", "failed", "its model is not there"), ("garbage", "done", "")],
)
def test_what_is_wrong_is_stored_in_words(
    members: list[MemberSpec], fault: str, status: str, words: str
) -> None:
    members[0] = spec("alpha", fail=fault)
    probe = asked()
    assert (probe.status, probe.valid) == (status, False)
    assert words in probe.error and probe.error


def test_a_member_that_is_gone_fails(members: list[MemberSpec]) -> None:
    members.clear()
    assert asked().error == "member alpha is not configured"
    with pytest.raises(LookupError):
        probes.ask(spec=spec(), domain_id="garden")


def test_a_question_that_waits_is_not_asked_twice_nor_answered_twice(
    members: list[MemberSpec],
) -> None:
    first = probes.ask(spec=spec(), domain_id="wound")
    assert probes.ask(spec=spec(), domain_id="wound") == first
    execute_probe(first.pk)
    ended = Probe.objects.get(pk=first.pk).ended_at
    execute_probe(first.pk)
    assert Probe.objects.get(pk=first.pk).ended_at == ended
    assert probes.ask(spec=spec(), domain_id="wound") != first


def test_the_sweep_asks_each_member_now_and_then(
    members: list[MemberSpec], settings: object
) -> None:
    members.append(spec("beta"))
    assert probes.ask_those_due(domains={"wound"}) == 2
    assert probes.ask_those_due(domains={"wound"}) == 0, "they were asked just now"
    assert probes.ask_those_due(domains={"home"}) == 2
    Probe.objects.update(asked_at=timezone.now() - timedelta(minutes=61), status="done")
    assert probes.ask_those_due(domains={"wound", "home"}) == 4
    Probe.objects.update(asked_at=timezone.now() - timedelta(minutes=61), status="done")
    settings.ALARM_HEALTH_MINUTES = 0  # type: ignore[attr-defined]
    assert probes.ask_those_due(domains={"wound"}) == 0


def test_what_no_worker_answers_is_given_up(members: list[MemberSpec]) -> None:
    told: list[int] = []
    listener = lambda probe_id, **_: told.append(probe_id)  # noqa: E731
    probe_ended.connect(listener)
    young, waiting, taken = (Probe.objects.create(member=n, domain="wound") for n in "abc")
    Probe.objects.exclude(pk=young.pk).update(asked_at=timezone.now() - timedelta(minutes=31))
    Probe.objects.filter(pk=taken.pk).update(status="running")
    assert probes.give_up_unheard() == 2
    errors = dict(Probe.objects.values_list("member", "error"))
    assert errors == {
        "a": "",
        "b": "no worker took the question",
        "c": "its worker stopped over it",
    }
    assert told == [waiting.pk, taken.pk]
