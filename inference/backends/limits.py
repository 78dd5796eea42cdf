"""Manners towards a model server: asked no faster than agreed, and left alone while it is down.

Both count for one member in one process; a backend makes one call after the other.
"""

import time

LONGEST_REST_S = 300.0


class Breaker:
    """Opens when `failures` calls in a row have failed: nobody is asked for `rest_s` seconds.

    The first call after that shows whether the server is back: it closes the breaker, or opens it
    for twice as long, up to five minutes. `failures` 0 never opens.
    """

    def __init__(self, failures: int, rest_s: float) -> None:
        self.failures, self.rest_s = failures, rest_s
        self.in_a_row = 0
        self._until = 0.0

    def left_s(self) -> float:
        """Seconds for which nobody is to be asked, >= 0."""
        return max(0.0, self._until - time.monotonic())

    def note(self, *, well: bool) -> None:
        """What became of a call."""
        self.in_a_row = 0 if well else self.in_a_row + 1
        times = self.in_a_row - self.failures
        opens = self.failures > 0 and times >= 0
        rest_s = min(self.rest_s * 2.0 ** min(times, 20), LONGEST_REST_S) if opens else 0.0
        self._until = time.monotonic() + rest_s


class Turns:
    """Requests begin evenly spaced, `per_minute` of them; 0 is as fast as one likes."""

    def __init__(self, per_minute: float) -> None:
        self.space_s = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    def take(self, count: int, *, within_s: float) -> list[float]:
        """Seconds from now to the turn of each of `count` requests; none is taken if the last
        comes later than `within_s`: then the list is empty."""
        now = time.monotonic()
        first = max(now, self._next)
        waits = [first - now + number * self.space_s for number in range(count)]
        if waits and waits[-1] > within_s:
            return []
        self._next = first + count * self.space_s
        return waits

    def wait_s(self) -> float:
        """Seconds until a turn is free, >= 0."""
        return max(0.0, self._next - time.monotonic())
