"""From the first page to a crash and back, with every process there is."""

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import CHILDREN, SignIn, Stack, children, stop_stack


def test_everybody_lands_on_a_page_of_their_own(sign_in: SignIn) -> None:
    landed = {
        name: sign_in(name).url.rsplit("/", 2)[1]
        for name in ("clinician", "caregiver", "administrator")
    }
    assert landed == {"clinician": "queue", "caregiver": "household", "administrator": "policies"}


def test_the_console_says_where_and_who(stack: Stack) -> None:
    assert stack.url in stack.console
    for name in ("clinician", "caregiver", "administrator"):
        assert name in stack.console


def test_pages_of_the_product_are_closed_to_strangers(page: Page) -> None:
    page.goto("/")
    expect(page.locator("input[name=password]")).to_be_visible()


def test_every_killed_process_comes_back_and_a_stop_leaves_none(
    own_stack: Callable[..., Stack],
) -> None:
    stack = own_stack(ALARM_DEMO="0")
    before = {name: stack.pid(name) for name in CHILDREN}
    for name in CHILDREN:
        stack.kill(name)
    deadline = time.monotonic() + 30
    while set(before.values()) & set(children(stack.process.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    after = [stack.pid(name) for name in CHILDREN]
    begun = time.monotonic()
    stop_stack(stack)
    assert stack.process.returncode == 0
    assert time.monotonic() - begun < 8
    assert not any(Path(f"/proc/{pid}").exists() for pid in after)
