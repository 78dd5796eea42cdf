"""A caregiver's day on a phone: asked in turn, one touch, and one answer for all."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from inference.drawings import samples
from tests.e2e.conftest import SCREENSHOTS, WIDTHS

Shoot = Callable[[Page, str], None]
Phone = Callable[[str], Page]
WAIT_MS = 180_000


@pytest.fixture
def phone(
    new_context: Callable[..., BrowserContext], signed_in: Callable[[BrowserContext, str], Page]
) -> Phone:
    """Gives a page as on a phone, on which somebody of the household is signed in."""

    def of(name: str) -> Page:
        size = {"width": 390, "height": WIDTHS[390]}
        page = signed_in(new_context(viewport=size, has_touch=True), name)
        page.wait_for_url(re.compile("/household/"))
        return page

    return of


def first_case(page: Page) -> str:
    link = page.locator(".cards .row-link").first
    expect(link).to_be_visible(timeout=WAIT_MS)
    return str(link.get_attribute("href"))


def test_one_answers_and_the_other_sees_it_at_once(phone: Phone, shoot: Shoot) -> None:
    first, second = phone("caregiver"), phone("caregiver2")
    case = first_case(first)
    for page in (first, second):
        page.goto(case)
        expect(page.locator(".question")).to_be_visible()
    clip_or_photo = first.locator("[data-photo]").first.bounding_box()
    question = first.locator(".question").bounding_box()
    assert clip_or_photo and question and clip_or_photo["y"] < question["y"]
    # At once: the live page may put fresh buttons in place of these at any time.
    sizes = first.locator(".big > form > button, .big > details > summary").evaluate_all(
        "(all) => all.map((one) => [one.offsetWidth, one.offsetHeight])"
    )
    assert len(sizes) == 3
    assert all(width >= 300 and height >= 48 for width, height in sizes), sizes
    shoot(first, "home-question")
    all_answers_are_seen_at_once(first)

    answer_with_one_touch(first)
    first.wait_for_url(re.compile("/household/"))
    expect(second.locator("#review")).to_contain_text("caregiver has answered")
    expect(second.locator(".question")).to_have_count(0)

    first.get_by_role("button", name="Undo").click()
    expect(second.locator(".question")).to_be_visible()


def all_answers_are_seen_at_once(page: Page) -> None:
    """Within what a phone's browser leaves of its screen, no answer nearer than another."""
    page.set_viewport_size({"width": 390, "height": 664})
    page.evaluate("scrollTo(0, 0)")
    boxes = page.locator(".question, .big > form > button, .big > details > summary").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().toJSON())"
    )
    page.screenshot(path=SCREENSHOTS / "home-question-664.png")
    assert len(boxes) == 4
    assert all(box["left"] >= 0 and box["right"] <= 390 for box in boxes), boxes
    assert all(box["top"] >= 0 and box["bottom"] <= 664 for box in boxes), boxes
    assert boxes[0]["bottom"] <= min(box["top"] for box in boxes[1:]), "the question is not hidden"
    page.set_viewport_size({"width": 390, "height": WIDTHS[390]})


def answer_with_one_touch(page: Page) -> None:
    yes = page.get_by_role("button", name="Yes, that is so")
    if not yes.count():  # it is being checked, and so nothing is suggested
        page.locator(".big summary").first.click()
        yes = page.locator(".big .labels button").first
    yes.click()


def test_whoever_is_not_sure_is_followed_by_the_next(phone: Phone) -> None:
    first, second = phone("caregiver"), phone("caregiver2")
    case = first_case(first)
    first.goto(case)
    first.get_by_role("button", name="Not sure, ask someone else").click()
    first.wait_for_url(re.compile("/household/"))
    answer_until_asked_of(second, case)
    mine = first.locator(".card").filter(has=first.locator(f'a[href="{case}"]'))
    expect(mine).to_contain_text("caregiver2 is asked now")


def answer_until_asked_of(page: Page, case: str) -> None:
    """Nobody is asked of two harmless pictures at once: what came first is answered first."""
    asked = page.locator(".card").filter(has_text="You are asked now.")
    expect(asked.first).to_be_visible(timeout=WAIT_MS)
    while not asked.filter(has=page.locator(f'a[href="{case}"]')).count():
        asked.locator(".row-link").first.click()
        answer_with_one_touch(page)
        page.wait_for_url(re.compile("/household/"))
        expect(asked.first).to_be_visible(timeout=WAIT_MS)


def test_quiet_hours_snoozes_and_consent_are_set_by_touch(phone: Phone, shoot: Shoot) -> None:
    page = phone("caregiver")
    page.get_by_role("link", name="When I am asked").click()
    page.get_by_label("From").fill("22:00")
    page.get_by_label("Until").fill("06:30")
    page.get_by_role("button", name="Store").click()
    expect(page.get_by_label("Until")).to_have_value("06:30")
    page.get_by_role("button", name="for 8 hours").first.click()
    expect(page.get_by_role("button", name="Ask me again")).to_be_visible()
    shoot(page, "home-asking")
    page.get_by_role("button", name="Ask me again").click()
    page.get_by_role("button", name="No quiet hours").click()
    expect(page.get_by_label("Until")).to_have_value("")

    page.goto("/household/")
    page.get_by_role("link", name="Who looks here").click()
    page.get_by_role("button", name="I agree").first.click()
    expect(page.get_by_text("yes, said caregiver")).to_be_visible()
    shoot(page, "home-privacy")


def test_a_photo_sent_by_phone_is_asked_about(phone: Phone, tmp_path: Path) -> None:
    page = phone("caregiver")
    path = tmp_path / "room.jpg"
    path.write_bytes(samples("home")[0].jpeg + b"\0")
    page.goto("/upload/")
    page.set_input_files("#files", str(path))
    link = page.locator("#results a[href^='/cases/']")
    expect(link).to_have_count(1, timeout=WAIT_MS)
    page.goto(str(link.get_attribute("href")))
    expect(page.locator(".question")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".big button, .big summary").first).to_be_visible()


def test_the_pages_can_be_installed(phone: Phone) -> None:
    page = phone("caregiver")
    address = page.locator("link[rel=manifest]").get_attribute("href")
    manifest = page.request.get(str(address)).json()
    assert manifest["display"] == "standalone"
    for icon in manifest["icons"]:
        answer = page.request.get(icon["src"])
        assert answer.ok and answer.headers["content-type"] == "image/png"
    registered = page.evaluate(
        "navigator.serviceWorker.register('/worker.js').then((worker) => worker.scope)"
    )
    assert registered.endswith("/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_caregivers_pages(phone: Phone, scheme: str) -> None:
    page = phone("caregiver")
    case = first_case(page)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found = {}
    for path in ("/household/", case, "/household/asking/", "/household/privacy/", "/upload/"):
        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.goto(path)
            if page.locator(".big summary").count():
                page.locator(".big summary").last.click()
            result = Axe().run(page)
            found[path, width] = [one["id"] for one in result.response["violations"]]
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not any(found.values()), found
