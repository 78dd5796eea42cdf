"""What was found at the last look at how a site is going."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from pydantic import TypeAdapter, ValidationError

from inference.uq.experts import Agreement
from triage.choices import SiteKind
from triage.models import Checkup, Site
from triage.selectors.checked import Checked, checked
from triage.selectors.drift import drift_signals, in_words, told_of
from triage.selectors.experts import double_reading
from triage.selectors.reliance import Counted, counted_at
from triage.selectors.weeks import OverTime, over_time
from triage.selectors.words import domain_at


@dataclass(frozen=True)
class Drifted:
    """One way in which recent cases are unlike those of the calibration, as it is kept."""

    code: str
    values: dict[str, float | str]


@dataclass(frozen=True)
class Drift:
    """What no longer resembles the cases of the calibration.

    `p_value`: the least of those that could be told, each corrected for the others; None where none
    could.
    """

    drifted: list[Drifted]
    p_value: float | None

    @property
    def sentences(self) -> list[str]:
        """A sentence each, in the reader's language."""
        return [in_words(one.code, one.values) for one in self.drifted]


@dataclass(frozen=True)
class Reading:
    """How far people agree who read the same cases, None before the first one read twice."""

    agreement: Agreement | None
    open: int
    disputed: int


@dataclass(frozen=True)
class Found:
    """All that takes a while to sum up, as it was at `as_of`."""

    as_of: datetime
    over_time: OverTime
    checked: Checked
    drift: Drift
    reading: Reading | None
    reliance: list[Counted]


_STORED = TypeAdapter(Found)


def look(site: Site, now: datetime | None = None) -> Found:
    """Sum up a site's own domain. Reads, writes nothing; about a second at 100,000 cases."""
    now = now or timezone.now()
    return Found(
        as_of=now,
        over_time=over_time(site, now),
        checked=checked(site),
        drift=_drift(site),
        reading=_reading(site) if site.kind == SiteKind.CLINIC else None,
        reliance=counted_at(site) if site.kind == SiteKind.CLINIC else [],
    )


def _drift(site: Site) -> Drift:
    signals = drift_signals(site)
    told = [one.p_value for one in signals if math.isfinite(one.p_value)]
    drifted = [Drifted(one.code, told_of(one, domain_at(site))) for one in signals if one.drifted]
    return Drift(drifted, min(told, default=None))


def _reading(site: Site) -> Reading:
    found = double_reading(site)
    return Reading(found.agreement, found.open, found.disputed)


def found_at(site: Site) -> Found:
    """What the last checkup found; a look of now where there is none that can be read."""
    stored = Checkup.objects.filter(site=site).values_list("found", flat=True).first()
    if stored:
        try:
            return _STORED.validate_python(stored)
        except ValidationError:  # stored by an earlier version
            pass
    return look(site)


def as_json(found: Found) -> dict[str, Any]:
    """What a Checkup stores."""
    stored: dict[str, Any] = _STORED.dump_python(found, mode="json")
    return stored
