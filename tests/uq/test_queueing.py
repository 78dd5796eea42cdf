"""Deferred cases meet the people who are to review them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.queueing import Desk, simulate

ROUND_THE_CLOCK = Desk(people=1, hours=24, opens=0)


def test_one_person_who_is_free_begins_at_once() -> None:
    load = simulate(np.array([3.1, 3.5, 3.9]), np.array([6.0]), ROUND_THE_CLOCK)
    assert load.wait == pytest.approx(0, abs=1e-6)
    assert load.use == pytest.approx(3 * 0.1 / 24)
    assert load.keeps_up and load.backlog == 0


def test_what_comes_at_night_waits_for_the_morning() -> None:
    load = simulate(np.array([3 + 20 / 24]), np.array([1.0]), Desk(people=1, hours=8, opens=8))
    assert load.wait == pytest.approx(12)


def test_what_comes_before_opening_waits_until_then() -> None:
    load = simulate(np.array([3 + 6 / 24]), np.array([1.0]), Desk(people=1, hours=8, opens=8))
    assert load.wait == pytest.approx(2)


def test_too_much_for_one_is_left_over_and_enough_for_two() -> None:
    arrivals = np.repeat(np.arange(10.0), 12) + 9 / 24
    alone = simulate(arrivals, np.array([60.0]), Desk(people=1, hours=8))
    assert alone.use == pytest.approx(1.5) and not alone.keeps_up
    # Each day seven are done from nine o'clock on, or eight from what is left over.
    assert alone.backlog > 15
    two = simulate(arrivals, np.array([60.0]), Desk(people=2, hours=8))
    assert two.keeps_up and two.backlog == 0 and two.wait is not None
    assert two.wait <= 5


def test_waiting_grows_as_it_should_for_random_arrivals() -> None:
    """M/D/1: the mean wait is use / (2 (1 - use)) services, by Pollaczek and Khinchine."""
    rng = np.random.default_rng(3)
    arrivals = np.cumsum(rng.exponential(1 / 1440, 5000))
    load = simulate(arrivals, np.array([0.7]), ROUND_THE_CLOCK)
    # The 90th percentile of M/D/1 at a use of .7 is 3.05 services.
    assert load.wait == pytest.approx(3.05 * 0.7 / 60, rel=0.2)


@given(
    st.lists(st.floats(0, 30), min_size=1, max_size=60),
    st.integers(1, 4),
    st.floats(0.5, 24),
    st.floats(0.1, 200),
)
def test_more_people_never_make_anybody_wait_longer(
    arrivals: list[float], people: int, hours: float, minutes: float
) -> None:
    came, takes = np.array(arrivals), np.array([minutes])
    few = simulate(came, takes, Desk(people, hours, opens=0))
    many = simulate(came, takes, Desk(people + 1, hours, opens=0))
    assert few.wait is not None and many.wait is not None
    assert 0 <= many.wait <= few.wait + 1e-6
    assert many.backlog <= few.backlog + 1e-6
    assert many.use < few.use


def test_no_case_is_no_work() -> None:
    load = simulate(np.empty(0), np.array([1.0]), ROUND_THE_CLOCK)
    assert (load.use, load.wait, load.backlog) == (0.0, None, 0.0)


@pytest.mark.parametrize(("people", "hours", "opens"), [(0, 8, 8), (1, 0, 0), (1, 20, 8)])
def test_a_day_that_cannot_be_is_refused(people: int, hours: float, opens: float) -> None:
    with pytest.raises(ValueError, match="nobody can work"):
        Desk(people, hours, opens)
