import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inference.evaluation.asking import AskedCase
from inference.evaluation.judging import Judged, judge
from inference.evaluation.summary import summarise
from inference.uq.answers import MemberAnswer
from inference.uq.ensemble import Calibration
from tests.evaluation.drawn import embed
from tests.uq.simulated import ensemble

NAMES = ("a", "b", "c")
EVERYONE = frozenset(NAMES)
KEYS = {
    "n", "accuracy", "accuracy_interval", "balanced_accuracy", "balanced_accuracy_interval",
    "macro_f1", "json_validity", "members", "kept_accuracy", "aurc", "auroc", "ece",
    "seconds_per_case",
}  # fmt: skip
SIDE_KEYS = KEYS | {"auroc_abnormal", "side_accuracy"}
SIDES = {"fall": "abnormal", "fire": "abnormal", "pet": "normal", "person": "normal"}


def case(
    truth: str, *labels: str, whole: frozenset[str] = EVERYONE, readable: bool = True
) -> AskedCase:
    answers = {
        name: MemberAnswer(f"seen {label}", f"so {label}", label, label, -0.1)
        for name, label in zip(NAMES, labels, strict=False)
    }
    return AskedCase(truth, answers, whole, readable)


def judged(*cases: AskedCase, **options: Any) -> Judged:
    return judge(cases, NAMES, None, embed, **options)


def test_the_numbers_of_a_case_worked_out_by_hand() -> None:
    summary = summarise(
        judged(
            case("Burns", "Burns", "Burns", "Burns"),
            case("Cut", "Cut", "Cut", "Cut"),
            case("Cut", "Cut", "Burns", "Cut"),
            case("Bruises", "Cut", "Cut", "Bruises"),
        ),
        1.25,
    )
    assert set(summary) == KEYS
    assert summary["n"] == 4
    assert summary["accuracy"] == 0.75
    assert summary["balanced_accuracy"] == 0.666667
    assert summary["macro_f1"] == pytest.approx((1 + 0.8 + 0) / 3, abs=1e-6)
    assert summary["members"] == {"a": 0.75, "b": 0.5, "c": 1.0}
    assert summary["json_validity"] == 1
    assert summary["seconds_per_case"] == 1.25
    kept = summary["kept_accuracy"]
    assert isinstance(kept, dict)
    assert kept["vote_entropy"] == {"0": 0.75, "10": 0.75, "20": 0.833333, "30": 0.833333, "40": 1}
    assert summary["auroc"]["vote_entropy"] == pytest.approx(2.5 / 3, abs=1e-6)  # type: ignore[index]


def test_a_file_nobody_could_see_is_wrong_and_the_least_certain() -> None:
    result = judged(
        case("Burns", "Burns", "Burns", "Cut"),
        case("Cut", whole=frozenset(), readable=False),
        case("Bruises", "Bruises", "Cut", "Bruises"),
    )
    assert result.wrong.tolist() == [False, True, False]
    summary = summarise(result, 0)
    assert summary["json_validity"] == 1
    for method, auroc in summary["auroc"].items():  # type: ignore[attr-defined]
        assert auroc == (0.5 if method == "sampling" else 1), method  # nobody was asked again
    assert result.probability[1] == 1


def test_an_answer_that_did_not_parse_keeps_the_vote_but_not_the_trust() -> None:
    result = judged(
        case("Cut", "Cut", "Burns", "Burns"),
        case("Burns", "Burns", "Burns", whole=frozenset("ab")),
    )
    assert result.predicted.tolist() == ["Burns", "Burns"]
    assert result.json_validity == pytest.approx(5 / 6)
    assert np.isnan(result.scores["cold_start"]).tolist() == [False, True]
    assert result.probability.tolist() == [pytest.approx(1 / 3), 1]


def test_with_all_right_the_ranking_is_unknown_not_nan() -> None:
    summary = summarise(judged(case("Cut", "Cut", "Cut", "Cut")), 0)
    assert set(summary["auroc"].values()) == {None}  # type: ignore[attr-defined]
    assert summary["accuracy"] == 1
    assert summary["accuracy_interval"] is None
    assert summary["balanced_accuracy"] is summary["balanced_accuracy_interval"] is None


def test_a_calibration_adds_its_scores_and_its_probability() -> None:
    answers, correct = ensemble(100, members=3)
    renamed = type(answers)(
        NAMES,
        answers.descriptions,
        answers.reasonings,
        answers.labels,
        answers.reflected,
        answers.logprobs,
    )
    calibration = Calibration().fit(renamed, correct)
    cases = [case("Cut", "Cut", "Cut", "Burns"), case("Cut", "Burns", "Cut", "Bruises")]
    result = judge(cases, NAMES, calibration, embed)
    assert result.calibrated
    assert {"s1", "s2", "s3", "alarm"} <= set(result.scores)
    expected = calibration.error_probability("cold_start", result.scores["cold_start"])
    np.testing.assert_array_equal(result.probability, expected)
    assert not judged(*cases).calibrated


def sided() -> Judged:
    """Three normal and three abnormal cases of two sources and one of none."""
    sure, unsure = -0.1, -0.7
    return judged(
        room("abnormal", "x", ("fall", sure), ("fire", sure), ("fire", sure)),
        room("abnormal", "x", ("fall", unsure), ("pet", sure), ("pet", sure)),
        room("normal", "x", ("pet", sure), ("person", sure), ("pet", sure)),
        room("normal", "y", ("fall", sure), ("fire", unsure), ("person", unsure)),
        room("normal", "y", ("person", sure), ("person", sure), ("person", sure)),
        room("abnormal", "", ("pet", sure), ("fall", unsure), ("fire", unsure)),
        sides=SIDES,
    )


