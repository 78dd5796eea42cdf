import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from inference.evaluation.measures import (
    abnormality,
    balanced_accuracy,
    clustered_interval,
    deferred_shares,
    macro_f1,
)
from inference.uq import metrics
from inference.uq.types import Floats, Ints, Objects
from tests.evaluation.drawn import LABELS


def guesses(n: int = 60) -> tuple[Objects, Objects]:
    rng = np.random.default_rng(0)
    truth = rng.choice(LABELS, n, p=[0.6, 0.3, 0.1]).astype(object)
    return truth, np.where(rng.random(n) < 0.6, truth, rng.choice([*LABELS, ""], n))


def test_macro_f1_is_that_of_scikit_learn() -> None:
    truth, predicted = guesses()
    expected = f1_score(truth, predicted, labels=list(LABELS), average="macro")
    assert macro_f1(truth, predicted) == pytest.approx(expected)


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    truth, predicted = guesses()
    predicted[predicted == ""] = "Cut"
    expected = balanced_accuracy_score(truth, predicted)
    assert balanced_accuracy(truth, predicted) == pytest.approx(expected)


def test_balanced_accuracy_of_one_kind_is_unknown() -> None:
    same = np.array(["normal", "normal"], dtype=object)
    assert math.isnan(balanced_accuracy(same, same))


def test_abnormality_worked_out_by_hand() -> None:
    sides = np.array([[1, 1, -1], [1, -1, 0], [0, 0, 0], [-1, -1, -1], [1, 1, 1]], np.float64)
    half = math.log(0.5)
    logprobs = np.array(
        [[0, half, half], [half, 0, 0], [np.nan] * 3, [0, 0, 0], [np.nan, 0, half]], np.float64
    )
    expected = [(1 + 0.75 + 0.25) / 3, (0.75 + 0 + 0.5) / 3, 0.5, 0, (1 + 1 + 0.75) / 3]
    assert abnormality(sides, logprobs) == pytest.approx(expected)


@pytest.mark.parametrize("deferral", [0, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("values", [30, 3, 1], ids=["hardly tied", "tied", "all equal"])
def test_deferred_shares_keep_the_accuracy_of_the_metrics(values: int, deferral: float) -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(values, size=40).astype(np.float64)
    scores[:3] = np.nan
    wrong = rng.random(40) < 0.4
    shares = deferred_shares(scores, deferral)
    assert shares.sum() == pytest.approx(round(40 * deferral))
    kept = np.average(~wrong, weights=1 - shares)
    assert kept == pytest.approx(metrics.kept_accuracy(scores, wrong, deferral))


def test_what_is_deferred_is_the_least_certain() -> None:
    scores = np.array([0.1, np.nan, 0.5, 0.5, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert deferred_shares(scores, 0.3).tolist() == [0, 1, 0.5, 0.5, 1, 0, 0, 0, 0, 0]


def mean_of(values: Floats, seen: list[Ints] | None = None):  # type: ignore[no-untyped-def]
    def statistic(rows: Ints) -> float:
        if seen is not None:
            seen.append(rows)
        return float(values[rows].mean())

    return statistic


def test_groups_are_drawn_whole_and_the_rest_alone() -> None:
    seen: list[Ints] = []
    groups = ["a", "", "b", "a", ""]
    assert clustered_interval(mean_of(np.arange(5.0), seen), groups) is not None
    for rows in seen:
        counts = np.bincount(rows, minlength=5)
        assert counts[0] == counts[3]
        assert counts[[0, 1, 2, 4]].sum() == 4 or len(rows) == 5
    assert any(
        np.bincount(rows, minlength=5)[1] != np.bincount(rows, minlength=5)[4] for rows in seen
    )


def test_an_interval_of_groups_is_wider_than_one_of_cases() -> None:
    values = np.repeat(np.random.default_rng(2).random(20) < 0.7, 10).astype(np.float64)
    grouped = clustered_interval(mean_of(values), [f"g{row // 10}" for row in range(200)])
    alone = clustered_interval(mean_of(values), [""] * 200)
    assert grouped is not None
    assert alone is not None
    assert grouped[0] < alone[0] < values.mean() < alone[1] < grouped[1]
    assert alone[1] - alone[0] == pytest.approx(3.92 * values.std() / math.sqrt(200), rel=0.1)
    assert grouped == clustered_interval(mean_of(values), [f"g{row // 10}" for row in range(200)])


def test_without_groups_or_a_number_there_is_no_interval() -> None:
    assert clustered_interval(mean_of(np.ones(4)), ["a"] * 4) is None
    assert clustered_interval(lambda _: math.nan, ["", ""]) is None
