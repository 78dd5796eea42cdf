import numpy as np
import pytest

from inference.uq.drift import (
    MOST_CASES,
    DriftSignal,
    deferral_drift,
    embedding_drift,
    label_drift,
    score_drift,
    together,
)


def test_the_same_world_is_rarely_called_drift() -> None:
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(200):
        false += score_drift(rng.normal(size=300), rng.normal(size=100)).drifted
        labels = rng.choice(["burn", "cut", "bruise"], size=400).tolist()
        false += label_drift(labels[:300], labels[300:]).drifted
    assert false / 400 <= 0.02


def test_higher_scores_are_seen_and_said() -> None:
    rng = np.random.default_rng(0)
    signal = score_drift(rng.normal(size=300), rng.normal(0.8, size=100))
    assert signal.drifted
    assert signal.p_value < 1e-6
    assert signal.sentence.startswith("The scores are higher than in calibration (p = ")


def test_another_spread_is_seen_too() -> None:
    rng = np.random.default_rng(0)
    signal = score_drift(rng.normal(1, size=500), rng.normal(0.5, 4, size=300))
    assert signal.drifted
    assert "differently spread" in signal.sentence


def test_another_mix_of_labels_names_the_label() -> None:
    window = ["burn"] * 50 + ["cut"] * 50
    signal = label_drift(window, ["burn"] * 10 + ["cut"] * 10 + ["stab"] * 20)
    assert signal.drifted
    assert '"stab" went from 0% of the cases in calibration to 50%' in signal.sentence


def test_missing_labels_are_a_change_of_their_own() -> None:
    signal = label_drift(["burn"] * 40, ["burn"] * 20 + [""] * 20)
    assert signal.drifted
    assert "Missing labels went from 0%" in signal.sentence


def test_one_label_only_is_no_drift() -> None:
    signal = label_drift(["burn"] * 30, ["burn"] * 30)
    assert not signal.drifted
    assert signal.p_value == 1


def test_too_few_cases_are_not_judged() -> None:
    few = score_drift(np.arange(100.0), np.append(np.arange(19.0), np.nan))
    assert not few.drifted
    assert np.isnan(few.p_value)
    assert "19 of 20 cases in the recent past" in few.sentence
    assert "5 of 20 cases in calibration" in label_drift(["a"] * 5, ["a"] * 50).sentence


def test_the_same_texts_are_rarely_called_drift() -> None:
    rng = np.random.default_rng(0)
    meanings = rng.normal(size=(5, 16))
    false = 0
    for seed in range(60):
        rows = meanings[rng.integers(5, size=140)] + rng.normal(size=(140, 16))
        false += embedding_drift(rows[:100], rows[100:], seed=seed).drifted
    assert false / 60 <= 0.05


def test_other_texts_are_seen_and_said() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(100, 16)), rng.normal(size=(40, 16)) + 0.5
    signal = embedding_drift(before, after)
    assert signal.drifted
    assert signal.p_value == 1 / 1000
    assert signal.statistic > 3
    assert "texts are unlike those of calibration" in signal.sentence


def test_texts_are_compared_by_direction_not_by_length() -> None:
    rows = np.random.default_rng(0).normal(size=(120, 16))
    assert not embedding_drift(rows[:60], 100 * rows[60:]).drifted


def test_a_large_window_is_sampled_the_same_way_each_time() -> None:
    rows = np.random.default_rng(0).normal(size=(MOST_CASES + 300, 4)) + 1
    first = embedding_drift(rows, rows[:50])
    assert first == embedding_drift(rows, rows[:50])
    assert first != embedding_drift(rows, rows[:50], seed=1)


def test_texts_with_gaps_do_not_count() -> None:
    rows = np.ones((30, 4))
    rows[:21] = np.nan
    few = embedding_drift(np.ones((30, 4)), rows)
    assert (few.drifted, few.name) == (False, "texts")
    assert "9 of 10 cases in the recent past" in few.sentence


def test_more_deferrals_are_seen_and_said() -> None:
    signal = deferral_drift([True] * 20 + [False] * 80, [True] * 30 + [False] * 20)
    assert signal.drifted
    assert signal.sentence.startswith("60% of the cases are deferred, 20% in calibration")
    assert not deferral_drift([True] * 20 + [False] * 80, [True] * 12 + [False] * 38).drifted
    assert "19 of 20" in deferral_drift([True] * 30, [True] * 19).sentence


def four(*p_values: float) -> list[DriftSignal]:
    return [DriftSignal("scores", 0.0, one, one < 0.01, "scores_higher") for one in p_values]


def test_four_tests_share_one_chance_of_a_false_alarm() -> None:
    found = together(four(0.04, 0.001, float("nan"), 0.006))
    assert [one.p_value for one in found] == pytest.approx(
        [0.04, 0.003, float("nan"), 0.012], nan_ok=True
    )
    assert [one.drifted for one in found] == [False, True, False, False]
    assert "look as they did" in found[3].sentence, "alone it would have been called drift"


def test_the_same_world_is_as_rarely_called_drift_by_four_tests_as_by_one() -> None:
    rng = np.random.default_rng(1)
    draws = [four(*rng.random(4)) for _ in range(5000)]
    alone = np.mean([any(one.drifted for one in signals) for signals in draws])
    corrected = np.mean([any(one.drifted for one in together(signals)) for signals in draws])
    assert corrected < 0.014 < 0.03 < alone
