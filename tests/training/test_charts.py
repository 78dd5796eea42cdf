"""Charts are SVG files that stand alone and show every case."""

from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest

from inference.training import charts
from inference.training.evidence import Evidence

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", params=("home", "wound"))
def drawn(request: pytest.FixtureRequest) -> dict[str, Element]:
    """Name -> root of the chart."""
    found: Evidence = request.getfixturevalue(f"{request.param}_evidence")
    return {name: fromstring(text) for name, text in charts.draw(found).items()}


def texts(chart: Element) -> list[str]:
    return ["".join(one.itertext()) for one in chart.iter(f"{SVG}text")]


def test_each_is_whole_and_has_a_size(drawn: dict[str, Element]) -> None:
    assert set(drawn) == {"deferral", "reliability", "confusion"}
    for chart in drawn.values():
        assert chart.tag == f"{SVG}svg"
        assert float(chart.attrib["width"]) > 0 < float(chart.attrib["height"])
        assert chart.find(f"{SVG}style") is not None
        assert chart.attrib["role"] == "img"


def test_deferral_compares_three_ways_to_score(drawn: dict[str, Element]) -> None:
    chart = drawn["deferral"]
    lines = list(chart.iter(f"{SVG}polyline"))
    assert len(lines) == len(charts.DRAWN)
    assert {len(line.attrib["points"].split(" ")) for line in lines} == {9}  # 0 to 8 of 16 deferred
    assert {name for _, name in charts.DRAWN.values()} <= set(texts(chart))


def test_reliability_has_a_point_a_group_of_cases(drawn: dict[str, Element]) -> None:
    assert len(list(drawn["reliability"].iter(f"{SVG}circle"))) == 10


def test_any_label_may_be_shown(wound_evidence: Evidence) -> None:
    truth = np.where(wound_evidence.truth == "Cut", "Cut & <deep>", wound_evidence.truth)
    chart = charts.draw(replace(wound_evidence, truth=truth))["confusion"]
    assert texts(fromstring(chart)).count("Cut & <deep>") == 2


def test_confusion_counts_every_case(drawn: dict[str, Element]) -> None:
    shown = texts(drawn["confusion"])
    assert sum(int(text) for text in shown if text.isdigit()) == 16
    labels = [text for text in shown if not text.isdigit()]
    assert len(labels) == 14
    assert labels[:7] == sorted(labels[:7]) == labels[7:]
    assert len(list(drawn["confusion"].iter(f"{SVG}rect"))) == 49
