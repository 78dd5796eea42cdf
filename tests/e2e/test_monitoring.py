"""Is it still going well: an alert that rings and clears, and how one relies on the machine."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import WIDTHS, SignIn, Stack

Shoot = Callable[[Page, str], None]
# A clinic of its own, whose cases have no pictures, with audits enough for a week to be told of,
# deferred cases, some of them overridden, and one that has waited for five days.
CLINIC = """
import itertools
from datetime import timedelta
from django.utils import timezone
from tests import factories
from triage.choices import CaseStatus
from triage.models import Case, Decision, Site
from triage.services.demo import add_account
factories.counter = itertools.count(700_000)
if not Site.objects.filter(name="Watched clinic").exists():
    site = factories.make_site("Watched clinic")
    add_account("watcher", "administrator", site)
    factories.make_policy(site)
    sure = [factories.make_case(site, ("Burns",) * 3).pk for _ in range(30)]
    split = [factories.make_case(site, ("Burns", "Burns", "Cut")).pk for _ in range(31)]
    factories.rewrite(Decision.objects.filter(case__in=sure), audited=True, label_probability=0.1)
    for at, pk in enumerate([*sure, *split[1:]]):
        Case.objects.filter(pk=pk).update(
            status=CaseStatus.RESOLVED, waiting_due_at=None, label="Burns" if at % 5 else "Cut"
        )
    for chance, some in ((0.05, sure), (0.4, split)):
        stated = {"levels": {}, "error_probability": chance}
        factories.rewrite(Decision.objects.filter(case__in=some), explanation=stated)
    Case.objects.filter(pk=split[0]).update(created_at=timezone.now() - timedelta(days=5))
"""
ANSWERED = """
from triage.models import Case
waiting = Case.objects.filter(site__name="Watched clinic", status="deferred")
waiting.update(status="resolved", waiting_due_at=None, label="Burns")
"""


@pytest.fixture
def monitoring(sign_in: SignIn, stack: Stack) -> Page:
    """The page of the watched clinic, looked at a moment ago."""
    stack.manage("shell", "-c", CLINIC)
    page = sign_in("watcher")
    page.goto("/monitoring/")
    page.get_by_role("button", name="Look now").click()
    expect(page.locator("[data-chart=error] canvas")).to_be_visible()
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page(monitoring: Page, scheme: Any, shoot: Shoot) -> None:
    monitoring.emulate_media(color_scheme=scheme)
    shoot(monitoring, f"monitoring-{scheme}")
    check(monitoring, scheme)


def test_an_alert_rings_on_every_page_and_clears(monitoring: Page, stack: Stack) -> None:
    page = monitoring
    rings = page.locator("#alerts .note", has_text="A deferred case has waited too long")
    expect(rings).to_have_count(1)
    page.goto("/policies/")
    page.get_by_role("link", name="See what is wrong").click()
    page.wait_for_url("**/monitoring/")
    stack.manage("shell", "-c", ANSWERED)
    page.get_by_role("button", name="Look now").click()
    expect(rings).to_have_count(0)
    page.get_by_text("that is over").click()
    expect(page.locator("#alerts table")).to_contain_text("A deferred case has waited too long")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_reviewer_shares_and_keeps_private_again(
    sign_in: SignIn, scheme: Any, shoot: Shoot
) -> None:
    page = sign_in("clinician")
    page.emulate_media(color_scheme=scheme)
    page.locator(".account summary").click()
    page.get_by_role("link", name="You and the machine").click()
    page.get_by_role("button", name="Share it with the administrators").click()
    expect(page.locator("main")).to_contain_text("with your name")
    shoot(page, f"reliance-{scheme}")
    check(page, scheme)
    page.get_by_role("button", name="Keep it to yourself again").click()
    expect(page.locator("main")).to_contain_text("Only you.")


def check(page: Page, scheme: str) -> None:
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        found = Axe().run(page)
        assert found.violations_count == 0, f"{scheme} at {width}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
