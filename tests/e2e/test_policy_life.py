"""The life of a version: shadow, canary, published by a second person, decides, rolled back."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import WIDTHS, SignIn, Stack
from tests.e2e.test_what_if import DECIDED_BY, ONE_IS_ENOUGH, SECOND, Shoot, decided, upload

SHADOWED = """
from triage.models import ShadowDecision
print("heard", ShadowDecision.objects.filter(decision__case_id="{0}").count())
"""


def number_of(case: str) -> str:
    return case.strip("/").split("/")[-1]


def decider(stack: Stack, case: str) -> int:
    said = stack.manage("shell", "-c", DECIDED_BY.format(number_of(case)))
    found = re.search(r"version (\d+)", said)
    assert found, said
    return int(found.group(1))


@pytest.fixture
def proposed(sign_in: SignIn, stack: Stack) -> Iterator[tuple[Page, Page, int]]:
    """A draft for a workload, with its proposer, who may not publish it, and a second person."""
    stack.manage("shell", "-c", SECOND)
    proposer, second = sign_in("administrator"), sign_in("administrator2")
    proposer.goto("/policies/")
    proposer.get_by_label("Choose the threshold by").select_option("percentile")
    proposer.get_by_label("Percent").fill("60")
    proposer.get_by_role("button", name="Propose", exact=True).click()
    proposer.wait_for_url(re.compile(r"/policies/\d+/"))
    version = int(proposer.locator("h1").inner_text().removeprefix("Policy "))
    yield proposer, second, version
    stack.manage("shell", "-c", ONE_IS_ENOUGH)


def test_a_version_goes_from_shadow_to_force_and_back(
    proposed: tuple[Page, Page, int],
    sign_in: SignIn,
    stack: Stack,
    tmp_path: Path,
    shoot: Shoot,
) -> None:
    proposer, second, version = proposed
    url = proposer.url.partition("#")[0]  # with a fragment, going there would not load it anew
    clinician = sign_in("clinician")
    proposer.get_by_role("button", name="Put in shadow").click()
    expect(proposer.locator(".page-head")).to_contain_text("in shadow")
    [case] = upload(clinician, tmp_path, range(940_000, 940_001))
    decided(clinician, case)
    assert decider(stack, case) != version, "a shadow decides nothing"
    assert "heard 1" in stack.manage("shell", "-c", SHADOWED.format(number_of(case)))
    proposer.goto(url)
    expect(proposer.locator(".tile b").first).to_have_text(re.compile(r"^[1-9]"))
    shoot(proposer, "policy-shadow")

    expect(proposer.get_by_text("another administrator publishes it")).to_be_visible()
    second.goto(url)
    second.get_by_text("Publish…").click()
    second.get_by_label("For", exact=True).select_option("50")
    second.get_by_role("button", name=f"Publish policy {version}").click()
    second.wait_for_url(re.compile(r"/policies/$"))
    expect(second.locator(".panel.draft").first).to_contain_text("canary")
    for one in upload(clinician, tmp_path, range(941_000, 941_004)):
        decided(clinician, one)
    second.goto(url)
    arms = second.locator(".arms tbody tr").nth(1).locator("td")
    assert sum(int(cell) for cell in arms.all_inner_texts()) == 4, "each case is in one arm"
    shoot(second, "policy-canary")
    second.goto("/policies/")
    shoot(second, "policies-on-trial")

    second.get_by_text("Widen…").click()
    second.get_by_role("button", name="Widen", exact=True).click()
    expect(second.locator(".active-policy")).to_contain_text(f"Policy {version}")
    [case] = upload(clinician, tmp_path, range(942_000, 942_001))
    decided(clinician, case)
    assert decider(stack, case) == version
    second.goto(url)
    expect(second.get_by_role("heading", name="Guard rail")).to_be_visible()
    shoot(second, "policy-watched")

    second.goto("/policies/")
    second.get_by_text("Roll back…").first.click()
    second.get_by_role("button", name=re.compile("Roll back to")).first.click()
    expect(second.locator(".active-policy")).not_to_contain_text(f"Policy {version}")
    [case] = upload(clinician, tmp_path, range(943_000, 943_001))
    decided(clinician, case)
    assert decider(stack, case) != version


def test_what_is_chosen_stays_through_a_refresh(sign_in: SignIn) -> None:
    """Else a share that was chosen would become a publication for all cases."""
    page = sign_in("administrator")
    page.goto("/policies/")
    share = page.get_by_label("Read by two people, %")
    share.evaluate(
        "field => { field.value = '35'; }"
    )  # typed, and then elsewhere: no guard holds it
    old = page.locator("#policies").element_handle()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_function("old => !old.isConnected", arg=old)
    expect(share).to_have_value("35")


def test_a_table_of_costs_becomes_a_draft(sign_in: SignIn, shoot: Shoot) -> None:
    administrator = sign_in("administrator")
    administrator.goto("/policies/costs/")
    shoot(administrator, "costs")
    administrator.get_by_role("link", name="Suggest by severity").click()
    expect(administrator.get_by_label("Burn taken for Bruise")).to_have_value("3")
    administrator.goto("/policies/costs/")
    # Dearer than any error: it pays whatever the other tests have answered so far.
    administrator.get_by_label("Percent of an ordinary error").fill("150")
    administrator.get_by_role("button", name="Propose", exact=True).click()
    expect(administrator.locator(".lead")).to_contain_text("150.0% of an ordinary error")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_life_of_a_version(
    sign_in: SignIn, scheme: Any, shoot: Shoot
) -> None:
    page = sign_in("administrator")
    page.emulate_media(color_scheme=scheme)
    page.goto("/policies/")
    first = page.locator(".active-policy .headline a").get_attribute("href")
    for path in ("/policies/", "/policies/costs/", "/policies/compare/", str(first)):
        page.goto(path)
        shoot(page, f"life{path.replace('/', '-')}{scheme}")
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            found = Axe().run(page)
            said = f"{path} {scheme} at {width}: {found.generate_report()}"
            assert found.violations_count == 0, said
            assert page.evaluate("document.documentElement.scrollWidth") <= width, said
