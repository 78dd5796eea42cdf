"""Load on two cores with scripted members, PostgreSQL and Valkey.

    python -m benchmarks.load claiming     100 reviewers share 5,000 cases (--cases N)
    python -m benchmarks.load overhead     CPU of the pipeline besides its models, a case
    python -m benchmarks.load throughput   uploads by the API until the last one is decided
    python -m benchmarks.load sockets      200 pages hear of changes, a fifth stalls or drops out

Each prints what is to be reached, and beside it a naive way or a tenth of the size. The exit code
is 1 where something falls short.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from benchmarks.ground import SITE, product, seed, waiting_cases
from benchmarks.review_room import Number, web
from tests.services import postgres, valkey

REVIEWERS, PROCESSES = 100, 4
THINK_S = 4.0
SOCKETS, CHANGES, STALL_S = 200, 20, 2.0
MEMBERS = """[members]
one = { backend = "scripted", domains = ["wound"], options = { place = 0 } }
two = { backend = "scripted", domains = ["wound"], options = { place = 1 } }
three = { backend = "scripted", domains = ["wound"], options = { place = 2 } }
"""


@contextlib.contextmanager
def loaded(**environment: str) -> Iterator[Path]:
    """The product with scripted members on PostgreSQL and Valkey; gives its data folder."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as members, valkey() as broker:
        members.write(MEMBERS)
        members.flush()
        more = {"ALARM_MEMBERS": members.name, "REDIS_URL": broker, **environment}
        with product("postgresql", **more) as folder:
            yield folder


def tell(numbers: list[Number]) -> int:
    print(*numbers, sep="\n")
    return int(any(number.falls_short for number in numbers))


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


# Claiming ----------------------------------------------------------------------------------------


