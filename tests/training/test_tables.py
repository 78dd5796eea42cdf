"""The tables of docs/ensemble.md are what was measured."""

import json
from pathlib import Path

from inference.training.evidence import Evidence, numbers
from inference.training.tables import MEASURED, tables

DOCS = Path(__file__).parents[2] / "docs" / "ensemble.md"


def test_the_page_holds_the_tables_that_the_training_wrote() -> None:
    page = DOCS.read_text(encoding="utf-8")
    for table in tables(json.loads(MEASURED.read_text(encoding="utf-8"))).strip().split("\n\n"):
        assert table in page


def test_each_number_stands_in_its_column(home_evidence: Evidence) -> None:
    measured = numbers(home_evidence)
    text = tables({"home": measured, "seconds_per_case": 1.0})
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line]
    cells = {line[0]: line[1:] for line in lines}
    assert cells["pictures, groups"] == [f"{measured['n']}, {measured['groups']}"]
    assert cells["lite1"][0].startswith(f"{measured['members']['lite1']['accuracy']:.3f}")
    kept = measured["kept_accuracy"]["vote_entropy"]
    assert cells["home, by vote entropy"] == [f"{kept[one]:.3f}" for one in kept]
    assert {len(line) for line in lines if line[0].startswith("home, by")} == {6}
