"""Numbers of a cross-validation that was written by hand."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from statistics import mean, stdev
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from inference.training import charts, evidence
from inference.training.albums import Album
from inference.training.course import Course
from inference.training.evidence import (
    Evidence,
    calibration_rows,
    gather,
    numbers,
    reflections,
    repeats,
    splits,
    texts,
    whole_sources,
    write_evidence,
)
from inference.training.features import Gallery
from tests.evaluation.drawn import embed
from tests.training.answered import COUNT, MEMBERS, WHOLE


@pytest.fixture(autouse=True)
def _blind_eye(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features without a tower: none is installed where only tests run."""
    rng = np.random.default_rng(0)

    def seen(gallery: Gallery) -> np.ndarray:
        return rng.normal(size=(len(gallery), 8)).astype(np.float32)

    monkeypatch.setattr(evidence, "eye_features", seen)


def test_what_stands_twice_in_a_row_of_four_words_is_a_repetition() -> None:
    assert repeats("it is red and it is red and it hurts")
    assert repeats("One two three four, five. ONE two three four!")
    assert not repeats("one two three, one two three")
    assert repeats("one two three, one two three", length=3)
    assert repeats("a a a a a")
    assert not repeats("a a a a")
    assert not repeats("")


def test_homes_are_judged_by_side_and_wounds_by_label(
    home_evidence: Evidence, wound_evidence: Evidence
) -> None:
    assert np.flatnonzero(home_evidence.wrong).tolist() == [7]
    assert set(home_evidence.judged.truth) == {"normal", "abnormal"}
    assert (home_evidence.voted != home_evidence.truth).nonzero()[0].tolist() == [4, 7]
    assert np.flatnonzero(wound_evidence.wrong).tolist() == [7]
    assert wound_evidence.judged.side_votes is None
    assert wound_evidence.voted[7] == "Cut" != wound_evidence.truth[7]


def test_rows_are_those_of_the_pictures(home_evidence: Evidence) -> None:
    assert list(home_evidence.answered) == list(MEMBERS)
    for rows in home_evidence.answered.values():
        assert [row["index"] for row in rows] == list(range(COUNT))
    groups = home_evidence.judged.groups
    assert {groups[at] for at in WHOLE} == {"0"}
    assert len(set(groups)) == 13


def test_the_numbers_of_a_domain(home_evidence: Evidence) -> None:
    found = numbers(home_evidence)
    assert (found["n"], found["groups"]) == (16, 13)
    assert found["accuracy"] == pytest.approx(15 / 16, abs=1e-4)
    assert found["label_accuracy"] == pytest.approx(14 / 16, abs=1e-4)
    assert found["json_validity"] == pytest.approx(47 / 48, abs=1e-4)
    shares = {name: one["accuracy"] for name, one in found["members"].items()}
    assert shares == pytest.approx({"lite0": 15 / 16, "lite1": 14 / 16, "lite2": 14 / 16}, abs=1e-4)
    for one in found["members"].values():
        assert one["interval"][0] < one["accuracy"] <= one["interval"][1]
    assert found["kept_accuracy"]["cold_start"]["0"] == pytest.approx(15 / 16, abs=1e-4)
    assert set(found["kept_accuracy"]["alarm"]) == {"0", "10", "20", "30", "40"}
    assert "seconds_per_case" not in found
    assert json.loads(json.dumps(found)) == found


def test_recall_and_confusion_are_of_labels(home_evidence: Evidence) -> None:
    found = numbers(home_evidence)
    names = sorted(home_evidence.album.label_ids)
    others = dict.fromkeys(names, 1.0)
    assert found["recall"] == pytest.approx(others | {"person": 2 / 3, "fall": 2 / 3}, abs=1e-4)
    confusion = np.array(found["confusion"])
    assert confusion.sum() == 16
    assert np.trace(confusion) == 14
    assert confusion[names.index("person"), names.index("pet")] == 1
    assert confusion[names.index("fall"), names.index("person")] == 1


def test_all_are_unanimous_where_nobody_says_otherwise(
    home_evidence: Evidence, wound_evidence: Evidence
) -> None:
    assert numbers(wound_evidence)["unanimous"] == 1.0
    entropy = home_evidence.scores["vote_entropy"]
    assert entropy[8] > 0
    assert numbers(home_evidence)["unanimous"] == pytest.approx((entropy == 0).mean(), abs=1e-4)
    assert (np.delete(entropy, [8, 13]) == 0).all()


def test_splits_are_means_over_the_folds(home_evidence: Evidence) -> None:
    folds = home_evidence.album.fold_of
    found = splits(home_evidence)
    for name, slips in (("accuracy", {7}), ("lite0", {7}), ("lite1", {7, 8}), ("lite2", {7, 13})):
        rows = [np.flatnonzero(folds == fold).tolist() for fold in range(2)]
        rates = [1 - len(slips & set(inside)) / len(inside) for inside in rows]
        assert found[name]["mean"] == pytest.approx(mean(rates), abs=1e-4)
        assert found[name]["sd"] == pytest.approx(stdev(rates), abs=1e-4)
    assert set(found) == {"accuracy", "balanced_accuracy", "kept_20", "kept_30", *MEMBERS}