def room(truth: str, source: str, *said: tuple[str, float], novelty: float = math.nan) -> AskedCase:
    answers = {
        name: MemberAnswer(f"seen {label}", f"so {label}", label, label, logprob)
        for name, (label, logprob) in zip(NAMES, said, strict=True)
    }
    return AskedCase(truth, answers, EVERYONE, True, source=source, novelty=novelty)


def test_sides_follow_from_the_label_voted_for() -> None:
    result = sided()
    assert result.side_votes is not None
    assert result.side_votes.labels.tolist() == ["fire", "pet", "pet", "fall", "person", "pet"]
    assert result.predicted.tolist() == [
        "abnormal", "normal", "normal", "abnormal", "normal", "normal",
    ]  # fmt: skip
    # The last case: fall and fire stand alone, and together outvote the pet.
    assert result.side_votes.sides.tolist()[-1] == "abnormal"
    assert result.wrong.tolist() == [False, True, False, True, False, True]
    assert result.by_member[1].tolist() == ["abnormal", "normal", "normal"]


def test_the_numbers_of_sides_worked_out_by_hand() -> None:
    summary: Any = summarise(sided(), 0)
    assert set(summary) == SIDE_KEYS | {"sources"}
    assert summary["accuracy"] == 0.5
    assert summary["balanced_accuracy"] == 0.5
    assert summary["side_accuracy"] == 0.666667
    assert summary["members"] == {"a": 0.666667, "b": 0.666667, "c": 0.833333}
    # P(abnormal): case 0 is above all, case 1 above 2 and 4, case 5 above all normal ones but 3.
    assert summary["auroc_abnormal"] == pytest.approx(7 / 9, abs=1e-6)
    for key in ("accuracy", "balanced_accuracy"):
        low, high = summary[f"{key}_interval"]
        assert 0 <= low < summary[key] < high <= 1


def test_each_source_has_its_own_numbers() -> None:
    summary: Any = summarise(sided(), 0)
    found = summary["sources"]
    assert list(found) == ["other", "x", "y"]
    assert {name: one["n"] for name, one in found.items()} == {"other": 1, "x": 3, "y": 2}
    assert {name: one["n_abnormal"] for name, one in found.items()} == {"other": 1, "x": 2, "y": 0}
    assert found["x"]["accuracy"] == 0.666667
    assert found["x"]["balanced_accuracy"] == 0.75
    assert found["y"]["accuracy"] == 0.5
    assert found["y"]["balanced_accuracy"] is None
    # One of six is deferred: one of the two cases in which all three members differ.
    assert [found[name]["deferred"] for name in ("other", "x", "y")] == pytest.approx(
        [*deferred_by_source(sided())], abs=1e-6
    )
    assert sum(one["deferred"] * one["n"] for one in found.values()) == pytest.approx(1, abs=1e-5)


def deferred_by_source(result: Judged) -> tuple[float, float, float]:
    scores = result.scores["cold_start"]
    most = {index for index in range(6) if scores[index] == scores.max()}
    share = 1 / len(most)
    return (5 in most) * share, len(most & {0, 1, 2}) * share / 3, len(most & {3, 4}) * share / 2


def test_a_group_is_drawn_as_one() -> None:
    cases = [case("Cut" if n % 2 else "Burns", *["Cut"] * 3) for n in range(12)]
    alone: Any = summarise(judged(*cases), 0)
    pairs = [replace(one, group=f"g{n // 2}") for n, one in enumerate(cases)]
    assert summarise(judged(*pairs), 0)["accuracy_interval"] == [0.5, 0.5]
    low, high = alone["accuracy_interval"]
    assert low < 0.5 < high


def test_labels_have_no_numbers_of_sides() -> None:
    first = replace(case("Cut", "Cut", "Cut", "Cut"), source="s")
    summary: Any = summarise(judged(first), 0)
    assert set(summary) == KEYS | {"sources"}
    assert "n_abnormal" not in summary["sources"]["s"]


def test_a_room_nobody_could_see_is_on_neither_side() -> None:
    unseen = AskedCase("normal", {}, frozenset(), readable=False)
    result = judged(unseen, room("abnormal", "", *[("fall", -0.1)] * 3), sides=SIDES)
    assert result.predicted.tolist() == ["", "abnormal"]
    assert result.side_votes is not None
    assert result.side_votes.abnormality[0] == 0.5
    assert summarise(result, 0)["accuracy"] == 0.5


def novel_rooms(novel_above: float | None) -> Judged:
    pets = [("pet", -0.1)] * 3
    return judged(
        room("abnormal", "x", *pets, novelty=0.99),
        room("normal", "x", *pets, novelty=0.95),
        room("normal", "y", *pets, novelty=0.2),
        room("normal", "y", *pets, novelty=math.nan),
        sides=SIDES,
        novel_above=novel_above,
    )


def test_novelty_is_one_more_score_and_counted_by_source() -> None:
    summary: Any = summarise(novel_rooms(0.95), 0)
    assert summary["kept_accuracy"]["novelty"]["30"] == 0.666667
    assert summary["kept_accuracy"]["novelty"]["40"] == 1
    assert summary["auroc"]["novelty"] == pytest.approx(2 / 3, abs=1e-6)
    assert summary["novel"] == 0.25
    assert {name: one["novel"] for name, one in summary["sources"].items()} == {"x": 0.5, "y": 0}


def test_without_a_reference_there_is_no_novelty() -> None:
    summary: Any = summarise(novel_rooms(None), 0)
    assert "novelty" not in summary["kept_accuracy"]
    assert "novel" not in summary
    assert "novel" not in summary["sources"]["x"]
