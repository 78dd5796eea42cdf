"""What is done today, and when a break is due."""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from django.utils import timezone

from tests.factories import make_case, rewrite
from tests.triage.conftest import Cast
from tests.triage.test_readings import SPLIT, read_by
from triage.models import Review
from triage.selectors.pace import _stretch, pace_of
from triage.services import queue, reviews


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


@pytest.mark.django_db
def test_what_was_taken_back_is_not_answered(cast: Cast) -> None:
    cases = [make_case(cast.clinic, SPLIT) for _ in range(3)]
    for case in cases:
        read_by(case, cast.clinician, "Cut")
        queue.release(lease=reviews.undo_review(case=case, user=cast.clinician))
    assert pace_of(site=cast.clinic, user=cast.clinician, waiting=3).answered == 0
    read_by(cases[0], cast.clinician, "Burns")
    read_by(cases[1], cast.colleague, "Burns")
    assert pace_of(site=cast.clinic, user=cast.clinician, waiting=1).answered == 1


@pytest.mark.django_db
def test_a_day_begins_at_the_sites_midnight(cast: Cast) -> None:
    """At 23:00 in Kathmandu, 17:15 in Greenwich, midnight was at 18:15 of the day before."""
    cast.clinic.time_zone = "Asia/Kathmandu"
    case = make_case(cast.clinic, SPLIT)
    read_by(case, cast.clinician, "Cut")
    late = datetime(2026, 3, 3, 17, 15, tzinfo=UTC)
    answered = []
    for minute in (14, 16):
        rewrite(Review.objects.all(), created_at=datetime(2026, 3, 2, 18, minute, tzinfo=UTC))
        with patch("django.utils.timezone.now", return_value=late):
            pace = pace_of(site=cast.clinic, user=cast.clinician, waiting=0)
            answered.append(pace.answered)
    assert answered == [0, 1]
