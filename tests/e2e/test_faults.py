"""Processes are killed while cases are on their way; none is lost, none is doubled."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from inference.drawings import draw_wound
from inference.pipeline.domains import load_domain
from tests.e2e.conftest import Stack
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


@pytest.fixture
def stack(own_stack: Callable[..., Stack], tmp_path: Path) -> Stack:
    members = tmp_path / "members.toml"
    members.write_text(MEMBERS)
    return own_stack(ALARM_MEMBERS=str(members), ALARM_JOB_LEASE_S="3")


def send(stack: Stack, seeds: range) -> None:
    token = stack.manage("token", "Riverside wound clinic", "fault test").strip()
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        for seed, label in zip(seeds, itertools.cycle(LABELS), strict=False):
            files = {"file": ("photo.jpg", jpeg(draw_wound(seed, label)), "image/jpeg")}
            client.post(f"{stack.url}api/v1/observations", files=files).raise_for_status()


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


def test_a_killed_broker_loses_nothing(stack: Stack) -> None:
    before = sum(counts(stack).values())
    send(stack, range(600_000, 600_000 + CASES // 2))
    stack.kill("valkey")
    send(stack, range(600_000 + CASES // 2, 600_000 + CASES))
    assert sum(settle(stack).values()) == before + CASES


def test_what_a_killed_web_server_had_taken_in_is_decided(stack: Stack) -> None:
    before = sum(counts(stack).values())
    send(stack, range(700_000, 700_003))
    stack.kill("web")
    assert sum(settle(stack).values()) == before + 3
