"""Processes are killed while cases are on their way; none is lost, none is doubled."""

import itertools
import json
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from redis import Redis

from inference.drawings import draw_wound
from inference.pipeline.domains import load_domain
from tests import services
from tests.e2e.conftest import Stack, start_stack, stop_stack
from tests.pictures import jpeg

CASES = 12
PATIENCE_S = 120
LABELS = load_domain("wound").label_ids
MEMBERS = """
[members]
one = { backend = "scripted", domains = ["wound"], options = { place = 0, delay_s = 0.1 } }
two = { backend = "scripted", domains = ["wound"], options = { place = 1, delay_s = 0.1 } }
three = { backend = "scripted", domains = ["wound"], options = { place = 2, delay_s = 0.1 } }
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Stack]]:
    """Starts products with three quick members, and jobs that are soon taken over."""
    members = tmp_path_factory.mktemp("members") / "members.toml"
    members.write_text(MEMBERS)
    started = []

    def start(**environment: str) -> Stack:
        data = tmp_path_factory.mktemp("data")
        environment |= {"ALARM_MEMBERS": str(members), "ALARM_JOB_LEASE_S": "3"}
        started.append(start_stack(data, **environment))
        return started[-1]

    yield start
    for stack in started:
        stop_stack(stack)


@pytest.fixture(scope="module")
def stack(faulty: Callable[..., Stack]) -> Stack:
    """One for all that it survives."""
    return faulty()


def send(stack: Stack, seeds: range) -> None:
    """As a camera does: what was not answered with a receipt is sent again."""
    token = stack.manage("token", "Riverside wound clinic", "fault test").strip()
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        for seed, label in zip(seeds, itertools.cycle(LABELS), strict=False):
            files = {"file": ("photo.jpg", jpeg(draw_wound(seed, label)), "image/jpeg")}
            deadline = time.monotonic() + PATIENCE_S
            while (
                answer := client.post(f"{stack.url}api/v1/observations", files=files)
            ).status_code >= 500:
                assert time.monotonic() < deadline, answer.text
                time.sleep(0.2)
            answer.raise_for_status()


def counts(stack: Stack) -> dict[str, int]:
    """State -> number of cases; fails if a case was lost or decided twice."""
    line = stack.manage("reconcile")
    return {
        state: int(count)
        for count, state in (part.split() for part in line.split(" = ")[1].split(", "))
    }


def settle(stack: Stack) -> dict[str, int]:
    deadline = time.monotonic() + PATIENCE_S
    while (found := counts(stack))["open"]:
        assert time.monotonic() < deadline, f"still in flight: {json.dumps(found)}"
        time.sleep(1)
    return found


def test_killed_workers_lose_and_double_nothing(stack: Stack) -> None:
    before = sum(counts(stack).values())
    send(stack, range(500_000, 500_000 + CASES))
    for pause in (0.2, 0.9, 1.7):
        time.sleep(pause)
        stack.kill("worker")
    assert sum(settle(stack).values()) == before + CASES


def test_a_broker_that_forgets_everything_and_is_killed_loses_nothing(stack: Stack) -> None:
    before = sum(counts(stack).values())
    send(stack, range(600_000, 600_000 + CASES // 2))
    Redis(unix_socket_path=f"{stack.data}/run/valkey.sock").flushall()
    stack.kill("valkey")
    send(stack, range(600_000 + CASES // 2, 600_000 + CASES))
    assert sum(settle(stack).values()) == before + CASES


def test_what_a_killed_web_server_had_taken_in_is_decided(stack: Stack) -> None:
    before = sum(counts(stack).values())
    send(stack, range(700_000, 700_003))
    stack.kill("web")
    assert sum(settle(stack).values()) == before + 3


def test_a_database_that_crashes_twice_loses_nothing(faulty: Callable[..., Stack]) -> None:
    with services.postgres() as url:
        stack = faulty(DATABASE_URL=url)
        before = sum(counts(stack).values())
        for third in range(3):
            send(stack, range(800_000 + CASES * third, 800_000 + CASES * third + CASES // 3))
            if third < 2:
                services.crash_postgres(url)
        assert sum(settle(stack).values()) == before + CASES
        stop_stack(stack)
