"""A day with the product: photos come in, people answer, the threshold moves, and moves back."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from inference.drawings import draw_wound
from tests.e2e.conftest import SignIn, Stack
from tests.pictures import jpeg

Shoot = Callable[[Page, str], None]
# The demonstration's samples are looked at first.
WAIT_MS = 180_000
LABELS = ("Cut", "Burns", "Bruises")


@pytest.fixture
def drawings(tmp_path: Path) -> list[str]:
    """Three drawn wounds as files."""
    paths = []
    for seed, label in enumerate(LABELS, start=910_000):
        path = tmp_path / f"{label}.jpg"
        path.write_bytes(jpeg(draw_wound(seed, label)))
        paths.append(str(path))
    return paths


def upload(page: Page, files: list[str]) -> list[str]:
    """Send files; gives the addresses of their cases, when all have been taken in."""
    page.goto("/upload/")
    page.set_input_files("#files", files)
    links = page.locator("#results a[href^='/cases/']")
    expect(links).to_have_count(len(files), timeout=WAIT_MS)
    return [str(link.get_attribute("href")) for link in links.all()]


def wait_until_decided(page: Page, case: str) -> str:
    """Stay on a case's page, without loading it again, until it says what became of it."""
    page.goto(case)
    state = page.locator("#case-state")
    expect(state).not_to_contain_text("being looked at", timeout=WAIT_MS)
    return state.inner_text()


def test_a_case_is_shown_live_and_then_decided(
    sign_in: SignIn, drawings: list[str], shoot: Shoot
) -> None:
    page = sign_in("clinician")
    [case] = upload(page, drawings[:1])
    assert wait_until_decided(page, case) in {
        "accepted",
        "waiting for review",
        "waiting for audit",
    }
    shoot(page, "case-decided")


def test_a_bad_file_is_refused_in_words_and_the_good_one_taken(
    sign_in: SignIn, drawings: list[str], tmp_path: Path, allowed_errors: list[str]
) -> None:
    allowed_errors.append("422")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>no photo</html>")
    page = sign_in("clinician")
    page.goto("/upload/")
    page.set_input_files("#files", [str(bad), drawings[1]])
    expect(page.get_by_text("is no photo or clip that we can read")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#results a[href^='/cases/']")).to_have_count(1, timeout=WAIT_MS)


def test_two_reviewers_never_hold_one_case_and_see_each_other(sign_in: SignIn) -> None:
    first, second = sign_in("clinician"), sign_in("clinician2")
    first.goto("/queue/")
    second.goto("/queue/")
    expect(first.locator("ol.rows > li").first).to_be_visible(timeout=WAIT_MS)
    first.keyboard.press("n")
    first.wait_for_url(re.compile("/cases/"))
    expect(second.locator("#queue-counts")).to_contain_text("held")
    second.keyboard.press("n")
    second.wait_for_url(re.compile("/cases/"))
    assert first.url != second.url
    for page in (first, second):
        page.get_by_role("button", name="Let go").click()
        page.wait_for_url(re.compile("/queue/"))


def answer_by_keyboard(page: Page, count: int) -> None:
    """Claim, press 1, submit and go on: two keys a case."""
    page.goto("/queue/")
    expect(page.locator("ol.rows > li").first).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("n")
    for _ in range(count):
        page.wait_for_url(re.compile(r"/cases/[0-9a-f-]+/(\?in=queue)?$"))
        before = page.url
        page.keyboard.press("1")
        page.keyboard.press("Control+Enter")
        expect(page).not_to_have_url(before)
    if "/cases/" in page.url:
        page.get_by_role("button", name="Let go").click()


def test_the_next_case_has_its_own_address(sign_in: SignIn) -> None:
    """It comes as the answer to a form; a reload asks for it and sends nothing again."""
    page = sign_in("clinician")
    page.goto("/queue/")
    expect(page.locator("ol.rows > li").first).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("n")
    page.wait_for_url(re.compile(r"/cases/[0-9a-f-]+/(\?in=queue)?$"))
    number = page.title()
    page.reload()
    expect(page.locator("[data-submit]")).to_be_visible()
    assert page.title() == number
    page.get_by_role("button", name="Let go").click()
    page.wait_for_url(re.compile("/queue/"))


def test_what_was_typed_survives_a_reload(sign_in: SignIn) -> None:
    page = sign_in("clinician")
    page.goto("/queue/")
    expect(page.locator("ol.rows > li").first).to_be_visible(timeout=WAIT_MS)
    page.keyboard.press("n")
    page.get_by_label("Comment").fill("edges like those of a scald")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page.locator("#draft-state")).to_have_text("Draft kept.")
    page.reload()
    expect(page.get_by_label("Comment")).to_have_value("edges like those of a scald")
    expect(page.locator('[data-key="2"]')).to_be_checked()
    expect(page.locator("#draft-state")).to_have_text("Your draft is back.")
    for looks in ("more contrast", "most contrast", "grey"):
        page.keyboard.press("k")
        expect(page.locator(".contrast-now")).to_have_text(looks)
    page.keyboard.press("k")
    expect(page.locator("[data-looks]")).to_have_count(0)
    page.get_by_role("button", name="Let go").click()
    expect(page.locator("ol.rows > li").first).to_be_visible()


