import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.aggregator import LearnedAggregator
from inference.uq.answers import vote
from inference.uq.promotion import DELTA, FEWEST, Comparison, compare
from tests.uq.simulated import telling


def of(gained: int, lost: int, same: int) -> Comparison:
    vote_wrong = np.array([1.0] * gained + [0.0] * lost + [1.0, 0.0] * (same // 2))
    learned_wrong = np.array([0.0] * gained + [1.0] * lost + [1.0, 0.0] * (same // 2))
    return compare(vote_wrong, learned_wrong)


def test_counts_and_gain() -> None:
    found = of(20, 5, 100)
    assert found.cases == 125
    assert (found.wins, found.losses) == (20, 5)
    assert (found.gained, found.lost) == pytest.approx((20, 5))
    assert found.gain == pytest.approx(15 / 125)
    assert found.better
    assert not found.worse


@pytest.mark.parametrize(
    ("gained", "lost", "better", "worse"),
    [(10, 9, False, False), (3, 0, False, False), (4, 0, True, False), (0, 4, False, True)],
)
def test_only_what_is_shown_counts(gained: int, lost: int, better: bool, worse: bool) -> None:
    found = of(gained, lost, 100)
    assert (found.better, found.worse) == (better, worse)
    assert found.ahead == (gained > lost)


def test_a_few_cases_show_nothing() -> None:
    assert not of(20, 0, FEWEST - 22).better
    assert of(20, 0, FEWEST - 20).better


def test_equals_are_rarely_promoted() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random((2, 500, 200)) < 0.2
    promoted = [compare(*pair).better for pair in wrong.transpose(1, 0, 2)]
    assert np.mean(promoted) <= DELTA


def test_a_rare_audit_hides_no_losses() -> None:
    """Ten deferred cases and one audit drawn at 2 %: by weight hardly more than one case."""
    weights = np.array([1.0] * 10 + [50.0])
    found = compare(np.zeros(11), np.ones(11), weights)
    assert found.lost < 2
    assert (found.wins, found.losses, found.ahead) == (0, 11, False)


def test_what_was_stored_before_cases_were_counted_is_read() -> None:
    old = of(20, 5, 100).to_dict()
    assert Comparison.from_dict({k: v for k, v in old.items() if k not in ("wins", "losses")}) == (
        of(20, 5, 100)
    )


@given(st.floats(1, 20))
def test_equal_weights_change_nothing(weight: float) -> None:
    vote_wrong, learned_wrong = np.array([1.0, 1, 0, 0]), np.array([0.0, 1, 0, 1])
    weighted = compare(vote_wrong, learned_wrong, np.full(4, weight))
    plain = compare(vote_wrong, learned_wrong)
    np.testing.assert_allclose(
        list(weighted.to_dict().values()),  # type: ignore[arg-type]
        list(plain.to_dict().values()),  # type: ignore[arg-type]
    )


def test_an_audited_case_stands_for_those_that_were_not_drawn() -> None:
    """Deferred cases favour the aggregator; the audited one of twenty accepted speaks against."""
    vote_wrong = np.array([1.0] * 10 + [0.0] * 10)
    learned_wrong = np.array([0.0] * 10 + [1.0] * 10)
    assert compare(vote_wrong, learned_wrong).gain == 0
    weights = np.array([1.0] * 10 + [20.0] * 10)
    found = compare(vote_wrong, learned_wrong, weights)
    assert found.gain == pytest.approx(-190 / 210)
    assert not found.ahead


def test_rows_without_an_opinion_are_left_out() -> None:
    assert compare(np.array([1.0, np.nan, 0.0]), np.array([0.0, 1.0, np.nan])).cases == 1
    nothing = compare(np.array([np.nan]), np.array([1.0]))
    assert (nothing.cases, nothing.better, nothing.worse, nothing.ahead) == (0, False, False, False)


def test_it_survives_json() -> None:
    found = of(20, 5, 100)
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_an_aggregator_is_promoted_where_it_learned_and_withdrawn_elsewhere() -> None:
    answers, truth = telling(200)
    model = LearnedAggregator().fit(answers, truth)
    at_home = compare(vote(answers)[0] != truth, model.held_out_.labels != truth)
    assert at_home.better
    moved, new_truth = telling(200, seed=4, shifted=True)
    elsewhere = compare(vote(moved)[0] != new_truth, model.predict(moved).labels != new_truth)
    assert elsewhere.worse
