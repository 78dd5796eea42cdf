"""A stored calibration as the object that scores."""

from datetime import datetime
from functools import lru_cache

from inference.uq.aggregator import LearnedAggregator
from inference.uq.ensemble import Calibration as FittedCalibration
from triage.models import Calibration


def fitted_of(calibration: Calibration) -> FittedCalibration:
    """The fitted object, built once a process: the row never changes. Do not change it either."""
    return _load(calibration.pk, calibration.created_at)


def learned_of(calibration: Calibration) -> LearnedAggregator | None:
    """The learned aggregator of a calibration, if it has one; built once a process too."""
    return _load_learned(calibration.pk, calibration.created_at)


def rebuilt(calibration: Calibration) -> FittedCalibration:
    """The same, but the caller's own."""
    return FittedCalibration.from_dict(calibration.parameters)


@lru_cache(maxsize=16)
def _load(pk: int, _created_at: datetime) -> FittedCalibration:
    """Keyed by the time as well, for a primary key may be given again in another database."""
    return rebuilt(Calibration.objects.get(pk=pk))


@lru_cache(maxsize=16)
def _load_learned(pk: int, _created_at: datetime) -> LearnedAggregator | None:
    stored = Calibration.objects.values_list("aggregator", flat=True).get(pk=pk)
    return LearnedAggregator.from_dict(stored) if stored else None
