from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from inference.evaluation.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Line,
    line_chart,
)
from inference.evaluation.judging import summarise
from inference.evaluation.page import NAMES, render
from inference.pipeline.domains import load_domain
from inference.uq.ensemble import label_free_scores
from tests.evaluation.test_judging import case, judged
from tests.uq.simulated import ensemble

WOUND = load_domain("wound")
CASES = (
    case("Burns", "Burns", "Burns", "Burns"),
    case("Cut", "Burns", "Cut", "Cut"),
    case("Bruises", "Cut", "Cut", "Bruises"),
    case("Stab Wound", whole=frozenset(), readable=False),
)


class Reader(HTMLParser):
    """Tags, attributes and text, and whether every tag was closed."""

    VOID = frozenset({"meta", "circle", "path", "polyline"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page() -> str:
    result = judged(*CASES)
    return render(WOUND, result, summarise(result, 0.5))


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    reader = Reader(page())
    assert reader.open == []
    tags = {tag for tag, _ in reader.seen}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    assert not any("href" in attrs or "src" in attrs for _, attrs in reader.seen)
    assert "$" not in page()


def test_the_page_shows_the_numbers() -> None:
    words = " ".join(Reader(page()).words)
    assert "4 labelled photos" in words
    assert "50.0%" in words
    assert "0.50 s" in words
    assert NAMES["vote_entropy"] in words


def test_each_photo_stands_once_in_the_confusion_table() -> None:
    table = page().split('class="confusion"')[1].split("</table>")[0]
    counts = [int(text) for text in Reader(table).words if text.strip().isdigit()]
    assert sum(counts) == len(CASES)
    assert "none" in table


def test_names_from_outside_cannot_become_markup() -> None:
    result = judged(*CASES)
    hostile = replace(result, members=("<script>alert(1)</script>", "b", "c"))
    text = render(WOUND, hostile, summarise(hostile, 0))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_every_score_has_a_name_in_words() -> None:
    assert {*label_free_scores(ensemble(5)[0]), "s1", "s2", "s3", "alarm"} == set(NAMES)


def test_a_single_photo_makes_a_page() -> None:
    result = judged(CASES[0])
    assert Reader(render(WOUND, result, summarise(result, 0))).open == []


def test_a_chart_is_an_svg_within_its_frame() -> None:
    line = Line("a < b", [(0, 0), (0.5, 2), (1, -3)], "a", dots=True)
    chart = line_chart("title & more", [line], Axis("x", [0, 1]), Axis("y", [0, 0.5, 1]))
    root = ElementTree.fromstring(chart)
    assert root.get("aria-label") == "title & more"
    [polyline] = root.iter("polyline")
    places = [tuple(map(float, pair.split(","))) for pair in str(polyline.get("points")).split()]
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    assert places == [(LEFT, bottom), ((LEFT + right) / 2, TOP), (right, bottom)]
    assert len(list(root.iter("circle"))) == 3


def test_an_axis_places_its_ticks_from_end_to_end() -> None:
    axis = Axis("share", [0.5, 0.75, 1.0])
    assert [axis.place(value) for value in (0.4, 0.5, 0.75, 1, 2)] == [0, 0, 0.5, 1, 1]


def test_the_template_stands_beside_the_module() -> None:
    import inference.evaluation.page as module

    assert Path(module.__file__).with_suffix(".html").is_file()


@pytest.mark.parametrize("word", ["prefers-color-scheme: dark", "width=device-width"])
def test_the_page_suits_phones_and_the_dark(word: str) -> None:
    assert word in page()