def claiming(cases: int) -> int:
    with loaded():
        seed(0, REVIEWERS - 1)
        small = _shift(cases // 10, "ours")
        ours = _shift(cases, "ours")
        waiting = _shift(cases // 10, "waits")
        naive = _shift(cases // 10, "naive")
    return tell(
        [
            Number(f"cases given twice, of {cases}", ours[1], "", reach=0),
            Number("a claim, p99", ours[2], "ms", reach=250),
            Number("a claim, median", ours[3], "ms"),
            Number("cases answered a second", ours[0], "/s"),
            Number("p99 beside that of a tenth of the cases", ours[2] / small[2], "x"),
            Number("naive (no lock): given twice, of a tenth", naive[1], ""),
            Number("FOR UPDATE without SKIP LOCKED: p99 beside ours", waiting[2] / small[2], "x"),
        ]
    )


def _shift(cases: int, how: str) -> tuple[float, int, float, float]:
    """Cases a second, doubles, and the p99 and median of a claim in milliseconds."""
    from triage.models import Site

    _empty_queue()
    waiting_cases(Site.objects.get(), cases)
    begin = time.time() + 8
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        orders = [(number, how, begin) for number in range(PROCESSES)]
        shifts = pool.starmap(_room, orders)
    given = [case for shift in shifts for case in shift[0]]
    times = [1000 * took for shift in shifts for took in shift[1]]
    took = max(shift[2] for shift in shifts) - begin
    return (
        len(given) / took,
        len(given) - len(set(given)),
        quantile(times, 0.99),
        quantile(times, 0.5),
    )


def _empty_queue() -> None:
    from inference.models import Observation
    from triage import guards
    from triage.models import AuditEvent, Case, ChainHead, Decision, Lease, Review

    guards.take_down()
    for rows in (Lease, Review, AuditEvent, Decision):
        rows.objects.all().delete()
    ChainHead.objects.exclude(case=None).delete()
    Case.objects.all().delete()
    Observation.objects.all().delete()
    guards.put_up()


def _room(number: int, how: str, begin: float) -> tuple[list[str], list[float], float]:
    """A quarter of the reviewers, each a thread with a connection of its own."""
    import django

    django.setup()
    from django.contrib.auth.models import User

    from triage import events
    from triage.services import queue

    events.tell_beside()  # as a web process does
    people = list(User.objects.order_by("pk"))[number::PROCESSES]
    ways: dict[str, Callable[..., object]] = {
        "ours": queue._locking,
        "waits": lambda cases: cases.select_for_update(of=("self",)),
        "naive": lambda cases: cases,
    }
    given: list[str] = []
    times: list[float] = []
    with patch("triage.services.queue._locking", ways[how]):
        threads = [
            threading.Thread(target=_review_all, args=(who, how, begin, given, times))
            for who in people
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return given, times, time.time()


def _review_all(who: object, how: str, begin: float, given: list[str], times: list[float]) -> None:
    """Claim, think, answer, until nothing is left."""
    from django.db import connection

    from triage.errors import Conflict
    from triage.models import Case, Site
    from triage.services import queue, reviews

    site, chance = Site.objects.get(), random.Random(who.pk)  # type: ignore[attr-defined] # noqa: S311
    time.sleep(max(0.0, begin - time.time()) + chance.uniform(0, THINK_S))
    while True:
        started = time.perf_counter()
        try:
            lease = queue.claim_next(site=site, user=who)  # type: ignore[arg-type]
        except Conflict:  # only the naive way: the database has refused a second lease
            given.append(given[-1] if given else "")
            continue
        times.append(time.perf_counter() - started)
        if lease is None:
            break
        given.append(str(lease.case_id))
        time.sleep(chance.uniform(0.5, 1.5) * THINK_S)
        version = Case.objects.get(pk=lease.case_id).version
        reviews.submit_review(
            case=lease.case,
            token=lease.token,
            user=who,  # type: ignore[arg-type]
            label="Cut",
            version=version,
        )
    connection.close()


# The pipeline ------------------------------------------------------------------------------------


def overhead(cases: int) -> int:
    """Models are left out: members are scripted, texts get made-up vectors, nothing is novel."""
    with loaded() as folder, contextlib.ExitStack() as stack:
        from django.conf import settings

        from inference.backends.scripted import ScriptedBackend
        from inference.services.observations import frames_of
        from tests.factories import vector
        from triage import events

        settings.MEDIA_ROOT = folder / "media"
        events.tell_beside()
        seed(0, 0)
        model, reading = _Meter(), _Meter()
        frames = reading.timed(frames_of)
        stack.enter_context(patch("inference.services.work.frames_of", frames))
        embed = model.timed(lambda texts: [vector(text) for text in texts])
        stack.enter_context(patch("inference.services.work.embed", embed))
        generate = model.timed(ScriptedBackend.generate)
        stack.enter_context(patch.object(ScriptedBackend, "generate", generate))
        for where in ("inference.services.looking", "triage.selectors.familiarity"):
            stack.enter_context(patch(f"{where}.load_reference", lambda _domain: None))
        _through(20, 16, model)
        small = _through(cases // 10, 16, model)
        before = reading.spent_s
        statements: list[str] = []
        batched = _through(cases, 16, model, statements)
        pictures = 1000 * (reading.spent_s - before) / cases
        alone = _through(cases, 1, model)
    return tell(
        [
            Number("pipeline besides the models: CPU a case", batched, "ms", reach=15),
            Number("of it, reading the picture for each member", pictures, "ms"),
            Number("statements a case", len(statements) / cases, ""),
            Number("asked one by one: CPU a case", alone, "ms"),
            Number("one by one beside batches of 16", alone / batched, "x"),
            Number("a case beside a case of a tenth of them", batched / small, "x"),
        ]
    )


class _Meter:
    """Adds up the CPU seconds of some functions: those that stand for models, say."""

    spent_s = 0.0

    def timed(self, function: Callable[..., object]) -> Callable[..., object]:
        def timed(*args: object, **more: object) -> object:
            begun = time.thread_time()
            try:
                return function(*args, **more)
            finally:
                self.spent_s += time.thread_time() - begun

        return timed


def _through(cases: int, batch: int, model: _Meter, said: list[str] | None = None) -> float:
    """CPU milliseconds of this process for each case, from its jobs to its decision, but those of
    the model; `said` gathers the statements of this thread's connection."""
    from django.conf import settings
    from django.db import connection

    from inference.media import Limits, sanitise
    from inference.models import MemberJob
    from inference.services.work import execute_job
    from tests.pictures import photo
    from triage.models import Case, Site
    from triage.services.intake import open_case

    site, data = Site.objects.get(), photo(side=640)
    decoded = sanitise(data, limits=Limits())
    settings.ALARM_BATCH = batch

    def kept(sent: bytes, limits: Limits) -> object:
        return replace(decoded, sha256=sha256(sent).hexdigest())

    with (
        patch("triage.services.intake.sanitise", kept),
        patch("inference.dispatch.hint", lambda *_a, **_k: True),
    ):
        for _ in range(cases):
            open_case(site=site, data=data + os.urandom(8))
        jobs = list(MemberJob.objects.filter(status="queued").order_by("member", "pk"))
        begun, model.spent_s = time.process_time(), 0.0
        with connection.execute_wrapper(_noting([] if said is None else said)):
            for job in jobs:
                execute_job(job_id=job.pk)
        took = time.process_time() - begun - model.spent_s
    assert not Case.objects.filter(status="open").exists()
    return 1000 * took / cases


def _noting(said: list[str]) -> Callable[..., object]:
    def noting(execute: Callable[..., object], sql: str, *more: object) -> object:
        said.append(sql)
        return execute(sql, *more)

    return noting


def throughput(cases: int) -> int:
    """All of the product, as ./run starts it, on PostgreSQL."""
    import httpx
    import psycopg

    import benchmarks.configured  # noqa: F401
    from tests.e2e.conftest import start_stack, stop_stack
    from tests.pictures import photo

    with contextlib.ExitStack() as context:
        folder = Path(context.enter_context(tempfile.TemporaryDirectory(prefix="alarm-bench-")))
        members = folder / "members.toml"
        members.write_text(MEMBERS)
        url = context.enter_context(postgres())
        stack = start_stack(
            folder,
            DATABASE_URL=url,
            ALARM_MEMBERS=str(members),
            ALARM_TOKEN_CALLS="100000",  # noqa: S106
            ALARM_BACKLOG="100000",
        )
        context.callback(stop_stack, stack)
        token = stack.manage("token", "Riverside wound clinic", "load").strip()
        link = context.enter_context(psycopg.connect(url, autocommit=True))

        def run(count: int, shade: int) -> float:
            """Cases a minute from the first upload to the last decision."""

            def send(part: int) -> None:
                with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as one:
                    for number in range(part, count, 4):
                        data = photo((shade, number // 250, number % 250), side=640)
                        files = {"file": ("a.jpg", data, "image/jpeg")}
                        one.post(f"{stack.url}api/v1/observations", files=files).raise_for_status()

            begun = time.perf_counter()
            senders = [threading.Thread(target=send, args=(part,)) for part in range(4)]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            while link.execute(
                "SELECT 1 FROM triage_case WHERE status = 'open' LIMIT 1"
            ).fetchone():
                time.sleep(0.1)
            return 60 * count / (time.perf_counter() - begun)

        run(20, 10)
        small, large = run(cases // 10, 60), run(cases, 110)
    return tell(
        [
            Number(f"from upload to decision, {cases} cases", large, "/min", reach=600, least=True),
            Number("beside a tenth of them", large / small, "x"),
        ]
    )


# Sockets -----------------------------------------------------------------------------------------


def sockets(count: int) -> int:
    with loaded(ALARM_WEB_PROCESSES="2") as folder:
        sessions = seed(5, count - 1)
        with web(folder) as server:
            few = asyncio.run(_hear(server.port, sessions[: count // 10]))
            before = server.cpu()
            many = asyncio.run(_hear(server.port, sessions))
            cpu = server.cpu() - before
    return tell(
        [
            Number(f"{count} pages know the last of {CHANGES} changes after", many, "s", reach=5),
            Number("a tenth of them", few, "s"),
            Number("server CPU a change and page", 1000 * cpu / CHANGES / count, "ms"),
        ]
    )


async def _hear(port: int, sessions: list[str]) -> float:
    """Seconds from the last change until every page knows it, as pages do: what has reconnected
    fetches everything."""
    from asgiref.sync import sync_to_async

    from triage import events
    from triage.models import Site

    site = await sync_to_async(Site.objects.get)()
    last, said = UUID(int=CHANGES), asyncio.Event()
    ready = [asyncio.Event() for _ in sessions]
    pages = [
        asyncio.create_task(_page(port, key, number, ready[number], last, said))
        for number, key in enumerate(sessions)
    ]
    for one in ready:
        await one.wait()
    for change in range(1, CHANGES + 1):
        await events._send(
            events.site_group(site.pk),
            events.Changed(type="changed", kind="case", id=str(UUID(int=change))),
        )
        await asyncio.sleep(0.05)
    said.set()
    begun = time.monotonic()
    await asyncio.wait_for(asyncio.gather(*pages), 120)
    return time.monotonic() - begun


async def _page(
    port: int, session: str, number: int, ready: asyncio.Event, last: UUID, said: asyncio.Event
) -> None:
    from websockets.asyncio.client import connect

    headers = {"Cookie": f"sessionid={session}", "Origin": f"http://127.0.0.1:{port}"}
    link = await connect(f"ws://127.0.0.1:{port}/ws/", additional_headers=headers)
    ready.set()
    if number % 10 == 0:  # its laptop sleeps
        await asyncio.sleep(STALL_S)
    if number % 10 == 1:  # its network goes, and it comes again
        link.transport.abort()
        await asyncio.sleep(STALL_S)
        link = await connect(f"ws://127.0.0.1:{port}/ws/", additional_headers=headers)
        if said.is_set():  # it fetches all as it is now
            await link.close()
            return
    async for message in link:
        if str(last) in str(message):
            break
    await link.close()


ACTS: dict[str, tuple[Callable[[int], int], int]] = {
    "claiming": (claiming, 5000),
    "overhead": (overhead, 300),
    "throughput": (throughput, 300),
    "sockets": (sockets, SOCKETS),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("act", choices=ACTS)
    parser.add_argument("--cases", type=int, default=0, help="or pages, for sockets")
    options = parser.parse_args()
    act, usual = ACTS[options.act]
    print(f"{options.act} ({SITE})")
    return act(options.cases or usual)


if __name__ == "__main__":
    sys.exit(main())
