"""The dial: what a threshold would do, two people who put it in force, and the step back."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from inference.drawings import draw_wound
from tests.e2e.conftest import WIDTHS, SignIn, Stack
from tests.pictures import jpeg

Shoot = Callable[[Page, str], None]
WAIT_MS = 240_000
CASES = 16  # besides the demonstration's own
CLINIC = "Riverside wound clinic"
SECOND = f"""
from triage.models import Site
from triage.services.demo import add_account
from django.contrib.auth.models import User
Site.objects.filter(name="{CLINIC}").update(two_person_rule=True)
if not User.objects.filter(username="administrator2").exists():
    add_account("administrator2", "administrator", Site.objects.get(name="{CLINIC}"))
"""
ONE_IS_ENOUGH = f"""
from triage.models import Site
Site.objects.filter(name="{CLINIC}").update(two_person_rule=False)
"""
DECIDED_BY = """
from triage.models import Decision
print("version", Decision.objects.get(case_id="{0}").policy.version)
"""


def upload(page: Page, folder: Path, seeds: range) -> list[str]:
    files = []
    for seed in seeds:
        path = folder / f"{seed}.jpg"
        path.write_bytes(jpeg(draw_wound(seed, ("Cut", "Burns", "Bruises")[seed % 3])))
        files.append(str(path))
    page.goto("/upload/")
    page.set_input_files("#files", files)
    links = page.locator("#results a[href^='/cases/']")
    expect(links).to_have_count(len(files), timeout=WAIT_MS)
    return [str(link.get_attribute("href")) for link in links.all()]


def decided(page: Page, case: str) -> None:
    page.goto(case)
    state = page.locator("#case-state")
    expect(state).not_to_contain_text("being looked at", timeout=WAIT_MS)


@pytest.fixture
def console(sign_in: SignIn, stack: Stack, tmp_path: Path) -> Iterator[Page]:
    """The what-if of a clinic with enough past cases, where two administrators are needed."""
    stack.manage("shell", "-c", SECOND)
    administrator = sign_in("administrator")
    administrator.goto("/policies/what-if/")
    if not administrator.locator("#chart").count():
        clinician = sign_in("clinician")
        for case in upload(clinician, tmp_path, range(930_000, 930_000 + CASES)):
            decided(clinician, case)
        administrator.goto("/policies/what-if/")
    expect(administrator.locator("#chart canvas")).to_be_visible()
    yield administrator
    stack.manage("shell", "-c", ONE_IS_ENOUGH)


def test_the_dial_is_turned_published_by_two_and_rolled_back(
    console: Page, sign_in: SignIn, stack: Stack, tmp_path: Path, shoot: Shoot
) -> None:
    says, dial = console.locator(".outlook-says"), console.locator("#at")
    dial.focus()
    console.keyboard.press("End")
    expect(says).to_have_text("Every case goes to a person.")
    over = console.locator("#chart .u-over")
    box = over.bounding_box()
    assert box
    console.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    console.mouse.down()
    console.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    console.mouse.up()
    expect(dial).to_have_value(re.compile("^(59|60)"))
    expect(says).to_contain_text("of the cases go to a person")
    shoot(console, "what-if")
    console.keyboard.press("ArrowLeft")
    expect(dial).to_have_value(re.compile("^59"))

    console.get_by_role("button", name="Propose this threshold").click()
    console.wait_for_url(re.compile(r"/policies/\d+/"))
    draft = console.url
    version = int(console.locator("h1").inner_text().removeprefix("Policy "))
    expect(console.get_by_text("another administrator publishes it")).to_be_visible()
    second = sign_in("administrator2")
    second.goto(draft)
    second.get_by_text("Publish…").click()
    second.get_by_role("button", name=f"Publish policy {version}").click()
    expect(second.locator(".active-policy")).to_contain_text(f"Policy {version}")

    clinician = sign_in("clinician")
    [case] = upload(clinician, tmp_path, range(931_000, 931_001))
    decided(clinician, case)
    said = stack.manage("shell", "-c", DECIDED_BY.format(case.strip("/").split("/")[-1]))
    assert f"version {version}" in said

    second.goto("/policies/")
    second.get_by_text("Roll back…").first.click()
    second.get_by_role("button", name=re.compile("Roll back to")).first.click()
    expect(second.locator(".active-policy")).not_to_contain_text(f"Policy {version}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_console(console: Page, scheme: Any, shoot: Shoot) -> None:
    console.emulate_media(color_scheme=scheme)
    shoot(console, f"what-if-{scheme}")
    for width, height in WIDTHS.items():
        console.set_viewport_size({"width": width, "height": height})
        found = Axe().run(console)
        assert found.violations_count == 0, f"{scheme} at {width}: {found.generate_report()}"
        assert console.evaluate("document.documentElement.scrollWidth") <= width
