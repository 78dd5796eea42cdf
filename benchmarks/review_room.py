"""Next and submit, as reviewers do it all day: server CPU, latency, cases a second, page weight.

    python -m benchmarks.review_room [--database sqlite|postgresql] [--cases N] [--reviewers N]

The product's own web processes on a fresh database, with a real Valkey and N cases that wait. First
one reviewer alone, by the API and by the pages, then all at once without a moment of thought; last
what the queue costs with all the cases that are left, and what the review page weighs. Beside each
number stands that of Label Studio 1.23 on the same kind of machine (SQLite), and what is to be
reached; what falls short is marked, and the exit code is 1.
"""

import argparse
import contextlib
import gzip
import http.client
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from alarm_site.children import dies_with
from alarm_site.supervisor import listen, web_programs
from benchmarks.ground import product, seed
from tests.services import valkey

ALONE, TOGETHER_S = 150, 15.0
READY_RUNS = 5
START_S = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
SUBMIT = re.compile(r'name="(version|token|csrfmiddlewaretoken)" value="([^"]+)"')


@dataclass(frozen=True)
class Number:
    """One line of the table; at most `reach`, or at least with `least`; None is not asked for."""

    name: str
    value: float
    unit: str
    theirs: str = ""
    reach: float | None = None
    least: bool = False

    @property
    def falls_short(self) -> bool:
        if self.reach is None:
            return False
        return self.value < self.reach if self.least else self.value > self.reach

    def __str__(self) -> str:
        wanted = "" if self.reach is None else f"{'>=' if self.least else '<='} {self.reach:g}"
        mark = "  FALLS SHORT" if self.falls_short else ""
        return f"{self.name:<58}{self.value:>9.1f} {self.unit:<8}{wanted:>9}  {self.theirs}{mark}"


# The server --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    port: int
    pids: list[int]

    def cpu(self) -> float:
        """Seconds of CPU that the web processes have used so far, user and system."""
        return sum(_ticks(pid) for pid in self.pids) / TICKS


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextlib.contextmanager
def web(folder: Path) -> Iterator[Server]:
    """The web processes as ./run starts them."""
    from django.conf import settings

    port = free_port()
    environment = {**os.environ, "PORT": str(port)}
    started = []
    with listen("127.0.0.1", port) as door, (folder / "web.log").open("wb") as log:
        for program in web_programs(door, settings.ALARM_WEB_PROCESSES):
            started.append(
                subprocess.Popen(
                    program.command,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    pass_fds=program.descriptors,
                    preexec_fn=dies_with(os.getpid()),
                )
            )
    try:
        deadline = time.monotonic() + START_S
        while not _answers(port):
            if time.monotonic() > deadline or any(one.poll() is not None for one in started):
                raise SystemExit((folder / "web.log").read_text()[-2000:])
            time.sleep(0.1)
        yield Server(port, [pid for one in started for pid in _family(one.pid)])
    finally:
        for one in started:
            one.terminate()
        for one in started:
            one.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        link.request("GET", "/sign-in/")
        return link.getresponse().status == 200
    return False


# The reviewers -----------------------------------------------------------------------------------


