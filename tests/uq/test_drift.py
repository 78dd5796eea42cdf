import numpy as np

from inference.uq.drift import label_drift, score_drift


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
