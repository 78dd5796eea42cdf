import numpy as np
import pytest
from sklearn.metrics import f1_score

from inference.evaluation.asking import AskedCase
from inference.evaluation.judging import Judged, judge, macro_f1, summarise
from inference.uq.answers import MemberAnswer
from inference.uq.ensemble import Calibration
from tests.evaluation.drawn import LABELS, embed
from tests.uq.simulated import ensemble

NAMES = ("a", "b", "c")
EVERYONE = frozenset(NAMES)
KEYS = {
    "n", "accuracy", "macro_f1", "json_validity", "members", "kept_accuracy", "aurc", "auroc",
    "ece", "seconds_per_case",
}  # fmt: skip


def case(
    truth: str, *labels: str, whole: frozenset[str] = EVERYONE, readable: bool = True
) -> AskedCase:
    answers = {
        name: MemberAnswer(f"seen {label}", f"so {label}", label, label, -0.1)
        for name, label in zip(NAMES, labels, strict=False)
    }
    return AskedCase(truth, answers, whole, readable)


def judged(*cases: AskedCase) -> Judged:
    return judge(cases, NAMES, None, embed)


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
    assert summary["macro_f1"] == pytest.approx((1 + 0.8 + 0) / 3, abs=1e-6)
    assert summary["members"] == {"a": 0.75, "b": 0.5, "c": 1.0}
    assert summary["json_validity"] == 1
    assert summary["seconds_per_case"] == 1.25
    kept = summary["kept_accuracy"]
    assert isinstance(kept, dict)
    assert kept["vote_entropy"] == {"0": 0.75, "10": 0.75, "20": 0.833333, "30": 0.833333, "40": 1}
    assert summary["auroc"]["vote_entropy"] == pytest.approx(2.5 / 3, abs=1e-6)  # type: ignore[index]


def test_a_photo_nobody_could_see_is_wrong_and_the_least_certain() -> None:
    result = judged(
        case("Burns", "Burns", "Burns", "Cut"),
        case("Cut", whole=frozenset(), readable=False),
        case("Bruises", "Bruises", "Cut", "Bruises"),
    )
    assert result.wrong.tolist() == [False, True, False]
    summary = summarise(result, 0)
    assert summary["json_validity"] == 1
    for method, auroc in summary["auroc"].items():  # type: ignore[attr-defined]
        assert auroc == 1, method
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


def test_macro_f1_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(LABELS, 60).astype(object)
    predicted = np.where(rng.random(60) < 0.6, truth, rng.choice([*LABELS, ""], 60))
    expected = f1_score(truth, predicted, labels=list(LABELS), average="macro")
    assert macro_f1(truth, predicted) == pytest.approx(expected)


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