class Reviewer:
    """One person's browser, as light as it can be: a connection that stays, cookies, no scripts."""

    def __init__(self, port: int, session: str) -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookies = {"sessionid": session, "csrftoken": "b" * 32}
        self.given: list[str] = []
        self.page = ""

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
        """Follows redirects, as a browser would."""
        headers = {
            "Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()),
            "X-CSRFToken": "b" * 32,
            "Content-Type": kind,
        }
        self.link.request(method, path, body, headers)
        answer = self.link.getresponse()
        data = answer.read()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if answer.status in (301, 302, 303):
            return self.ask("GET", str(answer.headers["Location"]))
        return answer.status, data

    def by_api(self) -> bool:
        """One case, next and submit; whether there was one."""
        status, data = self.ask("POST", "/api/v1/cases/next/claim", b"{}", "application/json")
        if status != 200:
            return False
        lease = json.loads(data)
        self.given.append(lease["case"])
        body = {"token": lease["token"], "version": lease["version"], "label": "Cut"}
        address = f"/api/v1/cases/{lease['case']}/reviews"
        status, data = self.ask("POST", address, json.dumps(body).encode(), "application/json")
        assert status == 201, data[:500]
        return True

    def by_page(self) -> bool:
        """Submit what is on the page, and wait for the page of the next case."""
        if not self.page:
            self._open(self.ask("POST", "/queue/next/", b"", "application/x-www-form-urlencoded"))
        fields = dict(SUBMIT.findall(self.page)) | {"label": "Cut", "next": "1", "comment": ""}
        address = f"/cases/{self.given[-1]}/review/"
        body = urlencode(fields).encode()
        return self._open(self.ask("POST", address, body, "application/x-www-form-urlencoded"))

    def _open(self, answer: tuple[int, bytes]) -> bool:
        status, data = answer
        assert status == 200, data[:500]
        self.page = data.decode()
        found = re.search(r'action="/cases/([0-9a-f-]{36})/review/[?"]', self.page)
        if found:
            self.given.append(found[1])
        return bool(found)


def alone(
    server: Server, reviewer: Reviewer, step: Callable[[], bool]
) -> tuple[float, list[float]]:
    """CPU seconds a case, and the latency of each, after some that warm everything up."""
    for _ in range(15):
        step()
    before, times = server.cpu(), []
    for _ in range(ALONE):
        begun = time.perf_counter()
        assert step(), "no case was left"
        times.append(time.perf_counter() - begun)
    return (server.cpu() - before) / ALONE, times


def work(port: int, session: str, by_page: bool, begin: float, until: float) -> list[str]:
    """One of several at once; gives the cases that were given to it and that it answered."""
    reviewer = Reviewer(port, session)
    step = reviewer.by_page if by_page else reviewer.by_api
    time.sleep(max(0.0, begin - time.time()))
    answered = 0
    while time.time() < until and step():
        answered += 1
    return reviewer.given[:answered]


def together(server: Server, sessions: list[str], by_page: bool) -> tuple[float, int]:
    """Cases a second of all reviewers, and how many cases were given twice."""
    begin = time.time() + 3
    tasks = [(server.port, one, by_page, begin, begin + TOGETHER_S) for one in sessions]
    with multiprocessing.get_context("spawn").Pool(len(sessions)) as pool:
        given = [case for cases in pool.starmap(work, tasks) for case in cases]
    return len(given) / TOGETHER_S, len(given) - len(set(given))


# The pages ---------------------------------------------------------------------------------------


