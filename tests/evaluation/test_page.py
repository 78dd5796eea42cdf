from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
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
from inference.evaluation.folder import label_set_of
from inference.evaluation.page import NAMES, render
from inference.evaluation.summary import summarise
from inference.pipeline.domains import load_domain
from inference.uq.ensemble import label_free_scores
from tests.evaluation.test_judging import case, judged, novel_rooms, room
from tests.uq.simulated import ensemble

WOUND, HOME = label_set_of(load_domain("wound")), label_set_of(load_domain("home"))
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
    assert "4 labelled cases" in words
    assert "50.0%" in words
    assert "0.50 s" in words
    assert NAMES["vote_entropy"] in words


def test_each_case_stands_once_in_the_confusion_table() -> None:
    table = page().split('class="confusion"')[1].split("</table>")[0]
    counts = [int(text) for text in Reader(table).words if text.strip().isdigit()]
    assert sum(counts) == len(CASES)
    assert "none" in table
    assert "Source by source" not in page()


def home_page() -> str:
    sides = {
        label.id: "normal" if label.normal else "abnormal" for label in load_domain("home").labels
    }
    result = judged(
        room("abnormal", "x", *[("fall", -0.1)] * 3),
        room("abnormal", "x", *[("pet", -0.1)] * 3),
        room("abnormal", "x", *[("pet", -0.1)] * 3),
        room("normal", "<i>", *[("wild animal", -0.1)] * 3),
        room("normal", "<i>", *[("person", -0.1)] * 3),
        replace(room("normal", "<i>", *[("pet", -0.1)] * 3), answers={}, readable=False),
        sides=sides,
    )
    return render(HOME, result, summarise(result, 0.5))


def rows_of(table: str) -> dict[str, list[str]]:
    root = ElementTree.fromstring(f"<table{table}</table>")
    return {row[0].text or "": [cell.text or "" for cell in row[1:]] for row in root.iter("tr")}


def test_sides_stand_beside_the_labels_that_they_are_of() -> None:
    sides, labels = (
        rows_of(part.split("</table>")[0]) for part in home_page().split("<table")[2:4]
    )
    assert sides == {
        "": ["normal", "abnormal"],
        "normal": ["1", "2"],
        "abnormal": ["1", "1"],
        "none": ["1", ""],
    }
    assert list(labels) == ["", *HOME.ids, "none"]
    assert labels["fall"] == ["", "1"]
    assert labels["pet"] == ["", "2"]
    assert labels["wild animal"] == labels["person"] == labels["none"] == ["1", ""]
    assert labels["fight or crime"] == ["", ""]


def test_right_and_wrong_sides_differ_in_colour() -> None:
    by_label = home_page().split("<table")[3].split("</table>")[0]
    cells = {row.split("</th>")[0].split("<th>")[1]: row for row in by_label.split("<tr>")[2:]}
    assert "--hit" in cells["fall"]
    assert "--hit" in cells["person"]
    assert "--miss" in cells["pet"]
    assert "--miss" in cells["wild animal"]
    assert "--miss" in cells["none"]


def test_sources_and_sides_have_their_words() -> None:
    text = home_page()
    words = " ".join(Reader(text).words)
    assert "AUROC: abnormal against normal" in words
    assert "macro F1" not in words
    assert "side, normal or abnormal, of the label" in words
    sources = rows_of(text.split("<table")[4].split("</table>")[0])
    head = sources["source"]
    assert head == ["cases", "abnormal", "accuracy", "balanced", "deferred"]
    assert sources["x"][:4] == ["3", "3", "33.3%", "–"]
    assert sources["<i>"][:2] == ["3", "0"]
    assert "<i>" not in text


def test_novelty_stands_among_the_scores_and_sources() -> None:
    result = novel_rooms(0.95)
    text = render(HOME, result, summarise(result, 0))
    assert NAMES["novelty"] in text
    sources = rows_of(text.split("<table")[4].split("</table>")[0])
    assert sources["source"][-1] == "novel"
    assert sources["x"][-1] == "50.0%"


def test_an_interval_is_shown_where_there_is_one() -> None:
    result = judged(*CASES)
    summary: Any = summarise(result, 0)
    low, high = summary["accuracy_interval"]
    assert f"accuracy of the vote ({low:.1%} to {high:.1%})" in render(WOUND, result, summary)
    single = judged(CASES[0])
    assert "accuracy of the vote<" in render(WOUND, single, summarise(single, 0))


def test_names_from_outside_cannot_become_markup() -> None:
    result = judged(*CASES)
    hostile = replace(result, members=("<script>alert(1)</script>", "b", "c"))
    text = render(WOUND, hostile, summarise(hostile, 0))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_every_score_has_a_name_in_words() -> None:
    assert {
        *label_free_scores(ensemble(5)[0]),
        "s1",
        "s2",
        "s3",
        "alarm",
        "novelty",
        "learned",
        "aggregator",
    } == set(NAMES)


def test_a_single_case_makes_a_page() -> None:
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
