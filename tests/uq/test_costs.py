"""What errors cost, pair by pair, and what that does to a threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.costs import Costs
from inference.uq.thresholds import by_cost, expected_cost

LABELS = ("Burns", "Cut", "Bruises")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, what was said, and the truth."""
    n = draw(st.integers(1, 40))
    scores = np.array(draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)), float) / 10
    pick = st.lists(st.sampled_from(LABELS), min_size=n, max_size=n)
    return scores, np.array(draw(pick), object), np.array(draw(pick), object)


# Binary fractions: sums are exact, so that a tie is a tie.
tables = st.lists(st.integers(0, 200), min_size=9, max_size=9).map(
    lambda values: Costs(LABELS, np.array(values).reshape(3, 3) / 4 * (1 - np.eye(3)))
)
shares = st.integers(1, 57).map(lambda value: value / 64)
errors = st.integers(0, 20).map(lambda value: value / 64)


def threshold(
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
    costs: Costs,
    review: float,
    expert_error: float = 0.0,
) -> float:
    scores, said, truth = world
    return by_cost(
        scores,
        (said != truth).astype(float),
        error_cost=costs.of_errors(said, truth),
        review_cost=review,
        expert_error=expert_error,
        expert_cost=costs.of_reviewers(truth),
    ).threshold


@given(worlds(), shares, errors)
def test_uniform_costs_are_the_plain_mode(
    world: tuple[np.ndarray, np.ndarray, np.ndarray], review: float, expert_error: float
) -> None:
    scores, said, truth = world
    wrong = (said != truth).astype(float)
    plain = by_cost(scores, wrong, review_cost=review, expert_error=expert_error)
    assert threshold(world, Costs.uniform(LABELS), review, expert_error) == plain.threshold


@given(worlds(), tables, shares, st.sampled_from(LABELS), st.sampled_from(LABELS), shares)
def test_a_dearer_error_never_raises_the_threshold(
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
    costs: Costs,
    review: float,
    truth: str,
    said: str,
    more: float,
) -> None:
    dearer = costs.table.copy()
    dearer[LABELS.index(truth), LABELS.index(said)] += more if truth != said else 0.0
    assert threshold(world, Costs(LABELS, dearer), review) <= threshold(world, costs, review)


@given(worlds(), tables, shares, shares, errors, errors)
def test_dearer_reviews_and_worse_reviewers_never_lower_it(
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
    costs: Costs,
    review: float,
    more: float,
    error: float,
    worse: float,
) -> None:
    here = threshold(world, costs, review, error)
    assert threshold(world, costs, review + more, error) >= here
    assert threshold(world, costs, review, error + worse) >= here


@given(worlds(), tables, shares, errors)
def test_no_threshold_is_cheaper(
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
    costs: Costs,
    review: float,
    expert_error: float,
) -> None:
    scores, said, truth = world

    def cost(at: float) -> float:
        return expected_cost(
            (said != truth).astype(float),
            scores <= at,
            error_cost=costs.of_errors(said, truth),
            review_cost=review,
            expert_error=expert_error,
            expert_cost=costs.of_reviewers(truth),
        )

    chosen = cost(threshold(world, costs, review, expert_error))
    assert chosen <= min(cost(at) for at in (-np.inf, *scores)) + 1e-9


def test_a_missed_burn_outweighs_two_cuts_taken_for_burns() -> None:
    costs = Costs.by_severity({"Burns": 3, "Cut": 2, "Bruises": 1})
    assert costs.table.tolist() == [[0, 3, 3], [1, 0, 2], [1, 1, 0]]
    assert costs.dearest() == ("Burns", "Cut", 3.0)
    said = np.array(["Cut", "Burns", "Burns"], object)
    truth = np.array(["Burns", "Cut", "Bruises"], object)
    assert costs.of_errors(said, truth).tolist() == [3, 1, 1]
    assert costs.of_reviewers(truth).tolist() == [3, 1.5, 1]


def test_an_unknown_truth_costs_the_mean_of_what_it_may_be() -> None:
    costs = Costs.by_severity({"Burns": 3, "Cut": 2, "Bruises": 1})
    said, unknown = np.array(["Bruises", "gone"], object), np.array(["", ""], object)
    assert costs.of_errors(said, unknown).tolist() == [2.5, pytest.approx(11 / 6)]
    assert costs.of_reviewers(unknown)[0] == pytest.approx(11 / 6)


@pytest.mark.parametrize(
    "table",
    [
        [[0, 1], [1, 1]],
        [[0, -1], [1, 0]],
        [[0, np.nan], [1, 0]],
        [[0, 1, 1], [1, 0, 1]],
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="square table"):
        Costs(("Burns", "Cut"), np.array(table, dtype=float))


def test_it_is_the_same_after_storing() -> None:
    costs = Costs.by_severity({"Burns": 3, "Cut": 2})
    again = Costs.from_dict(costs.to_dict())
    assert again.labels == costs.labels and np.array_equal(again.table, costs.table)
    assert Costs.uniform(LABELS).is_uniform and not costs.is_uniform
