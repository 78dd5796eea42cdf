"""What a clinician has at hand on a photo: measuring, comparing, keys of their own, paper."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from inference.drawings import draw_wound
from tests.e2e.conftest import WIDTHS, SignIn, Stack
from tests.pictures import jpeg
from triage.services.demo import PASSWORD

Shoot = Callable[[Page, str], None]
Point = tuple[float, float]
WAIT_MS = 180_000
# A drawing of this size, with a ruler of 50 mm from one point to the other: 8 pixels a millimetre.
SIZE = (640, 420)
RULER: tuple[Point, Point] = ((100, 390), (500, 390))
SUBJECT = "P-7"
# The sides of the drawn photo on the screen, whatever zoom and letterbox do to it.
LIE = """img => {
  const box = img.getBoundingClientRect();
  const size = Math.min(box.width / img.naturalWidth, box.height / img.naturalHeight);
  return [
    box.left + (box.width - img.naturalWidth * size) / 2,
    box.top + (box.height - img.naturalHeight * size) / 2,
    size,
  ];
}"""
# The ends of a drawn line on the screen.
ENDS = """path => {
  const [x, y, x2, y2] = path.getAttribute("d").match(/[-.\\d]+/g).map(Number);
  const seen = (left, top) => new DOMPoint(left, top).matrixTransform(path.getScreenCTM());
  return [seen(x, y), seen(x2, y2)].map(point => [point.x, point.y]);
}"""
FILTER = "img => getComputedStyle(img).filter"


def ruled(seed: int, label: str) -> bytes:
    """A drawn wound above a ruler; wider than high, so that a view has room above and below."""
    picture = draw_wound(seed, label).resize((640, 640)).crop((0, 110, 640, 530))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((80, 370, 540, 410), fill=(240, 236, 225))
    for mm in range(51):
        x = RULER[0][0] + 8 * mm
        pen.line((x, 370, x, 380 if mm % 10 else 388), fill=(20, 20, 20))
    assert isinstance(picture, Image.Image)
    assert picture.size == SIZE
    return jpeg(picture)


@pytest.fixture(scope="module")
def cases(browser: Browser, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The addresses of three decided cases of one subject, the oldest first."""
    folder = tmp_path_factory.mktemp("ruled")
    page = browser.new_page(base_url=stack.url)
    page.goto("/")
    page.fill("input[name=username]", "clinician")
    page.fill("input[name=password]", PASSWORD)
    page.click("form button.primary")
    page.wait_for_url(lambda url: "sign-in" not in url)
    addresses: list[str] = []
    for seed, label in enumerate(("Cut", "Bruises", *["Burns"] * 6), start=940_000):
        path = folder / f"{seed}.jpg"
        path.write_bytes(ruled(seed, label))
        page.goto("/upload/")
        page.fill("#subject", SUBJECT)
        page.set_input_files("#files", str(path))
        link = page.locator("#results a[href^='/cases/']")
        expect(link).to_have_count(1, timeout=WAIT_MS)
        addresses.append(str(link.get_attribute("href")))
        page.goto(addresses[-1])
        state = page.locator("#case-state")
        expect(state).not_to_contain_text("being looked at", timeout=WAIT_MS)
        # A case that happens to be drawn for an audit shows nothing of what the members said.
        if len(addresses) >= 3 and "audit" not in state.inner_text():
            break
    page.close()
    return addresses[-3:]


@pytest.fixture
def desk(sign_in: SignIn, cases: list[str]) -> Page:
    """The newest of these cases, as a clinician has it open."""
    page = sign_in("clinician")
    open_case(page, cases[-1])
    return page


