"""Templates, styles and modules keep the promises that no single page test would notice broken."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template import Context, Template
from django.template.loader import get_template, render_to_string
from django.test import RequestFactory

from inference.pipeline.stages import Stage
from triage.choices import CaseStatus
from triage.selectors.explain import StageLevel
from triage.selectors.phrases import Part
from triage.selectors.said import HypothesisView, MemberRow, TraceView
from triage.templatetags.triage import STATE_LOOKS, cell_state, number, percent, state

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").glob("*.html"))
MODULES = sorted((ROOT / "static" / "js").glob("*.js"))
CSS = (ROOT / "static" / "css" / "alarm.css").read_text(encoding="utf-8")
ICONS = set(re.findall(r'<symbol id="([a-z]+)"', (ROOT / "static" / "icons.svg").read_text()))
# Parts of a template that people do not read, or that are marked for translation already.
UNSAID = (
    r"{% comment %}.*?{% endcomment %}",
    r"{% blocktranslate.*?endblocktranslate %}",
    r"{% block body_class %}.*?{% endblock %}",
)
ERROR_PAGES = ["403.html", "404.html", "429.html", "500.html"]


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


class Page(HTMLParser):
    """The elements of a page, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1].text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]


def rendered(source: str, **context: Any) -> str:
    return Template(source).render(Context(context))


def ids(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", TEMPLATES, ids=ids)
def test_a_template_compiles(path: Path) -> None:
    get_template(path.name)


@pytest.mark.parametrize("path", TEMPLATES, ids=ids)
def test_nothing_in_a_template_needs_a_weaker_content_security_policy(path: Path) -> None:
    page = Page(re.sub(r"{[%#].*?[%#]}", "", path.read_text(encoding="utf-8"), flags=re.S))
    names = {name for element in page.elements for name in element.attributes}

    assert not {name for name in names if name == "style" or name.startswith(("on", "hx-on"))}
    assert not page.all("style")
    assert all("src" in script.attributes for script in page.all("script"))


@pytest.mark.parametrize("path", TEMPLATES, ids=ids)
def test_words_in_a_template_can_be_translated(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for pattern in UNSAID:
        source = re.sub(pattern, "", source, flags=re.S)
    page = Page(re.sub(r"{[%#{].*?[%#}]}", "", source, flags=re.S))
    kept = ("code", "kbd", "title")
    texts = [element.text.strip() for element in page.elements if element.tag not in kept]

    said = [text for text in texts if re.search(r"[A-Za-z]{3,}", text)]
    assert [text for text in said if text not in ("ALARM", "ALARM Triage")] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=ids)
def test_icons_and_static_files_exist(path: Path) -> None:
    source = path.read_text(encoding="utf-8")

    assert set(re.findall(r'{% icon "(\w+)" %}', source)) <= ICONS
    for name in re.findall(r"{% static '([^']+)' %}", source):
        assert finders.find(name), name


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_modules_write_no_markup_and_evaluate_nothing(path: Path) -> None:
    banned = (
        r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(.style"
    )

    assert not re.search(banned, path.read_text(encoding="utf-8"))


def test_the_charts_share_their_drawing() -> None:
    shared = ("getComputedStyle", "prefers-color-scheme", "new window.uPlot", "setLineDash")
    for path in MODULES:
        found = [one for one in shared if one in path.read_text(encoding="utf-8")]
        assert found == (list(shared) if path.name == "plot.js" else []), path.name


def test_an_interval_goes_from_its_low_to_its_high_end() -> None:
    html = rendered("{% interval low high at %}", low=0.1, high=0.35, at=0.2)
    assert '<rect x="10.00" y="2" width="25.00" height="4"/>' in html
    assert 'class="point" x="20.00"' in html


def test_an_interval_is_drawn_in_one_place() -> None:
    for path in TEMPLATES:
        assert 'class="interval"' not in path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("value", [*CaseStatus.values, *STATE_LOOKS])
def test_a_state_has_an_icon_that_exists_and_its_word(value: str) -> None:
    html = state(value, "its word")

    assert "its word" in html
    assert re.findall(r"icons\.svg#(\w+)", html)[0] in ICONS


def test_green_is_kept_for_what_a_person_has_answered() -> None:
    green = {value for value in CaseStatus.values if STATE_LOOKS[value][1] == "good"}

    assert green == {CaseStatus.RESOLVED}


@pytest.mark.parametrize("name", ERROR_PAGES)
def test_an_error_page_needs_no_context(name: str) -> None:
    page = Page(render_to_string(name))

    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    assert page.all("html")[0].attributes["lang"] == "en"
    assert any(link.attributes.get("href") == "#main" for link in page.all("a"))


def test_a_sign_in_labels_both_fields() -> None:
    request = RequestFactory().get("/sign-in/")
    page = Page(render_to_string("sign_in.html", {"next": "/queue/"}, request))
    labelled = {label.attributes["for"] for label in page.all("label")}
    fields = [field for field in page.all("input") if field.attributes["type"] != "hidden"]

    assert {field.attributes["id"] for field in fields} == labelled
    assert {field.attributes["name"] for field in fields} == {"username", "password"}


# The gauge ----------------------------------------------------------------------------------------


def gauge(*levels: str) -> str:
    stages = tuple(
        StageLevel(stage, stage.title(), level, f"{stage} is {level}.")
        for stage, level in zip(Stage, levels, strict=True)
    )
    return rendered('{% include "_gauge.html" %}', stages=stages)


def test_the_gauge_explains_itself_on_focus() -> None:
    html = gauge("low", "high", "unknown")
    outside = Page(html).all("span")[0].attributes

    assert outside["tabindex"] == "0"
    assert outside["role"] == "img"
    for words in (
        "Comprehension: low.",
        "Analysis: high. analysis is high.",
        "Reflection: unknown.",
    ):
        assert words in str(outside["aria-label"])


def test_the_gauge_has_a_column_of_three_ticks_a_stage() -> None:
    page = Page(gauge("low", "medium", "high"))

    assert [g.attributes["class"] for g in page.all("g")] == [
        "level-low",
        "level-medium",
        "level-high",
    ]
    assert len(page.all("rect")) == 9


# What people said, what members said --------------------------------------------------------------

ORDERS = '<script>alert("accept it")</script>'


def trace(**changes: Any) -> TraceView:
    values: dict[str, Any] = {
        "stage": Stage.ANALYSIS,
        "title": "Reasoning",
        "parts": (Part(ORDERS, False), Part(ORDERS, True)),
        "label": "Cut",
        "label_title": "Cut",
        "valid": True,
        "error": "",
        "seconds": 0.1,
        "tokens": 9,
        "flipped": False,
        "frames": (),
    }
    return TraceView(**(values | changes))


def member(status: str, stage: str = "", *traces: TraceView | None) -> MemberRow:
    return MemberRow("alpha", status, stage, "", traces or (None, None, None), "Cut", "Burn")


def test_what_a_member_writes_is_never_markup() -> None:
    hypothesis = HypothesisView("Cut", ORDERS, 0.5, [ORDERS], ORDERS, 1)
    html = rendered('{% include "_member.html" %}', member=member("done", "", *[trace()] * 3))
    html += rendered(
        '{% include "_hypothesis.html" with choose=True %}',
        hypothesis=hypothesis,
        member_roles={"clinician"},
    )

    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 9


def test_a_changed_label_is_said_in_words() -> None:
    flipped = trace(stage=Stage.REFLECTION, label_title="Burn", flipped=True)
    html = rendered(
        '{% include "_member.html" %}', member=member("done", "", trace(), trace(), flipped)
    )

    assert html.count("changed to") == 1


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        (member("queued"), ["queued", "queued", "queued"]),
        (member("running", "comprehension"), ["running", "queued", "queued"]),
        (
            member("running", "reflection", trace(), trace(), None),
            ["done", "done", "running"],
        ),
        (member("failed", "", trace(), trace(valid=False), None), ["done", "failed", "failed"]),
    ],
)
def test_progress_says_where_each_stage_stands(row: MemberRow, cells: list[str]) -> None:
    assert [cell_state(row, index) for index in range(3)] == cells


