"""When a break is due."""

from datetime import timedelta

import pytest
from django.utils import timezone

from triage.selectors.pace import _stretch


@pytest.mark.parametrize(
    ("ago", "minutes"),
    [
        ([], 0),
        ([5], 5),
        ([9, 18, 27, 36, 45, 54], 54),
        ([15, 20, 60], 0),
        ([2, 9, 25, 60], 9),
    ],
)
def test_a_stretch_ends_at_the_last_break(ago: list[int], minutes: int) -> None:
    now = timezone.now()
    found = _stretch([now - timedelta(minutes=one) for one in ago])
    assert found == pytest.approx(timedelta(minutes=minutes), abs=timedelta(seconds=5))