def test_answers_move_the_threshold_and_one_step_moves_it_back(
    sign_in: SignIn, stack: Stack, tmp_path: Path, shoot: Shoot
) -> None:
    clinician, administrator = sign_in("clinician"), sign_in("administrator")
    fresh = []
    for seed in range(920_000, 920_006):
        path = tmp_path / f"{seed}.jpg"
        path.write_bytes(jpeg(draw_wound(seed, "Laceration", blend="Cut")))
        fresh.append(str(path))
    administrator.goto("/policies/")
    administrator.get_by_text("Defer everything…").click()
    administrator.get_by_role("button", name="Defer everything now").click()
    expect(administrator.locator(".active-policy")).to_contain_text("Every case goes to a person")
    for case in upload(clinician, fresh):
        assert wait_until_decided(clinician, case) == "waiting for review"
    answer_by_keyboard(clinician, 6)

    administrator.goto("/policies/")
    administrator.get_by_role("button", name="Refit now").click()
    administrator.wait_for_url(re.compile(r"/policies/\d+/"))
    shoot(administrator, "policy-draft")
    version = re.search(r"\d+", administrator.locator("h1").inner_text())
    assert version
    administrator.get_by_text("Publish…").click()
    administrator.get_by_role("button", name=f"Publish policy {version[0]}").click()
    expect(administrator.locator(".active-policy")).to_contain_text(f"Policy {version[0]}")
    shoot(administrator, "policies")

    last = tmp_path / "last.jpg"
    last.write_bytes(jpeg(draw_wound(930_000, "Burns")))
    [case] = upload(clinician, [str(last)])
    wait_until_decided(clinician, case)
    expect(clinician.get_by_text(f"olicy version {version[0]}").first).to_be_attached()

    administrator.get_by_text("Roll back…").last.click()
    administrator.get_by_role("button", name="Roll back to policy 1").click()
    expect(administrator.locator(".active-policy")).to_contain_text("Policy 1")
    assert "observations" in stack.manage("reconcile")


PAGES = {
    "clinician": (
        "/queue/",
        "/upload/",
        "/cases/",
        "/policies/",
        "/ensemble/",
        "/answers/",
        "/second-factor/",
    ),
    "caregiver": ("/household/", "/upload/", "/cases/"),
    "administrator": (
        "/policies/",
        "/policies/what-if/",
        "/ensemble/",
        "/answers/",
        "/audit/",
        "/retention/",
        "/cameras/",
        "/people/",
        "/people/gold/",
        "/glass/",
    ),
    "auditor": ("/audit/", "/policies/"),
}


@pytest.mark.parametrize("person", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(sign_in: SignIn, person: str, scheme: str, shoot: Shoot) -> None:
    page = sign_in(person)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    addresses = list(PAGES[person])
    for listed, page_of, link in (
        ("clinician", "/cases/", ".row-link"),
        ("administrator", "/policies/", "a[href^='/policies/']:not([href*='?'])"),
        ("auditor", "/audit/", "a[href^='/audit/cases/']:not([href*='?'])"),
    ):
        if person == listed:
            page.goto(page_of)
            found = page.locator("main").locator(link).first
            addresses.append(str(found.get_attribute("href")))
    for address in addresses:
        page.goto(address)
        name = address.strip("/").split("/")[0]
        shoot(page, f"{person}-{name}-{scheme}")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 844})
            found = Axe().run(page)
            assert found.violations_count == 0, f"{address} at {width}: {found.generate_report()}"
