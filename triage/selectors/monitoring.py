"""Is it still going well: the administrators' page about their site."""

from dataclasses import dataclass
from typing import Any

from django.utils.formats import date_format

from triage.models import Site
from triage.selectors.checkup import Found, found_at
from triage.selectors.service_levels import ServiceLevels, service_levels
from triage.selectors.weeks import FEWEST_AUDITS, RECENT, Week


@dataclass(frozen=True)
class MonitoringPage:
    """`found` is as old as the last checkup, `levels` are of now."""

    found: Found
    levels: ServiceLevels
    fewest: int = FEWEST_AUDITS
    recent_weeks: int = RECENT

    @property
    def weeks(self) -> list[Week]:
        return self.found.over_time.weeks

    @property
    def recent(self) -> Week:
        return self.found.over_time.recent

    @property
    def newest_first(self) -> list[Week]:
        return self.weeks[::-1]

    @property
    def charts(self) -> dict[str, Any]:
        """For the charts, in percent; None where a week has too little to tell."""
        errors = [week.error if week.enough_audits else None for week in self.weeks]
        return {
            "x": [date_format(week.start, "j M") for week in self.weeks],
            "error": [
                [_percent(one and one.low) for one in errors],
                [_percent(one and one.high) for one in errors],
                [_percent(one and one.estimate) for one in errors],
            ],
            "deferral": [[_percent(week.deferral) for week in self.weeks]],
            "override": [[_percent(week.override) for week in self.weeks]],
        }


def monitoring_page(*, site: Site) -> MonitoringPage:
    return MonitoringPage(found=found_at(site), levels=service_levels(site))


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)
