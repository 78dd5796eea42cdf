"""A third domain made in the console, given a site, sent a picture, and reviewed by its labels."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import WIDTHS, Stack
from tests.pictures import jpeg
from triage.services.demo import PASSWORD

Shoot = Callable[[Page, str], None]
SignInAs = Callable[[str], Page]
WAIT_MS = 120_000
MEMBERS = """[members]
alpha = { backend = "scripted", domains = ["*"], options = { agreement = 1.0 } }
beta = { backend = "scripted", domains = ["*"], options = { agreement = 1.0 } }
"""
CLINIC = "Riverside wound clinic"
SECOND = f"""
from triage.models import Site
from triage.services.demo import add_account
Site.objects.filter(name="{CLINIC}").update(two_person_rule=True)
add_account("administrator2", "administrator", Site.objects.get(name="{CLINIC}"))
"""
LABELS = (
    ("sound", "Sound", "the machine is all right", "dry, closed, and nothing is broken.", "1"),
    ("leak", "Leak", "something is leaking", "a puddle or drops below the machine.", "3"),
    ("broken part", "Broken part", "a part is broken", "a crack, or a part that hangs.", "2"),
)


@pytest.fixture
def stack(own_stack: Callable[..., Stack], tmp_path: Path) -> Stack:
    """A demonstration whose members take any domain, and where two administrators are needed."""
    members = tmp_path / "members.toml"
    members.write_text(MEMBERS)
    stack = own_stack(ALARM_MEMBERS=str(members))
    stack.manage("shell", "-c", SECOND)
    return stack


@pytest.fixture
def sign_in_as(browser: Browser, stack: Stack) -> Iterator[SignInAs]:
    errors: list[str] = []
    with contextlib.ExitStack() as closing:

        def as_person(name: str) -> Page:
            context = browser.new_context(
                base_url=stack.url,
                viewport={"width": 1280, "height": WIDTHS[1280]},
                reduced_motion="reduce",
            )
            closing.callback(context.close)
            context.on("weberror", lambda error: errors.append(str(error.error)))
            page = context.new_page()
            page.goto("/")
            page.fill("input[name=username]", name)
            page.fill("input[name=password]", PASSWORD)
            page.click("form button.primary")
            page.wait_for_url(lambda url: "sign-in" not in url)
            return page

        yield as_person
    assert not errors


def axe(page: Page, name: str, shoot: Shoot) -> None:
    """Nothing to find, in both widths, light and dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shoot(page, f"{name}-{scheme}")
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            found = Axe().run(page)
            assert found.violations_count == 0, f"{name} at {width}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": WIDTHS[1280]})


def machine() -> bytes:
    """A drawn pump with a puddle below it."""
    picture = Image.new("RGB", (640, 480), (196, 200, 204))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((180, 160, 420, 340), fill=(70, 96, 128))
    draw.ellipse((380, 190, 500, 310), fill=(104, 112, 120))
    draw.ellipse((150, 360, 470, 430), fill=(60, 110, 170))
    return jpeg(picture)


def fill_label(page: Page, at: int) -> None:
    name, title, plain, rule, severity = LABELS[at]
    for field, text in (("id", name), ("title", title), ("plain", plain), ("rule", rule)):
        page.fill(f"[name='labels.{at}.{field}']", text)
    page.select_option(f"[name='labels.{at}.severity']", severity)
    page.locator(f"[name='labels.{at}.normal']").set_checked(at == 0)


def write_equipment(page: Page, shoot: Shoot) -> None:
    page.goto("/domains/")
    page.get_by_role("link", name="New domain").click()
    page.fill("[name=name]", "equipment")
    page.fill("[name=title]", "Equipment")
    page.fill("[name=question]", "What is the matter with the machine?")
    fill_label(page, 0)
    page.get_by_role("button", name="Save as a draft").click()
    beside = page.locator("#fault_labels\\.1\\.id")
    expect(beside).to_have_text("This must not be empty.")
    axe(page, "domain-form", shoot)
    page.get_by_role("button", name="Add a label").click()
    expect(page.locator("[name='labels.2.id']")).to_be_focused()
    fill_label(page, 1)
    fill_label(page, 2)
    page.fill("[name=prompt]", "Look at this machine and say what you see. Choose one of $labels.")
    page.get_by_role("button", name="Save as a draft").click()
    expect(page.locator("h1")).to_have_text("Equipment")
    axe(page, "domain-third", shoot)