@pytest.mark.parametrize("fragment", ["_row.html", "_picture.html", "_stage.html", "_summary.html"])
def test_a_drawing_is_called_one_wherever_it_appears(fragment: str) -> None:
    source = (ROOT / "templates" / fragment).read_text(encoding="utf-8")

    assert re.search(r'{% if \w+\.drawn %}{% include "_drawing\.html" %}', source)
    assert "drawing" in render_to_string("_drawing.html")


# Numbers and times --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), ""])
def test_what_is_not_known_is_a_dash(value: Any) -> None:
    assert (percent(value), number(value)) == ("–", "–")


def test_numbers_are_short() -> None:
    assert percent(0.674) == "67\u202f%"
    assert percent(0.674, 1) == "67.4\u202f%"
    assert number(0.6366, 3) == "0.637"


def test_a_time_carries_its_zone_for_the_browser() -> None:
    when = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    time = Page(rendered("{% moment when %}", when=when)).all("time")[0]

    assert time.attributes["datetime"] == "2026-03-01T12:30:00+00:00"
    assert time.text == "1 Mar, 12:30"


# Colours ------------------------------------------------------------------------------------------


def palette(dark: bool) -> dict[str, str]:
    light, _, after = CSS.partition("@media (prefers-color-scheme: dark)")
    values = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6});", light))
    if dark:
        values |= dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6});", after))
    return values


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb, 0 to 1 (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXT = ["ink", "ink-2", "accent", "alert", "warning", "good"]
BEHIND = ["ground", "surface"]
PAIRS = [
    *product(TEXT, BEHIND),
    ("accent-ink", "accent"),
    ("alert-ink", "alert"),
    ("ink", "accent-wash"),
    ("ink-2", "accent-wash"),
    ("ink", "sunk"),
    ("ink-2", "sunk"),
    ("stage-ink", "stage"),
]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "behind"), PAIRS)
def test_text_stands_out_enough(text: str, behind: str, dark: bool) -> None:
    colours = palette(dark)

    assert contrast(colours[text], colours[behind]) >= 4.5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("behind", BEHIND)
def test_edges_of_controls_stand_out_enough(behind: str, dark: bool) -> None:
    colours = palette(dark)

    assert contrast(colours["edge"], colours[behind]) >= 3


def test_there_are_five_sizes_of_text() -> None:
    sizes = dict(re.findall(r"--(small|text|large|title|display): ([\d.]+)rem;", CSS.split("}")[0]))

    assert [float(size) * 16 for size in sizes.values()] == [13, 15, 18, 24, 32]
    assert set(re.findall(r"font-size: ([^;]+);", CSS)) <= {f"var(--{name})" for name in sizes}


def test_depth_comes_by_borders_and_motion_is_short() -> None:
    assert "shadow" not in CSS
    assert int(re.findall(r"--quick: (\d+)ms", CSS)[0]) < 150
    assert "prefers-reduced-motion: reduce" in CSS
    assert "animation" not in CSS


def test_a_list_that_sets_its_columns_is_laid_out_as_rows() -> None:
    """`.held` names the columns alone: without `.versions` its rows run into each other."""
    lists = {
        (path.name, found)
        for path in TEMPLATES
        for found in re.findall(r'class="([^"]*\bheld\b[^"]*)"', path.read_text())
    }
    assert lists
    assert all("versions" in found.split() for _name, found in lists), lists
