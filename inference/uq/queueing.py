"""How long deferred cases wait: past arrivals meet the people who are to review them."""

import heapq
from dataclasses import dataclass

import numpy as np

from inference.uq.types import Floats

MOST = 5000
"""So many arrivals, the newest ones, are simulated: enough for a 90th percentile, and quick."""


@dataclass(frozen=True)
class Desk:
    """Who reviews when: so many people at once, each day from an hour on for so many hours.

    ValueError unless 1 <= people, 0 < hours <= 24 and 0 <= opens <= 24 - hours.
    """

    people: int
    hours: float
    opens: float = 8.0

    def __post_init__(self) -> None:
        if self.people < 1 or not 0 < self.hours <= 24 or not 0 <= self.opens <= 24 - self.hours:
            raise ValueError(f"nobody can work like this: {self}")


@dataclass(frozen=True)
class Load:
    """What a stream of reviews means for a desk.

    Attributes:
        use: the hours that are needed by the hours that there are; above 1 the backlog grows.
        wait: hours until a person begins, which 90 % of the cases do not exceed; None for no case.
        backlog: cases that still wait when the day ends, on average.
    """

    use: float
    wait: float | None
    backlog: float

    @property
    def keeps_up(self) -> bool:
        return self.use <= 1


def simulate(arrivals: Floats, minutes: Floats, desk: Desk, *, seed: int = 0) -> Load:
    """First come, first served, by whoever is free; each review takes a time drawn from `minutes`.

    Args:
        arrivals: (m,) days since some midnight where the desk is; the newest MOST are used.
        minutes: (k,) above 0, what reviews have taken.
    """
    arrivals = np.sort(arrivals)[-MOST:]
    if not len(arrivals):
        return Load(0.0, None, 0.0)
    rng = np.random.default_rng(seed)
    services = rng.choice(minutes, len(arrivals)) / 60
    days = np.floor(arrivals)
    ready = days * desk.hours + np.clip((arrivals - days) * 24 - desk.opens, 0, desk.hours)
    begun = _begin(ready, services, desk.people)
    day = np.floor(begun / desk.hours + 1e-9)
    waited = 24 * day + desk.opens + (begun - day * desk.hours) - 24 * arrivals
    closing = np.arange(days[0] + 1, days[-1] + 2) * desk.hours
    waiting = np.searchsorted(arrivals, np.arange(days[0], days[-1] + 1) + _end(desk), "right")
    waiting = waiting - np.searchsorted(np.sort(begun), closing, "left")
    return Load(
        use=float(services.sum() / (desk.people * desk.hours * len(closing))),
        wait=float(np.quantile(np.clip(waited, 0, None), 0.9)),
        backlog=float(np.clip(waiting, 0, None).mean()),
    )


def _end(desk: Desk) -> float:
    return (desk.opens + desk.hours) / 24


def _begin(ready: Floats, services: Floats, people: int) -> Floats:
    """When each review begins, all in hours of work."""
    free = [0.0] * people
    begun = np.empty(len(ready))
    for at, (came, takes) in enumerate(zip(ready.tolist(), services.tolist(), strict=True)):
        begun[at] = start = max(came, free[0])
        heapq.heapreplace(free, start + takes)
    return begun
