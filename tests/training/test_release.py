"""What lies beside the members can be read by whoever runs them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.backends.registry import FrameMode, read_members
from inference.training import views
from inference.training.course import Course
from inference.training.evidence import Evidence, numbers
from inference.training.release import UNMEASURED, members_file, model_card, results
from inference.training.settings import OPTIONS
from tests.training.drawn import make_folder, small_settings


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """Both domains, one picture each."""
    wound = make_folder(tmp_path / "wound", [{"file": "a.png", "label": "Cut"}])
    home = make_folder(tmp_path / "home", [{"file": "a.png", "label": "pet"}])
    return Course(small_settings(tmp_path / "work", wound=wound, home=home))


def test_the_members_are_read_back(course: Course, tmp_path: Path) -> None:
    (tmp_path / "lite1").mkdir()
    (tmp_path / "members.toml").write_text(members_file(course))
    members = read_members(tmp_path / "members.toml")
    assert [one.name for one in members] == ["lite0", "lite1", "lite2"]
    for one in members:
        assert one.domains == ("wound", "home")
        assert one.frames is FrameMode.EACH
        assert one.options == OPTIONS
        assert one.options["crops"] == list(views.CROPS)
        assert one.options["guided"] is True
    assert members[0].model == "lite0"
    assert members[1].model == str((tmp_path / "lite1").resolve())


def test_only_the_members_asked_for_are_written(course: Course, tmp_path: Path) -> None:
    few = Course(replace(course.settings, members=("lite2",)))
    (tmp_path / "members.toml").write_text(members_file(few))
    assert [one.name for one in read_members(tmp_path / "members.toml")] == ["lite2"]


def test_a_card_without_numbers_says_so(course: Course) -> None:
    card = model_card(course, "lite1", {})
    assert "$" not in card
    assert UNMEASURED in card
    assert card.count("lite1") >= 2 and "lite0" not in card
    assert "- wound: Abrasions, Bruises, Burns, Cut" in card
    assert "- home: 1 pictures, 7 drawings" in card
    assert "- wound: 1 pictures, 21 drawings" in card
    assert f"width {course.settings.shape.width}" in card


@pytest.fixture
def measured(home_evidence: Evidence, wound_evidence: Evidence) -> Mapping[str, Any]:
    return {
        "home": numbers(home_evidence),
        "wound": numbers(wound_evidence),
        "seconds_per_case": 1.5,
        "settings": {"folds": 2, "seed": 0},
    }


def test_results_are_a_table_with_a_column_a_domain(measured: dict[str, Any]) -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in results("lite1", measured).splitlines()
    ]
    assert rows[0] == ["", "home", "wound"]
    assert {len(row) for row in rows} == {3}
    table = {row[0]: row[1:] for row in rows}
    assert table["pictures"] == ["16", "16"]
    assert table["accuracy of lite1"][0].startswith("0.875 (0.")
    assert table["accuracy of the vote"][1].startswith("0.938 (0.")
    assert table["valid JSON"] == ["97.9%", "100.0%"]
    assert len(table["vote, kept at 10 / 20 / 30 / 40 % deferred"][0].split(" / ")) == 4


def test_a_card_shows_its_numbers(course: Course, measured: dict[str, Any]) -> None:
    card = model_card(course, "lite0", measured)
    assert results("lite0", measured) in card
    assert UNMEASURED not in card
