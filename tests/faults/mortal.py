"""Processes that are born to be killed, for the tests beside this file.

    DATABASE_URL=... python -m tests.faults.mortal MEDIA_FOLDER MEMBERS_FILE

Reads orders, one JSON a line, and answers each with one line: how the process ended that carried it
out (0, or minus the signal). Each order gets a process of its own, forked from this one, which has
loaded everything and touched nothing. An order may say where its process is to die:

    {"act": "live", "site": 1, "photo": "a path", "death": ["inference.dispatch.send", "before", 1]}
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import django

LEASE_S, PATIENCE_S = 0.5, 60.0


def live(*, site: int, photo: str) -> None:
    """What a web process and a worker do for one photo, from its coming to its decision."""
    from inference.models import MemberJob
    from inference.services.work import execute_job
    from triage.models import Site
    from triage.services.intake import open_case

    case = open_case(site=Site.objects.get(pk=site), data=Path(photo).read_bytes()).case
    for job in MemberJob.objects.filter(run__observation__case=case).order_by("pk"):
        execute_job(job_id=job.pk)


def recover() -> None:
    """What a sweep and a fresh worker do until nothing is in flight; after 60 s it fails."""
    from inference.dispatch import EXECUTE_MEMBER
    from inference.services.work import execute_job
    from triage.management.commands.sweep import sweep
    from triage.selectors.accounts import accounts

    told: list[tuple[Any, ...]] = []

    def hear(task: str, *args: object, queue: str) -> bool:
        told.append((task, *args))
        return True

    deadline = time.monotonic() + PATIENCE_S
    with patch("inference.dispatch.hint", hear):
        while True:
            sweep()
            while told:
                task, row = told.pop(0)
                if task == EXECUTE_MEMBER:
                    execute_job(job_id=row)
            if not accounts().in_flight:
                break
            assert time.monotonic() < deadline, accounts()
            time.sleep(0.05)
        sweep()


def die_at(path: str, when: str, nth: int) -> None:
    """From now on the nth call of what stands at `path` ends this process, as `kill -9` does."""
    calls = 0

    def mortal(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if (calls, when) == (nth, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if (calls, when) == (nth, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    patcher = patch(path, mortal)
    real = patcher.get_original()[0]
    patcher.start()


def carry_out(order: dict[str, Any]) -> None:
    act, death = order.pop("act"), order.pop("death", None)
    if death:
        die_at(*death)
    acts: dict[str, Callable[..., None]] = {"live": live, "recover": recover}
    acts[act](**order)


def give_birth(order: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        try:
            os.dup2(2, 1)
            carry_out(order)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(media: str, members: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.conf import settings

    from tests.factories import vector

    settings.MEDIA_ROOT, settings.ALARM_MEMBERS = media, Path(members)
    settings.ALARM_JOB_LEASE_S = LEASE_S
    # Models of their own: torch does not outlive a fork, and nothing here depends on what is seen.
    patch("inference.services.work.embed", lambda texts: [vector(text) for text in texts]).start()
    for where in ("inference.services.looking", "triage.selectors.familiarity"):
        patch(f"{where}.load_reference", lambda _domain: None).start()
    import triage.management.commands.sweep  # noqa: F401

    for line in sys.stdin:
        print(give_birth(json.loads(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