def open_case(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_function("document.querySelector('.stage-view img').naturalWidth > 0")


# Measuring ----------------------------------------------------------------------------------------


def on_screen(page: Page, point: Point) -> Point:
    """Where a point of the photo is on the screen."""
    left, top, size = page.locator(".stage-view img").first.evaluate(LIE)
    return left + point[0] * size, top + point[1] * size


def draw_line(page: Page, start: Point, end: Point) -> None:
    page.mouse.move(*on_screen(page, start))
    page.mouse.down()
    page.mouse.move(*on_screen(page, end), steps=4)
    page.mouse.up()


def lengths(page: Page) -> list[str]:
    return page.locator(".lines text").all_text_contents()


def set_scale(page: Page) -> None:
    page.keyboard.press("m")
    draw_line(page, *RULER)
    page.keyboard.type("50")
    page.keyboard.press("Enter")
    expect(page.locator(".stage-says")).to_contain_text("Now draw")


def test_a_line_is_as_long_as_its_pixels_until_a_scale_is_set(desk: Page) -> None:
    desk.keyboard.press("m")
    draw_line(desk, (160, 150), (480, 150))
    [words] = lengths(desk)
    assert abs(int(words.removesuffix(" px")) - 320) <= 1
    draw_line(desk, *RULER)
    desk.get_by_label("Its true length").fill("5")
    desk.get_by_label("Unit").select_option("cm")
    desk.get_by_role("button", name="Set the scale").click()
    assert lengths(desk) == ["4.0 cm", "5 cm"]


def test_a_line_keeps_its_length_and_its_place_under_zoom_and_pan(desk: Page) -> None:
    set_scale(desk)
    draw_line(desk, (160, 150), (496, 150))
    assert lengths(desk) == ["50 mm", "42 mm"]
    before = on_screen(desk, (160, 150))
    for _ in range(3):
        desk.keyboard.press("+")
    desk.keyboard.down("Shift")
    draw_line(desk, (300, 200), (340, 230))
    desk.keyboard.up("Shift")
    assert lengths(desk) == ["50 mm", "42 mm"]
    assert on_screen(desk, (160, 150)) != before
    for number, ends in enumerate((RULER, ((160, 150), (496, 150)))):
        drawn = desk.locator(".lines .over").nth(number).evaluate(ENDS)
        for seen, point in zip(drawn, ends, strict=True):
            assert seen == pytest.approx(on_screen(desk, point), abs=1.5)
    draw_line(desk, (300, 130), (300, 274))
    assert lengths(desk) == ["50 mm", "42 mm", "18 mm"]


def test_lines_are_drawn_by_keyboard_and_by_two_clicks(desk: Page) -> None:
    desk.keyboard.press("m")
    desk.keyboard.press("Enter")
    for _ in range(10):
        desk.keyboard.press("ArrowRight")
    desk.keyboard.press("Shift+ArrowRight")
    desk.keyboard.press("Enter")
    size = desk.locator(".stage-view img").evaluate(LIE)[2]
    assert lengths(desk) == [f"{round(81 / size)} px"]
    for point in ((200, 300), (400, 300)):
        desk.mouse.click(*on_screen(desk, point))
    assert abs(int(lengths(desk)[1].removesuffix(" px")) - 200) <= 1


def test_lines_are_taken_away_one_by_one_or_all_at_once(desk: Page) -> None:
    set_scale(desk)
    draw_line(desk, (160, 150), (496, 150))
    desk.keyboard.press("Escape")
    assert lengths(desk) == ["50 mm"]
    draw_line(desk, (160, 150), (496, 150))
    desk.get_by_role("button", name="Clear").click()
    assert lengths(desk) == []
    draw_line(desk, (160, 150), (480, 150))
    assert lengths(desk)[0].endswith(" px")
    for _ in range(3):  # out of the field, the line, the tool
        desk.keyboard.press("Escape")
    expect(desk.locator("#measure")).to_be_hidden()
    expect(desk.locator("[data-measure]")).to_have_attribute("aria-expanded", "false")


def test_what_is_measured_goes_into_the_comment_and_its_draft(desk: Page) -> None:
    set_scale(desk)
    draw_line(desk, (160, 150), (496, 150))
    expect(desk.locator("[data-into]")).to_be_hidden()
    desk.keyboard.press("n")
    desk.get_by_label("Comment").fill("edges like those of a scald")
    desk.keyboard.press("Escape")
    set_scale(desk)
    draw_line(desk, (160, 150), (496, 150))
    draw_line(desk, (300, 130), (300, 274))
    assert desk.evaluate("scrollY") == 0
    desk.get_by_role("button", name="Into the comment").click()
    said = "edges like those of a scald 42 mm × 18 mm"
    expect(desk.get_by_label("Comment")).to_have_value(said)
    expect(desk.locator("#draft-state")).to_have_text("Draft kept.")
    desk.reload()
    expect(desk.get_by_label("Comment")).to_have_value(said)
    desk.get_by_role("button", name="Let go").click()
    desk.wait_for_url(re.compile("/queue/"))


# Comparing ----------------------------------------------------------------------------------------


def looks(stack: Stack, address: str) -> int:
    """How often the history says that the photo of a case was seen."""
    query = (
        "from triage.models import AuditEvent; "
        f"print(AuditEvent.objects.filter(verb='photo seen', case='{address.split('/')[2]}')"
        ".count())"
    )
    return int(stack.manage("shell", "--verbosity", "0", "--command", query))


def test_an_earlier_photo_is_looked_at_only_when_asked_for_and_once(
    desk: Page, stack: Stack, cases: list[str]
) -> None:
    first, second, _ = cases
    before = looks(stack, first), looks(stack, second)
    open_case(desk, cases[-1])
    assert (looks(stack, first), looks(stack, second)) == before
    desk.keyboard.press("h")
    beside = desk.locator("#before img:visible")
    expect(beside).to_have_attribute("src", f"{second}photo/")
    expect(desk.locator("#before time:visible")).to_have_count(1)
    expect(desk.locator("[data-now] time")).to_be_visible()
    desk.get_by_role("button", name="Older photo").click()
    expect(beside).to_have_attribute("src", f"{first}photo/")
    desk.get_by_role("button", name="Newer photo").click()
    expect(beside).to_have_attribute("src", f"{second}photo/")
    desk.keyboard.press("h")
    expect(desk.locator("#before")).to_be_hidden()
    desk.keyboard.press("h")
    expect(beside).to_have_js_property("complete", True)
    assert (looks(stack, first), looks(stack, second)) == (before[0] + 1, before[1] + 1)


def test_zoom_and_contrast_are_those_of_both_photos(desk: Page) -> None:
    desk.keyboard.press("h")
    now, before = desk.locator(".stage-view img").first, desk.locator("#before img")
    expect(before).to_be_visible()
    desk.keyboard.press("+")
    desk.mouse.move(*centre(desk, "#before .stage-view"))
    desk.mouse.wheel(0, -100)
    transforms = [each.evaluate("img => img.style.transform") for each in (now, before)]
    assert "scale(1.6" in transforms[0]
    assert transforms[0] == transforms[1]
    desk.keyboard.press("k")
    seen = [desk.locator(".stage-view").nth(number).evaluate(FILTER) for number in (0, 1)]
    assert seen == ["contrast(1.5)"] * 2


def centre(page: Page, selector: str) -> Point:
    box = page.locator(selector).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_photos_stand_side_by_side_or_one_above_the_other(desk: Page) -> None:
    desk.keyboard.press("h")
    expect(desk.locator("#before img")).to_be_visible()
    (x, y), (x2, y2) = (centre(desk, f".stage-view >> nth={number}") for number in (0, 1))
    assert x2 > x and y2 == pytest.approx(y, abs=1)
    desk.set_viewport_size({"width": 390, "height": WIDTHS[390]})
    (x, y), (x2, y2) = (centre(desk, f".stage-view >> nth={number}") for number in (0, 1))
    assert y2 > y and x2 == pytest.approx(x, abs=1)


def test_an_earlier_photo_is_blurred_until_it_is_asked_for(desk: Page) -> None:
    desk.keyboard.press("b")
    desk.keyboard.press("v")
    now, before = desk.locator(".stage-view img").first, desk.locator("#before img:visible")
    assert now.evaluate(FILTER) == "none"
    desk.keyboard.press("h")
    assert before.evaluate(FILTER) == "blur(24px)"
    expect(desk.locator(".reveal")).to_be_visible()
    desk.keyboard.press("v")
    assert before.evaluate(FILTER) == "none"
    expect(desk.locator(".reveal")).to_be_hidden()
    desk.get_by_role("button", name="Older photo").click()
    assert before.evaluate(FILTER) == "blur(24px)"


def test_a_photo_without_an_earlier_one_has_nothing_beside_it(sign_in: SignIn) -> None:
    page = sign_in("clinician")
    page.goto("/cases/?q=D-01")
    open_case(
        page,
        str(page.locator("main .row-link").first.get_attribute("href")),
    )
    expect(page.locator("[data-measure]")).to_be_visible()
    expect(page.locator("[data-compare]")).to_have_count(0)


# Keys ---------------------------------------------------------------------------------------------


def give(page: Page, usual: str, *keys: str) -> None:
    """In the open dialog, give a shortcut another key."""
    page.locator(f'[data-shortcut="{usual}"] [data-change]').click()
    for key in keys:
        page.keyboard.press(key)


def test_a_key_that_was_given_works_and_the_old_one_does_not(desk: Page, cases: list[str]) -> None:
    desk.keyboard.press("?")
    give(desk, "k", "x")
    expect(desk.locator('[data-shortcut="k"] kbd')).to_have_text("X")
    desk.keyboard.press("Escape")
    for _ in range(2):
        desk.keyboard.press("k")
        expect(desk.locator("[data-looks]")).to_have_count(0)
        desk.keyboard.press("x")
        expect(desk.locator('[data-looks="1"]')).to_have_count(1)
        open_case(desk, cases[-1])


EXPIRE = """
from datetime import timedelta
from django.utils import timezone
from triage.models import Lease
then = timezone.now() - timedelta(seconds=5)
Lease.objects.filter(ended_at=None).update(taken_at=then - timedelta(hours=1), expires_at=then)
"""


def test_a_hold_that_ended_is_claimed_again_with_what_was_typed(desk: Page, stack: Stack) -> None:
    desk.keyboard.press("n")
    expect(desk.locator("[data-submit]")).to_be_visible()
    desk.keyboard.press("c")
    desk.keyboard.type("before ")
    expect(desk.locator("#draft-state")).to_have_text("Draft kept.")
    expect(desk.locator("[data-again]")).to_be_hidden()
    stack.manage("shell", "--verbosity", "0", "--command", EXPIRE)
    desk.keyboard.press("Escape")
    desk.keyboard.press("e")
    expect(desk.locator(".lease.over [data-again]")).to_be_visible()
    expect(desk.locator(".lease-warning")).to_contain_text("Your hold has ended")
    desk.get_by_label("Comment").press_sequentially("after")
    desk.keyboard.press("Escape")
    desk.keyboard.press("2")
    desk.keyboard.press("n")
    expect(desk.locator("#draft-state")).to_have_text("Your draft is back.")
    expect(desk.get_by_label("Comment")).to_have_value(re.compile("before.*after|after.*before"))
    expect(desk.locator('[data-key="2"]')).to_be_checked()
    desk.get_by_label("Comment").fill("")
    expect(desk.locator("#draft-state")).to_have_text("Draft kept.")
    desk.get_by_role("button", name="Let go").click()
    desk.wait_for_url(re.compile("/queue/"))


def test_every_act_of_the_desk_has_a_key(desk: Page, cases: list[str]) -> None:
    desk.keyboard.press("n")
    expect(desk.locator("[data-submit]")).to_be_visible()
    desk.keyboard.press("1")
    desk.keyboard.press("p")
    desk.keyboard.press("Control+Enter")
    expect(desk.locator("#pass")).to_be_visible()
    assert desk.url.endswith(cases[-1]), "under a dialog nothing is answered"
    desk.keyboard.press("Escape")
    desk.keyboard.press("h")
    beside = desk.locator("#before img:visible")
    for key, shown in ((",", cases[0]), (".", cases[1])):
        desk.keyboard.press(key)
        expect(beside).to_have_attribute("src", f"{shown}photo/")
    desk.evaluate("window.print = () => { document.body.dataset.printed = 'yes'; }")
    desk.keyboard.press("d")
    expect(desk.locator("body[data-printed]")).to_have_count(1)
    desk.keyboard.press("Control+Shift+Enter")
    expect(desk.locator("[data-submit]")).to_have_count(0)
    assert desk.url.endswith(cases[-1]), "answered, and still here"
    desk.keyboard.press("z")
    expect(desk.locator("[data-submit]")).to_be_visible()
    desk.keyboard.press("l")
    desk.wait_for_url(re.compile("/queue/"))
    links = desk.locator("main .row-link")
    for key, at in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", 0)):
        desk.keyboard.press(key)
        expect(links.nth(at)).to_be_focused()


def test_every_hint_shows_the_own_key_also_in_what_comes_in_later(
    desk: Page, sign_in: SignIn, cases: list[str]
) -> None:
    desk.keyboard.press("?")
    give(desk, "n", "j")
    desk.keyboard.press("Escape")
    hint = desk.locator('#review [data-key="n"] kbd')
    expect(hint).to_have_text("J")
    desk.locator("#review").evaluate("part => { part.dataset.old = 'yes'; }")
    other = sign_in("clinician2")
    open_case(other, cases[-1])
    other.keyboard.press("n")
    expect(other.get_by_role("button", name="Let go")).to_be_visible()
    expect(desk.locator("#review")).to_contain_text("clinician2 holds this case")
    other.get_by_role("button", name="Let go").click()
    expect(hint).to_have_text("J")
    expect(desk.locator("#review[data-old]")).to_have_count(0)
    desk.keyboard.press("j")
    expect(desk.locator("#extend kbd")).to_have_text("E")
    desk.locator("#lease").evaluate("part => { part.dataset.old = 'yes'; }")
    desk.keyboard.press("?")
    give(desk, "e", "y")
    desk.keyboard.press("Escape")
    desk.keyboard.press("y")
    expect(desk.locator("#lease[data-old]")).to_have_count(0)
    expect(desk.locator("#extend kbd")).to_have_text("Y")
    desk.get_by_role("button", name="Let go").click()
    desk.wait_for_url(re.compile("/queue/"))


def test_taken_keys_are_swapped_fixed_ones_refused_and_all_can_go_back(desk: Page) -> None:
    shown = {usual: desk.locator(f'[data-shortcut="{usual}"] kbd') for usual in "cpk"}
    desk.keyboard.press("?")
    give(desk, "p", "c")
    expect(shown["p"]).to_have_text("C")
    expect(shown["c"]).to_have_text("P")
    give(desk, "k", "5", "ArrowLeft", "Control+q", "Escape")
    expect(desk.locator("dialog[open]")).to_have_count(1)
    expect(desk.locator("[data-waiting]")).to_have_count(0)
    expect(shown["k"]).to_have_text("K")
    desk.get_by_role("button", name="Back to the usual keys").click()
    expect(shown["p"]).to_have_text("P")
    expect(shown["c"]).to_have_text("C")
    desk.keyboard.press("Escape")
    desk.keyboard.press("k")
    expect(desk.locator('[data-looks="1"]')).to_have_count(1)


# Paper --------------------------------------------------------------------------------------------

ON_PAPER = (
    ".stage-view img >> nth=0",
    "#case-title",
    "#case-state",
    "#summary .row-meta",
    ".hypothesis >> nth=0",
    ".member >> nth=0",
    ".scores",
    ".numbers dl",
    "[aria-labelledby=decision-title]",
    "[aria-labelledby=history-title]",
)
NOT_ON_PAPER = (
    ".top",
    ".foot",
    ".stage-bar",
    "#measure",
    "#before",
    ".lines",
    "[data-print]",
    "[aria-labelledby=earlier-title]",
    "main button",
    "main textarea",
    "main .chip",
    ".lease",
)


def test_a_case_is_printed_black_on_white_without_its_tools(desk: Page) -> None:
    desk.emulate_media(color_scheme="dark")
    desk.keyboard.press("n")
    expect(desk.locator("#lease")).to_be_visible()
    desk.keyboard.press("+")
    desk.keyboard.press("k")
    desk.keyboard.press("m")
    desk.keyboard.press("h")
    for selector in (*ON_PAPER[:-3], *NOT_ON_PAPER):
        if selector != ".numbers dl":
            assert desk.locator(selector).count(), selector
    desk.emulate_media(media="print", color_scheme="dark")
    for selector in ON_PAPER:
        expect(desk.locator(selector)).to_be_visible()
    for selector in NOT_ON_PAPER:
        expect(desk.locator(selector).filter(visible=True)).to_have_count(0)
    expect(desk.get_by_text("What kind of wound do you see?").filter(visible=True)).to_have_count(1)
    style = "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    assert desk.locator("body").evaluate(style) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    photo = desk.locator(".stage-view").first
    assert photo.evaluate(FILTER) == "none"
    assert photo.locator("img").evaluate("img => getComputedStyle(img).transform") == "none"
    desk.emulate_media(media="screen")
    desk.get_by_role("button", name="Let go").click()
    desk.wait_for_url(re.compile("/queue/"))


def test_the_question_is_on_paper_also_where_nobody_is_asked(desk: Page) -> None:
    question = desk.get_by_text("What kind of wound do you see?")
    expect(question).to_be_hidden()
    desk.emulate_media(media="print")
    expect(question).to_be_visible()


def test_a_blurred_photo_stays_blurred_on_paper(desk: Page) -> None:
    desk.keyboard.press("b")
    desk.emulate_media(media="print")
    assert desk.locator(".stage-view img").evaluate(FILTER) == "blur(24px)"


def test_the_page_has_a_button_that_prints(desk: Page, cases: list[str]) -> None:
    desk.add_init_script("window.print = () => { document.body.dataset.printed = 'yes'; };")
    open_case(desk, cases[-1])
    desk.get_by_role("button", name="Print").click()
    expect(desk.locator("body[data-printed]")).to_have_count(1)


# Everybody ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_with_the_tools_open(desk: Page, scheme: Any, shoot: Shoot) -> None:
    desk.emulate_media(color_scheme=scheme)
    desk.keyboard.press("m")
    draw_line(desk, *RULER)
    axe(desk, f"desk-scale-{scheme}", shoot)
    desk.keyboard.type("50")
    desk.keyboard.press("Enter")
    draw_line(desk, (160, 150), (496, 150))
    desk.keyboard.press("h")
    expect(desk.locator("#before img")).to_be_visible()
    axe(desk, f"desk-compare-{scheme}", shoot)
    desk.keyboard.press("?")
    desk.locator('[data-shortcut="n"] [data-change]').click()
    axe(desk, f"desk-keys-{scheme}", shoot)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_ways_to_leave_a_case(
    desk: Page, scheme: Any, shoot: Shoot
) -> None:
    desk.emulate_media(color_scheme=scheme)
    desk.keyboard.press("n")
    expect(desk.locator("[data-submit]")).to_be_visible()
    for key, dialog in (("s", "skip"), ("p", "pass"), ("r", "retake")):
        desk.keyboard.press(key)
        expect(desk.locator(f"dialog#{dialog}")).to_be_visible()
        axe(desk, f"desk-{dialog}-{scheme}", shoot)
        desk.keyboard.press("Escape")
    desk.get_by_role("button", name="Let go").click()
    desk.wait_for_url(re.compile("/queue/"))


def axe(page: Page, name: str, shoot: Shoot) -> None:
    shoot(page, name)
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name} at {width}: {found.generate_report()}"
    page.set_viewport_size({"width": 1280, "height": WIDTHS[1280]})


def test_what_can_be_pressed_is_large_enough(desk: Page) -> None:
    desk.keyboard.press("m")
    draw_line(desk, *RULER)
    expect(desk.get_by_role("button", name="Set the scale")).to_be_visible()
    sizes_are_enough(desk)
    desk.keyboard.type("50")
    desk.keyboard.press("Enter")
    draw_line(desk, (160, 150), (496, 150))
    desk.keyboard.press("h")
    expect(desk.get_by_role("button", name="Older photo")).to_be_visible()
    sizes_are_enough(desk)


SIZES = """buttons => buttons.map(button => {
    const { width, height } = button.getBoundingClientRect();
    return { button: button.outerHTML, width, height };
})"""


def sizes_are_enough(page: Page) -> None:
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        buttons = page.locator(".stage :is(button, input, select):visible, [data-print]")
        # All at one moment: a page that finds its new width may hide a button between two looks.
        sizes = buttons.evaluate_all(SIZES)
        assert sizes
        assert [size for size in sizes if min(size["width"], size["height"]) < 24] == []
    page.set_viewport_size({"width": 1280, "height": WIDTHS[1280]})
