"""A process that no call can work in ends, and what it held is asked again."""

import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest
from pytest_django import Settings

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import DeviceLost, GenerationFailed, device_is_lost
from inference.backends.registry import MemberSpec
from inference.models import MemberJob, Probe, StageTrace
from inference.services import ending, probes, work
from inference.services.ending import DEVICE_LOST, HUNG, Watched
from inference.services.jobs import claim_alike, claim_job
from inference.tasks import execute_probe
from tests.inference.test_batching import SPEC, Recorded, job, member, waiting

__all__ = ["member"]
Endings = list[tuple[int, str]]


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch) -> Endings:
    found: Endings = []

    def end(status: int, words: str) -> None:
        found.append((status, words))

    for where in (ending, work, probes):
        monkeypatch.setattr(where, "end_process", end)
    return found


class AcceleratorError(RuntimeError):
    """Of this name is torch's."""


class Breaking(Recorded):
    """Fails with the same error whatever it is asked."""

    error: Exception = DeviceLost("AcceleratorError: CUDA error: device-side assert triggered")

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        self.sizes.append(len(requests))
        raise self.error


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (AcceleratorError("an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("HIP error: invalid argument"), True),
        (DeviceLost("gone"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), False),
        (GenerationFailed("the server says: CUDA error: out of memory"), False),
        (ValueError("a word with error in it"), False),
    ],
)
def test_what_a_lost_device_is(error: Exception, lost: bool) -> None:
    assert device_is_lost(error) == lost


@pytest.mark.django_db
@pytest.mark.parametrize("error", [Breaking.error, AcceleratorError("no kernel image")])
def test_a_lost_device_ends_the_process_once_its_jobs_are_given_back(
    member: Recorded, endings: Endings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    broken = Breaking(SPEC)
    broken.error = error
    monkeypatch.setattr(work, "load_backend", lambda spec: broken)
    runs = waiting(2)
    work.execute_job(job_id=job(runs[0]).pk)
    assert [status for status, _ in endings] == [DEVICE_LOST]
    assert "alpha" in endings[0][1]
    assert broken.sizes == [2], "nobody asks a lost device again"
    assert [(job(run).status, job(run).attempt) for run in runs] == [("queued", 1)] * 2
    assert not StageTrace.objects.exists()
    first = claim_job(job_id=job(runs[0]).pk)
    assert first and not claim_alike(first, at_most=9), "what was tried is tried alone"


@pytest.mark.django_db
def test_a_plain_failure_ends_nothing(member: Recorded, endings: Endings) -> None:
    [run] = waiting(1)
    member.broken = [1]
    work.execute_job(job_id=job(run).pk)
    assert not endings
    assert job(run).status == MemberJob.Status.QUEUED


@pytest.mark.django_db
def test_a_question_for_a_members_health_ends_it_too(
    endings: Endings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = MemberSpec("alpha", "scripted", "alpha", ("wound",))
    monkeypatch.setattr("inference.ensemble.all_members", lambda: (spec,))
    monkeypatch.setattr(probes, "load_backend", Breaking)
    execute_probe(probes.ask(spec=spec, domain_id="wound").pk)
    assert Probe.objects.get().status == Probe.Status.FAILED
    assert [status for status, _ in endings] == [DEVICE_LOST]


def test_a_call_that_hangs_ends_the_process_and_one_that_ends_does_not(
    endings: Endings, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.ALARM_HANG_S = 0.05
    over = threading.Event()

    def end(status: int, words: str) -> None:
        endings.append((status, words))
        over.set()

    monkeypatch.setattr(ending, "end_process", end)

    class Hanging(Recorded):
        def generate(
            self, requests: Sequence[Request], on_text: OnText | None = None
        ) -> list[Generation]:
            assert over.wait(30)
            # As the call is on its way out: Python's own watchdog is not to come on top.
            return []

    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda *_a, **_k: None)
    Watched("alpha", Hanging(SPEC)).generate([Request("look", deadline_s=0.01)])
    assert [(status, words.split(":")[0]) for status, words in endings] == [(HUNG, "alpha hangs")]

    ended = Watched("alpha", Recorded(SPEC, broken=(0,)))
    with pytest.raises(GenerationFailed):
        ended.generate([Request("look", deadline_s=0.01)])
    for thread in threading.enumerate():
        if thread.name == "watch":
            thread.join(30)
    assert len(endings) == 1


HANGS = """
import ctypes, django, time
django.setup()
from django.conf import settings
from inference.backends.base import Request
from inference.services.ending import Watched
settings.ALARM_HANG_S = 0.1
class Backend:
    def generate(self, requests, on_text=None):
        {hang}
Watched("alpha", Backend()).generate([Request("look", deadline_s=0.1)])
"""


@pytest.mark.parametrize(
    ("hang", "status", "says"),
    [
        ("time.sleep(60)", HUNG, "alpha hangs"),
        # Native code that keeps Python's lock: no thread of Python's can end it.
        ("ctypes.PyDLL(None).sleep(60)", 1, "Timeout"),
    ],
)
def test_a_real_process_that_hangs_is_over(hang: str, status: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS.format(hang=hang)], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