def listing(session: str, path: str) -> tuple[int, float]:
    """Queries and milliseconds of the server for one page, the median of ten."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="127.0.0.1")
    client.cookies["sessionid"] = session
    times, queries = [], 0
    for _ in range(10):
        begun = time.perf_counter()
        assert client.get(path).status_code == 200
        times.append(time.perf_counter() - begun)
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
        queries = len(captured)
    return queries, 1000 * median(times)


def weight(reviewer: Reviewer) -> tuple[float, float]:
    """The review page and what it loads, without media: kB gzipped, and kB as they are sent."""
    from alarm_site.settings import BASE_DIR

    paths = set(re.findall(r'(?:src|href)="(/static/[^"#]+)', reviewer.page))
    modules = {
        str(one.relative_to(BASE_DIR / "static"))
        for one in (BASE_DIR / "static/js").glob("*.js")
        if "app" in one.name
    }
    paths |= {f"/static/{one}" for one in modules} | {"/static/icons.svg"}
    bodies, sent = [reviewer.page.encode()], 0
    for path in sorted(paths):
        status, body = reviewer.ask("GET", path)
        assert status == 200, path
        bodies.append(body)
    zipped = sum(len(gzip.compress(body)) for body in bodies)
    headers = {
        "Cookie": "; ".join(f"{k}={v}" for k, v in reviewer.cookies.items()),
        "Accept-Encoding": "gzip",
    }
    for path in [*sorted(paths), f"/cases/{reviewer.given[-1]}/"]:
        reviewer.link.request("GET", path, headers=headers)
        sent += len(reviewer.link.getresponse().read())
    return zipped / 1000, sent / 1000


def ready(server: Server, session: str, case: str) -> float:
    """Milliseconds until the review page can be worked with, cold; the median of a few."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as driver:
        program = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
        browser = driver.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(READY_RUNS):
            context = browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
            context.add_cookies(
                [{"name": "sessionid", "value": session, "url": f"http://127.0.0.1:{server.port}"}]
            )
            page = context.new_page()
            begun = time.perf_counter()
            page.goto(f"/cases/{case}/", wait_until="domcontentloaded")
            page.wait_for_selector("[data-submit]")
            page.evaluate("() => new Promise(requestAnimationFrame)")
            times.append(time.perf_counter() - begun)
            context.close()
        browser.close()
    return 1000 * median(times)


# The whole ---------------------------------------------------------------------------------------


def measure(folder: Path, cases: int, reviewers: int) -> list[Number]:
    first, *others = seed(cases, reviewers)
    numbers = []
    with web(folder) as server:
        one = Reviewer(server.port, first)
        for name, step in (("API", one.by_api), ("pages", one.by_page)):
            cpu, times = alone(server, one, step)
            p95 = sorted(times)[int(0.95 * len(times))]
            for what, value, theirs, wanted in (
                ("server CPU", cpu, "100", 20),
                ("latency, median", median(times), "184", 40),
                ("latency, p95", p95, "228", 60),
            ):
                _keep(
                    numbers,
                    Number(f"next + submit by {name}: {what}", 1000 * value, "ms", theirs, wanted),
                )
        _keep(
            numbers, Number("review page gzipped, without media", *_kb(weight(one)[0]), "7800", 150)
        )
        _keep(numbers, Number("review page as it is sent", *_kb(weight(one)[1]), "7800", 150))
        _keep(
            numbers,
            Number(
                "review page ready, cold", ready(server, first, one.given[-1]), "ms", "2200", 500
            ),
        )
        for name, by_page in (("API", False), ("pages", True)):
            rate, twice = together(server, others, by_page)
            _keep(
                numbers, Number(f"{reviewers} at once by {name}", rate, "cases/s", "6.3", 60, True)
            )
            _keep(
                numbers,
                Number(f"{reviewers} at once by {name}: given twice", twice, "cases", "5 %", 0),
            )
    for name, path in (("queue", "/queue/"), ("list of cases", "/cases/")):
        queries, milliseconds = listing(first, path)
        _keep(numbers, Number(f"{name} of {cases} cases", milliseconds, "ms", "", 100))
        _keep(numbers, Number(f"{name} of {cases} cases: queries", queries, "", "", 20))
    return numbers


def _keep(numbers: list[Number], number: Number) -> None:
    """Said at once: the whole takes minutes."""
    print(number, flush=True)
    numbers.append(number)


def _kb(value: float) -> tuple[float, str]:
    return value, "kB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--reviewers", type=int, default=8)
    options = parser.parse_args()
    print(f"{options.database}, {options.cases} cases, {os.cpu_count()} cores\n")
    print(f"{'':<58}{'here':>9} {'':<8}{'reach':>9}  Label Studio 1.23, SQLite")
    with valkey() as broker, product(options.database, REDIS_URL=broker) as folder:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # playwright leaves a loop running
        numbers = measure(folder, options.cases, options.reviewers)
    return int(any(number.falls_short for number in numbers))


if __name__ == "__main__":
    sys.exit(main())
