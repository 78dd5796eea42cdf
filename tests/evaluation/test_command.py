import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from inference.backends.errors import ModelUnavailable
from inference.evaluation import asking
from inference.management.commands import evaluate
from inference.pipeline.domains import load_domain
from inference.uq.answers import Answers
from inference.uq.ensemble import Calibration
from tests.evaluation.drawn import (
    NAMES,
    draw_clip,
    draw_folder,
    draw_rooms,
    embed,
    members_file,
    told,
    write_members,
)
from tests.evaluation.test_judging import KEYS, SIDE_KEYS
from tests.uq.simulated import ensemble

NESTED = {"aggregator", "study"}
SCORES = {"vote_entropy", "cold_start", "von_neumann", "logprob"}


@pytest.fixture(autouse=True)
def _scripted(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALARM_MEMBERS = members_file(tmp_path)
    monkeypatch.setattr(evaluate, "embed", embed)


def run(data: Path, out: Path, *options: str, domain: str = "wound") -> str:
    stdout = StringIO()
    call_command(
        "evaluate", "--domain", domain, "--data", data, "--out", out, *options, stdout=stdout
    )
    return stdout.getvalue()


def test_json_stands_alone_on_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    call_command(
        "evaluate", "--domain", "wound", "--json",
        "--data", draw_folder(tmp_path / "data"), "--out", tmp_path / "out",
    )  # fmt: skip
    printed = capfd.readouterr()
    summary = json.loads(printed.out)
    assert "9 of 9 cases asked" in printed.err
    assert set(summary) == KEYS | NESTED
    assert summary == json.loads((tmp_path / "out/evaluation.json").read_text())
    assert summary["n"] == 9
    assert set(summary["members"]) == {"one", "two", "three"}
    assert set(summary["kept_accuracy"]) == set(summary["aurc"]) == set(summary["auroc"])
    assert set(summary["kept_accuracy"]) >= SCORES
    assert set(summary["kept_accuracy"]["cold_start"]) == {"0", "10", "20", "30", "40"}


def test_in_words_without_json_and_a_page(tmp_path: Path) -> None:
    text = run(draw_folder(tmp_path / "data"), tmp_path / "out/deep")
    assert text.startswith("9 cases: accuracy ")
    assert "evaluation.html" in text
    assert "<svg" in (tmp_path / "out/deep/evaluation.html").read_text()


def summary_of(data: Path, out: Path, domain: str = "wound") -> Any:
    return json.loads(run(data, out, "--json", domain=domain))


def test_a_broken_file_counts_as_wrong(tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 6)
    before = summary_of(data, tmp_path / "out")
    for photo in (data / "images").iterdir():
        photo.write_bytes(photo.read_bytes()[:40])
    after = summary_of(data, tmp_path / "out")
    assert before["n"] == after["n"] == 6
    assert after["accuracy"] == 0
    assert set(after["members"].values()) == {0}


def test_unparsable_output_is_counted(tmp_path: Path, settings: Settings) -> None:
    settings.ALARM_MEMBERS = members_file(tmp_path, two={"fail": "garbage"})
    summary = summary_of(draw_folder(tmp_path / "data", 6), tmp_path / "out")
    assert summary["json_validity"] == pytest.approx(2 / 3, abs=1e-6)
    assert summary["members"]["two"] == 0


def shipped(folder: Path, names: tuple[str, ...]) -> None:
    """A fitted calibration of these members, where a shipped one lies."""
    a, correct = ensemble(60)
    answers = Answers(names, a.descriptions, a.reasonings, a.labels, a.reflected, a.logprobs)
    calibration = Calibration().fit(answers, correct)
    (folder / "wound-calibration.json").write_text(json.dumps(calibration.to_dict()))


def test_the_shipped_calibration_is_used(tmp_path: Path) -> None:
    shipped(tmp_path, ("one", "two", "three"))
    summary = summary_of(draw_folder(tmp_path / "data", 4), tmp_path / "out")
    assert {"s1", "s2", "s3", "alarm"} <= set(summary["aurc"])
    assert "the calibration that ships" in (tmp_path / "out/evaluation.html").read_text()


def test_a_calibration_of_other_members_is_not(tmp_path: Path) -> None:
    shipped(tmp_path, ("one", "two", "stranger"))
    summary = summary_of(draw_folder(tmp_path / "data", 4), tmp_path / "out")
    assert "alarm" not in summary["aurc"]


def test_what_cannot_be_done_is_said_in_one_sentence(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(CommandError, match=r"labels.csv does not exist: name a folder"):
        run(tmp_path / "nowhere", tmp_path / "out")
    data = draw_folder(tmp_path / "data", 2)
    with pytest.raises(CommandError, match="0 members are configured for home"):
        (data / "labels.csv").write_text(f"file,label\np0.png,{load_domain('home').label_ids[0]}\n")
        run(data, tmp_path / "out", domain="home")
    with pytest.raises(CommandError, match="cannot be made: name another --out"):
        draw_folder(data, 2)
        run(data, data / "labels.csv" / "below")
    settings.ALARM_MEMBERS = members_file(tmp_path, two={"fail": "unavailable"})
    with pytest.raises(CommandError, match="two: its model is not there"):
        run(data, tmp_path / "out")


ROOMS = (
    ("cam__1.png", "abnormal", "g1", "fall"),
    ("cam__2.png", "abnormal", "g1", "fall"),
    ("cam__3.png", "normal", "g2", "person"),
    ("porch__4.png", "normal", "g3", "pet"),
    ("porch__5.png", "normal", "g4", "empty scene"),
)
SAID = (
    ("fall", "fall", "fire or smoke"),
    ("pet", "pet", "fall"),
    ("person", "pet", "person"),
    ("wild animal", "wild animal", "wild animal"),
    ("empty scene", "empty scene", "empty scene"),
)


def home(folder: Path, settings: Settings, **options: dict[str, object]) -> Path:
    """Rooms in `folder`/data, and members that say of them what stands in SAID."""
    data = draw_rooms(folder / "data", ROOMS)
    names = [row[0] for row in ROOMS]
    said = {
        member: told(data, dict(zip(names, labels, strict=True))) | options.get(member, {})
        for member, labels in zip(NAMES, zip(*SAID, strict=True), strict=True)
    }
    settings.ALARM_MEMBERS = write_members(folder, "home", said)
    return data


def test_rooms_are_judged_by_their_side(tmp_path: Path, settings: Settings) -> None:
    summary = summary_of(home(tmp_path, settings), tmp_path / "out", "home")
    assert set(summary) == SIDE_KEYS | NESTED | {"sources"}
    assert summary["accuracy"] == summary["side_accuracy"] == 0.6
    assert summary["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-6)
    assert summary["members"] == {"one": 0.6, "two": 0.6, "three": 0.8}
    assert {
        name: (one["n"], one["n_abnormal"], one["accuracy"], one["balanced_accuracy"])
        for name, one in summary["sources"].items()
    } == {"cam": (3, 2, 0.666667, 0.75), "porch": (2, 0, 0.5, None)}
    low, high = summary["balanced_accuracy_interval"]
    assert low < summary["balanced_accuracy"] < high
    page = (tmp_path / "out/evaluation.html").read_text()
    assert "5 labelled cases" in page
    assert "Source by source" in page


def test_rooms_with_labels_of_the_domain_are_judged_by_these(
    tmp_path: Path, settings: Settings
) -> None:
    data = home(tmp_path, settings)
    lines = ["file,label", *(f"{name},{event}" for name, _, _, event in ROOMS)]
    (data / "labels.csv").write_text("\n".join(lines))
    summary = summary_of(data, tmp_path / "out", "home")
    assert set(summary) == KEYS | NESTED | {"sources"}
    assert summary["members"] == {"one": 0.6, "two": 0.4, "three": 0.6}


def test_sides_and_labels_in_one_folder_are_refused(tmp_path: Path, settings: Settings) -> None:
    data = home(tmp_path, settings)
    (data / "labels.csv").write_text("file,label\ncam__1.png,abnormal\ncam__2.png,fall\n")
    with pytest.raises(CommandError, match=r"line 3: 'fall' does not go with 'abnormal'"):
        run(data, tmp_path / "out", domain="home")


def test_clips_lie_beside_pictures(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = home(tmp_path, settings, one={"frames": "each"})
    draw_clip(data / "clip.gif", ["person", "fall", "fall"])
    with (data / "labels.csv").open("a") as file:
        file.write("clip.gif,abnormal,g5\n")
    modes: dict[str, str] = {}

    def ask_all(files: Any, members: Any, *args: Any, **options: Any) -> Any:
        modes.update({name: member.frames for name, member in members.items()})
        return asking.ask_all(files, members, *args, **options)

    monkeypatch.setattr(evaluate, "ask_all", ask_all)
    summary = summary_of(data, tmp_path / "out", "home")
    assert summary["n"] == 6
    assert summary["json_validity"] == 1
    assert summary["sources"]["other"]["n"] == 1
    assert modes == {"one": "each", "two": "together", "three": "together"}


class Familiar:
    """A reference to which the brightness of the first value is the novelty."""

    threshold = 0.5

    def novelty(self, vector: object) -> float:
        assert isinstance(vector, list)
        if not vector:
            raise ValueError("other tower")
        return float(vector[0])


def test_a_reference_adds_novelty(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter([0.1, 0.9, 0.2, 0.8, 0.3])
    asked_for: list[str] = []

    def load_reference(domain_id: str) -> Familiar:
        asked_for.append(domain_id)
        return Familiar()

    monkeypatch.setattr(evaluate, "load_reference", load_reference)
    monkeypatch.setattr(evaluate, "look", lambda pictures: [next(seen) / len(pictures)])
    summary = summary_of(home(tmp_path, settings), tmp_path / "out", "home")
    assert asked_for == ["home"]
    assert summary["auroc"]["novelty"] == 1
    assert summary["kept_accuracy"]["novelty"]["40"] == 1
    assert summary["novel"] == 0.4
    assert summary["sources"]["cam"]["novel"] == pytest.approx(1 / 3, abs=1e-6)
    assert summary["sources"]["porch"]["novel"] == 0.5


def test_without_a_reference_nobody_looks(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "load_reference", lambda _: None)
    monkeypatch.setattr(evaluate, "look", None)
    assert "novelty" not in summary_of(home(tmp_path, settings), tmp_path / "out", "home")["aurc"]


def unavailable(_: object) -> object:
    raise ModelUnavailable("lite0 is gone")


@pytest.mark.parametrize(
    ("name", "fake", "sentence"),
    [
        ("look", unavailable, "lite0 is gone"),
        ("look", lambda _: [], "novelty cannot be measured: other tower"),
    ],
)
def test_a_reference_that_does_not_fit_is_said(
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    fake: object,
    sentence: str,
) -> None:
    monkeypatch.setattr(evaluate, "load_reference", lambda _: Familiar())
    monkeypatch.setattr(evaluate, name, fake)
    with pytest.raises(CommandError, match=sentence):
        run(home(tmp_path, settings), tmp_path / "out", domain="home")


def test_a_reference_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "wound-reference.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(CommandError, match="the reference of wound cannot be read: "):
        run(draw_folder(tmp_path / "data", 1), tmp_path / "out")