def test_a_third_domain_from_the_form_to_the_review(
    sign_in_as: SignInAs, stack: Stack, tmp_path: Path, shoot: Shoot
) -> None:
    write_equipment(sign_in_as("administrator"), shoot)
    second = sign_in_as("administrator2")
    second.goto("/domains/")
    axe(second, "domains", shoot)
    second.get_by_role("link", name="Equipment").click()
    second.get_by_role("link", name="Add a site with it").click()
    second.fill("[name=name]", "Boiler room")
    second.get_by_label("clinician, clinician").check()
    expect(second.locator("[name=domain]")).to_have_value("equipment:1")
    axe(second, "site-new", shoot)
    second.get_by_role("button", name="Add the site").click()
    expect(second.locator(".messages")).to_contain_text("Boiler room")

    engineer = sign_in_as("clinician")
    engineer.locator(".account summary").click()
    engineer.get_by_role("button", name="Boiler room").click()
    expect(engineer.locator(".top-site")).to_have_text("Boiler room")
    engineer.goto("/upload/")
    picture = tmp_path / "pump.jpg"
    picture.write_bytes(machine())
    engineer.set_input_files("#files", str(picture))
    link = engineer.locator("#results a[href^='/cases/']")
    expect(link).to_have_count(1, timeout=WAIT_MS)
    engineer.goto(str(link.get_attribute("href")))
    expect(engineer.locator("#case-state")).to_contain_text("review", timeout=WAIT_MS)
    engineer.goto("/queue/")
    engineer.locator(".row-link").first.click()
    engineer.get_by_role("button", name="Claim").first.click()
    expect(engineer.get_by_text("What is the matter with the machine?").first).to_be_attached()
    labels = engineer.locator(".choose, .chip").all_inner_texts()
    assert all(any(title in one for one in labels) for _n, title, *_ in LABELS), labels
    axe(engineer, "equipment-case", shoot)
    engineer.keyboard.press("2")
    engineer.keyboard.press("Enter")
    engineer.wait_for_url(lambda url: "/cases/" not in url or "next" in url, timeout=WAIT_MS)
    assert "resolved" in stack.manage("shell", "-c", REVIEWED)


REVIEWED = """
from triage.models import Case
case = Case.objects.get(site__name="Boiler room")
print(case.status, case.label)
"""


def test_a_version_is_tried_on_past_cases_and_put_in_force_by_two(
    sign_in_as: SignInAs, stack: Stack, shoot: Shoot
) -> None:
    stack.manage("shell", "-c", PAST)
    writer = sign_in_as("administrator")
    writer.goto("/domains/wound/")
    writer.get_by_role("link", name="Edit as a new version").click()
    writer.fill("[name=note]", "Ask about the edges first")
    prompt = writer.locator("[name=prompt]").input_value()
    writer.fill("[name=prompt]", prompt.replace("Describe what you see", "Begin with the edges"))
    writer.get_by_role("button", name="Save as a draft").click()
    expect(writer.locator(".differences ins").first).to_have_text("Begin with the edges: ")
    writer.fill("[name=cases]", "4")
    writer.get_by_role("button", name="Try it on past cases").click()
    expect(writer.locator("#trial")).to_contain_text("4 of 4", timeout=WAIT_MS)
    expect(writer.locator("#trial")).to_contain_text("The trial is over.", timeout=WAIT_MS)
    axe(writer, "domain-trial", shoot)
    expect(writer.locator(".publication")).to_contain_text("another administrator")
    second = sign_in_as("administrator2")
    second.goto("/domains/wound/2/")
    second.get_by_text("Put in force…").click()
    axe(second, "domain-publish", shoot)
    second.get_by_role("button", name="Put version 2 in force").click()
    expect(second.locator(".domain-standing")).to_contain_text("in force")


PAST = f"""
from triage.models import Case, Site
from django.utils import timezone
import time
cases = Case.objects.filter(site__name="{CLINIC}")
until = time.monotonic() + 100
while cases.filter(status="open").exists() and time.monotonic() < until:
    time.sleep(0.5)
cases.update(status="resolved", label="Cut", waiting_due_at=None, resolved_at=timezone.now())
"""
