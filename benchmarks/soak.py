"""All of the product for hours, while its processes are killed: nothing is lost or done twice.

    python -m benchmarks.soak [--minutes N] [--database sqlite|postgresql] [--seed N]

Cameras send, now and then the same again; reviewers take cases, answer, or go away with them. Every
half minute something is killed, or forgets: the worker, the broker, the broom, the web, PostgreSQL.
Each time the books must balance, and at the end nothing may be in flight and no history have a gap.
The exit code is 1 where they do not. The ways that single steps can go are tried by
`./test tests/faults/test_ways.py --hypothesis-profile=soak`.
"""

import argparse
import contextlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from redis import Redis

import benchmarks.configured  # noqa: F401
from benchmarks.load import MEMBERS
from benchmarks.review_room import Reviewer
from tests import services
from tests.e2e.conftest import Stack, start_stack, stop_stack
from tests.pictures import photo
from triage.services.demo import PASSWORD

CLINIC = "Riverside wound clinic"
REVIEWERS = ("clinician", "clinician2")
PAUSE_S, REST_S = 30.0, 300.0


class Soak:
    """What came in, and how it goes."""

    def __init__(self, stack: Stack, database: str, seed: int) -> None:
        self.stack, self.database = stack, database
        self.chance = random.Random(seed)  # noqa: S311
        self.over = threading.Event()
        self.sent: set[str] = set()
        self.answered = 0

    def send(self) -> None:
        """A camera that sends until it has a receipt, and one photo in five twice."""
        token = self.stack.manage("token", CLINIC, "soak").strip()
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            for number in range(1 << 24):
                colour = (number >> 16 & 255, number >> 8 & 255, number & 255)
                for _ in range(1 + (number % 5 == 0)):
                    self._insist(client, photo(colour, side=96))
                if self.over.wait(self.chance.uniform(0.1, 1.0)):
                    return

    def _insist(self, client: httpx.Client, data: bytes) -> None:
        while not self.over.is_set():
            with contextlib.suppress(httpx.HTTPError):
                files = {"file": ("a.jpg", data, "image/jpeg")}
                answer = client.post(f"{self.stack.url}api/v1/observations", files=files)
                if answer.status_code in (200, 201):
                    self.sent.add(answer.json()["id"])
                    return
            time.sleep(0.5)

    def review(self, name: str) -> None:
        """Whatever goes wrong on the way, they sign in again and go on."""
        while not self.over.is_set():
            with contextlib.suppress(OSError, httpx.HTTPError, AssertionError, KeyError):
                self._review(Reviewer(self.stack.port, session_of(self.stack, name)))
            self.over.wait(2)

    def _review(self, reviewer: Reviewer) -> None:
        while not self.over.wait(self.chance.uniform(0.2, 1.5)):
            if reviewer.by_api():
                self.answered += 1

    def break_something(self) -> str:
        what = ["worker", "sweep", "web", "valkey", "forgets"] + ["database"] * bool(self.database)
        chosen = self.chance.choice(what)
        if chosen == "database":
            services.crash_postgres(self.database)
        elif chosen == "forgets":
            Redis(unix_socket_path=f"{self.stack.data}/run/valkey.sock").flushall()
        else:
            self.stack.kill(chosen)
        return chosen

    def books(self) -> str:
        """What `manage.py reconcile` says. Raises CalledProcessError where they do not balance."""
        for attempt in range(5):
            try:
                return self.stack.manage("reconcile").strip()
            except subprocess.CalledProcessError as error:
                if attempt == 4 or "do not balance" in error.stderr:
                    raise
                time.sleep(2)  # the database is just coming back
        raise AssertionError

    def rest(self) -> str:
        """The books once nothing is in flight any more."""
        deadline = time.monotonic() + REST_S
        while " 0 open" not in (said := self.books()):
            if time.monotonic() > deadline:
                raise SystemExit(f"still in flight: {said}")
            time.sleep(2)
        return said


def session_of(stack: Stack, name: str) -> str:
    """Signs in as a person of the demonstration."""
    with httpx.Client(base_url=stack.url, follow_redirects=True, timeout=30) as client:
        page = client.get("/sign-in/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        fields = {"username": name, "password": PASSWORD}
        client.post("/sign-in/", data=fields | {"csrfmiddlewaretoken": token[1] if token else ""})
        return client.cookies["sessionid"]


def soak(stack: Stack, database: str, minutes: float, seed: int) -> None:
    one = Soak(stack, database, seed)
    before = total(one.books())
    threads = [threading.Thread(target=one.send, daemon=True)]
    threads += [
        threading.Thread(target=one.review, args=(name,), daemon=True) for name in REVIEWERS
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        broken = one.break_something()
        print(f"{broken:<10} {one.books()}; {one.answered} answered", flush=True)
    one.over.set()
    for thread in threads:
        thread.join()
    said = one.rest()
    stack.manage("audit", "verify")
    print(f"{'at rest':<10} {said}; {len(one.sent)} sent, {one.answered} answered")
    if total(said) != before + len(one.sent):
        raise SystemExit(f"{len(one.sent)} were sent, {total(said) - before} are here")


def total(said: str) -> int:
    return int(said.split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with contextlib.ExitStack() as context:
        folder = Path(context.enter_context(tempfile.TemporaryDirectory(prefix="alarm-soak-")))
        (folder / "members.toml").write_text(MEMBERS)
        environment = {
            "ALARM_MEMBERS": str(folder / "members.toml"),
            "ALARM_JOB_LEASE_S": "3",
            "ALARM_TOKEN_CALLS": "100000",
            "ALARM_LEASE_MINUTES": "1",
        }
        url = ""
        if options.database == "postgresql":
            url = environment["DATABASE_URL"] = context.enter_context(services.postgres())
        stack = start_stack(folder, **environment)
        context.callback(stop_stack, stack)
        soak(stack, url, options.minutes, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