def test_only_sides_have_a_balanced_accuracy(wound_evidence: Evidence) -> None:
    assert set(splits(wound_evidence)) == {"accuracy", "kept_20", "kept_30", *MEMBERS}


def test_second_thoughts_are_counted(home_evidence: Evidence) -> None:
    found = reflections(home_evidence)
    assert (found["changed"], found["of"]) == (3, 48)
    assert (found["to_right"], found["to_wrong"]) == (1, 1)
    assert found["accuracy_before"] == pytest.approx([14 / 16, 13 / 16, 13 / 16], abs=1e-4)
    assert found["accuracy_after"] == pytest.approx([15 / 16, 12 / 16, 13 / 16], abs=1e-4)
    assert found["error_where_changed"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["error_where_kept"] == pytest.approx(6 / 45, abs=1e-4)


def test_nothing_is_said_of_changes_where_none_were_made(wound_evidence: Evidence) -> None:
    found = reflections(wound_evidence)
    assert (found["changed"], found["error_where_changed"]) == (0, None)
    assert found["error_where_kept"] == pytest.approx(1 / 16, abs=1e-4)


def test_words_are_held_to_the_pixels_and_to_the_label(home_evidence: Evidence) -> None:
    found = texts(home_evidence)
    attributes = set(home_evidence.album.words.levels)
    # Of 47 answers lite2 states other levels in 15, and one of lite0 states none.
    grounded = dict.fromkeys((*attributes, "mean"), 31 / 47)
    assert found["grounded"] == pytest.approx(grounded, abs=1e-4)
    assert found["names_its_label"] == pytest.approx(46 / 47, abs=1e-4)
    assert found["repeats"] == pytest.approx(1 / 47, abs=1e-4)


def test_a_source_that_is_in_one_fold_is_judged_as_a_whole(home_evidence: Evidence) -> None:
    expected = {"alpha": {"n": 4, "accuracy": 0.75, "balanced_accuracy": 0.5}}
    assert whole_sources(home_evidence) == expected


def test_a_calibration_gets_a_line_a_case(home_evidence: Evidence) -> None:
    text = calibration_rows(home_evidence.answered, home_evidence.truth)
    assert text.count("\n") == COUNT + 2
    rows = json.loads(text)
    assert [row["index"] for row in rows] == list(range(COUNT))
    assert [row["truth"] for row in rows] == home_evidence.truth.tolist()
    said = rows[7]["members"]["lite0"]
    assert said["label"] == "person"
    assert said["reflected"] == "fall"
    assert said["logprob"] == -0.1935
    assert set(said) == {"description", "reasoning", "label", "reflected", "logprob"}
    assert set(rows[0]["members"]) == set(MEMBERS)


def test_two_members_are_judged_without_a_calibration(
    home_course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "embed", embed)
    few = Course(replace(home_course.settings, members=MEMBERS[:2]))
    copytree(home_course.settings.run, few.settings.run, dirs_exist_ok=True)
    found = gather(few, few.albums[0])
    assert not {"s3", "alarm"} & set(found.scores)
    described = numbers(found)
    assert set(described["members"]) == set(MEMBERS[:2])
    assert described["reflection"]["auroc"] is None
    assert set(described["kept_accuracy"]) == set(found.scores) >= {"cold_start", "vote_entropy"}
    assert charts.draw(found)["deferral"].count("<polyline") == 2


def test_evidence_is_written_for_every_domain(
    home_course: Course, home_evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "gather", lambda *_: home_evidence)
    monkeypatch.setattr(evidence, "seconds_per_case", lambda _: 1.5)
    measured = write_evidence(home_course, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    drawn = {f"home-{name}.svg" for name in ("deferral", "reliability", "confusion")}
    assert names == {"home-answers.json", "measured.json", *drawn}
    assert json.loads((tmp_path / "out" / "measured.json").read_text()) == measured
    unfamiliar = measured["home"].pop("unfamiliar")
    assert measured["home"] == numbers(home_evidence)
    assert unfamiliar and all(0 <= share <= 1 for share in unfamiliar.values())
    assert measured["seconds_per_case"] == 1.5
    assert measured["settings"] == {"folds": 2, "seed": 0}


def test_a_view_never_seen_is_unfamiliar_and_a_shared_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    sources = ["shared"] * 40 + ["alike"] * 6 + ["ceiling"] * 6
    axes = np.eye(8)[[0] * 46 + [1] * 6]
    seen = (axes + 0.1 * rng.normal(size=axes.shape)).astype(np.float32)
    monkeypatch.setattr(evidence, "eye_features", lambda _gallery: seen)
    album = SimpleNamespace(
        pictures=[SimpleNamespace(source=one) for one in sources],
        groups=np.array([*range(40), *[40] * 6, *[41] * 6]),
        small_sources=frozenset({"alike", "ceiling"}),
        words=SimpleNamespace(familiar=0.8),
        gallery=None,
    )
    found = evidence.unfamiliar(cast(Album, album))
    assert found["ceiling"] == 1.0
    assert found["alike"] <= 0.5
    assert "shared" not in found, "nothing is left to be familiar"
    album.pictures = [SimpleNamespace(source="") for _ in sources]
    assert evidence.unfamiliar(cast(Album, album)) == {}
