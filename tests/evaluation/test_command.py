import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from inference.management.commands import evaluate
from inference.pipeline.domains import load_domain
from inference.uq.answers import Answers
from inference.uq.ensemble import Calibration
from tests.evaluation.drawn import draw_folder, embed, members_file
from tests.evaluation.test_judging import KEYS
from tests.uq.simulated import ensemble

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
    assert "9 of 9 photos asked" in printed.err
    assert set(summary) == KEYS
    assert summary == json.loads((tmp_path / "out/evaluation.json").read_text())
    assert summary["n"] == 9
    assert set(summary["members"]) == {"one", "two", "three"}
    assert set(summary["kept_accuracy"]) == set(summary["aurc"]) == set(summary["auroc"])
    assert set(summary["kept_accuracy"]) >= SCORES
    assert set(summary["kept_accuracy"]["cold_start"]) == {"0", "10", "20", "30", "40"}


def test_in_words_without_json_and_a_page(tmp_path: Path) -> None:
    text = run(draw_folder(tmp_path / "data"), tmp_path / "out/deep")
    assert text.startswith("9 photos: accuracy ")
    assert "evaluation.html" in text
    assert "<svg" in (tmp_path / "out/deep/evaluation.html").read_text()


def summary_of(data: Path, out: Path) -> Any:
    return json.loads(run(data, out, "--json"))


def test_a_broken_photo_counts_as_wrong(tmp_path: Path) -> None:
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
