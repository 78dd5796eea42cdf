"""A member is asked by a real worker, and a candidate is tried before it counts."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import WIDTHS, SignIn, Stack

Shoot = Callable[[Page, str], None]
WAIT_MS = 240_000
STAFF = """
from django.contrib.auth.models import User
User.objects.filter(username="administrator").update(is_staff={0})
"""


def test_a_member_is_asked_and_a_candidate_is_tried(
    sign_in: SignIn, stack: Stack, shoot: Shoot
) -> None:
    stack.manage("shell", "-c", STAFF.format(True))
    page = sign_in("administrator")
    page.goto("/ensemble/")
    lite0 = page.locator(".voice").first
    lite0.get_by_role("button", name="Ask lite0 now").click()
    expect(lite0.locator(".state.good")).to_have_text("well", timeout=WAIT_MS)
    expect(lite0).to_contain_text("It answered in")
    assert page.url.endswith("/ensemble/"), "the answer showed by itself"

    page.get_by_label("Name").fill("nowhere")
    page.get_by_label("Model", exact=True).fill("nobody/has-this")
    page.get_by_role("button", name="Add as a candidate").click()
    candidate = page.locator(".added", has_text="nowhere")
    expect(candidate).to_contain_text("It was not tried yet.")
    candidate.get_by_role("button", name="Try nowhere").click()
    expect(candidate).to_contain_text("answers only 0 could be read", timeout=WAIT_MS)
    expect(candidate.locator(".note.warning").first).to_be_visible()
    expect(page.locator(".voice")).to_have_count(3)
    shoot(page, "ensemble-candidate")
    for scheme in ("light", "dark"):
        looks_well(page, scheme)
    candidate.get_by_text("Drop…").click()
    candidate.get_by_role("button", name="Drop nowhere").click()
    expect(page.locator(".added")).to_have_count(0)
    stack.manage("shell", "-c", STAFF.format(False))


def looks_well(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        found = Axe().run(page)
        assert found.violations_count == 0, f"{scheme} at {width}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("person", ["clinician", "administrator"])
def test_answers_at_work_are_one_step_away(sign_in: SignIn, person: str) -> None:
    page = sign_in(person)
    page.goto("/queue/" if person == "clinician" else "/policies/")
    page.get_by_role("link", name="nswers at work").click()
    expect(page.locator("h1")).to_contain_text("nswers at work")
    for scheme in ("light", "dark"):
        looks_well(page, scheme)
