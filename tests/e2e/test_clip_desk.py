"""A clip and its frames on the stage of photos, and the way from one case to the next of a list."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from inference.drawings import draw_wound
from tests.e2e.conftest import SignIn, Stack
from tests.e2e.test_photo_desk import FILTER, WAIT_MS
from tests.media.clips import clip
from triage.services.demo import PASSWORD

SUBJECT = "P-8"
SHOWN = ".stage-column .stage-view >> nth=0"


def zooming(seed: int, label: str) -> bytes:
    """Four seconds in which the camera comes nearer."""
    picture = draw_wound(seed, label).convert("RGB").resize((480, 480))
    near = [(n / 10, 3 * n) for n in range(40)]
    return clip([(at, picture.crop((z, z, 480 - z, 480 - z)).resize((320, 320))) for at, z in near])


@pytest.fixture(scope="module")
def cases(browser: Browser, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The addresses of two decided clips of one subject, the older first."""
    folder = tmp_path_factory.mktemp("clips")
    page = browser.new_page(base_url=stack.url)
    page.goto("/")
    page.fill("input[name=username]", "clinician")
    page.fill("input[name=password]", PASSWORD)
    page.click("form button.primary")
    page.wait_for_url(lambda url: "sign-in" not in url)
    addresses = [_sent(page, folder / f"{seed}.mp4", seed) for seed in (950_001, 950_002)]
    page.close()
    return addresses


def _sent(page: Page, path: Path, seed: int) -> str:
    path.write_bytes(zooming(seed, "Burns"))
    page.goto("/upload/")
    page.fill("#subject", SUBJECT)
    page.set_input_files("#files", str(path))
    link = page.locator("#results a[href^='/cases/']")
    expect(link).to_have_count(1, timeout=WAIT_MS)
    address = str(link.get_attribute("href"))
    page.goto(address)
    waits = "being looked at"
    expect(page.locator("#case-state")).not_to_contain_text(waits, timeout=WAIT_MS)
    return address


@pytest.fixture
def desk(sign_in: SignIn, cases: list[str]) -> Page:
    """The newer clip, opened from the list of its subject's cases."""
    page = sign_in("clinician")
    page.goto(f"/cases/?q={SUBJECT}")
    page.locator("main .row-link").first.click()
    page.wait_for_url(re.compile(rf"{cases[-1]}\?"))
    expect(page.locator(f"{SHOWN} >> video")).to_have_js_property("paused", True)
    page.wait_for_function("document.querySelector('video').readyState > 0")
    return page


def test_a_frame_lies_on_the_stage_as_a_photo_does(desk: Page, cases: list[str]) -> None:
    desk.keyboard.press("f")
    frame = desk.locator(f"{SHOWN} >> img:visible")
    expect(frame).to_have_attribute("src", f"{cases[-1]}frames/0/")
    desk.keyboard.press("f")
    expect(frame).to_have_attribute("src", f"{cases[-1]}frames/1/")
    expect(desk.locator(".strip [aria-current]")).to_have_count(1)
    desk.keyboard.press("+")
    expect(desk.locator("[data-zoom-level]")).to_have_text(re.compile("125"))
    assert "scale(1.25" in frame.evaluate("img => img.style.transform")
    desk.keyboard.press("k")
    assert desk.locator(SHOWN).evaluate(FILTER) == "contrast(1.5)"
    assert not Axe().run(desk).response["violations"]
    desk.keyboard.press("g")
    expect(frame).to_have_attribute("src", f"{cases[-1]}frames/0/")
    desk.keyboard.press("a")
    expect(desk.locator(f"{SHOWN} >> video")).to_be_visible()
    expect(frame).to_have_count(0)


def test_an_earlier_clip_is_compared_by_the_frame_that_is_chosen(
    desk: Page, cases: list[str]
) -> None:
    desk.keyboard.press("f")
    desk.keyboard.press("h")
    before = desk.locator("#before img:visible")
    expect(before).to_have_attribute("src", re.compile(rf"^{cases[0]}frames/\d/$"))
    desk.locator("#before select:visible").select_option(index=0)
    expect(before).to_have_attribute("src", f"{cases[0]}frames/0/")
    desk.keyboard.press("+")
    now = desk.locator(f"{SHOWN} >> img:visible")
    assert now.evaluate("img => img.style.transform") == before.evaluate(
        "img => img.style.transform"
    )


def test_arrows_lead_from_case_to_case_of_the_list(desk: Page, cases: list[str]) -> None:
    desk.keyboard.press("ArrowRight")
    desk.wait_for_url(re.compile(rf"{cases[0]}\?"))
    desk.keyboard.press("ArrowRight")
    expect(desk.get_by_text("This is the last case of the list.")).to_be_visible()
    desk.keyboard.press("ArrowLeft")
    desk.wait_for_url(re.compile(rf"{cases[-1]}\?"))
    desk.keyboard.press("ArrowLeft")
    expect(desk.get_by_text("This is the first case of the list.")).to_be_visible()


def test_a_frame_is_blurred_until_it_is_asked_for(desk: Page) -> None:
    desk.keyboard.press("b")
    desk.keyboard.press("f")
    frame = desk.locator(f"{SHOWN} >> img:visible")
    expect(frame).to_be_visible()
    assert frame.evaluate(FILTER) == "blur(24px)"
    desk.keyboard.press("v")
    assert frame.evaluate(FILTER) == "none"
    desk.keyboard.press("f")
    assert frame.evaluate(FILTER) == "blur(24px)"
