"""Is it still going well: the administrators' page about their site."""

from dataclasses import dataclass
from typing import Any

from django.utils.formats import date_format

from triage.models import Site
from triage.selectors.alerts import AlertRow, open_alerts, past_alerts, untold
from triage.selectors.checked import Pairs, Reliability
from triage.selectors.checkup import Found, found_at
from triage.selectors.reliance import Board, board_of
from triage.selectors.service_levels import ServiceLevels, service_levels
from triage.selectors.weeks import FEWEST_AUDITS, RECENT, Week
from triage.selectors.words import domain_at, titles_of


@dataclass(frozen=True)
class Cell:
    n: int
    same: bool


@dataclass(frozen=True)
class ConfusionRow:
    """What people said where the ensemble said one thing, `right` of `total` times the same."""

    title: str
    cells: list[Cell]
    total: int
    right: int

    @property
    def share(self) -> float | None:
        return self.right / self.total if self.total else None


@dataclass(frozen=True)
class Confusion:
    """A row for each label of the ensemble, a column for each of people's, in the same order."""

    titles: list[str]
    rows: list[ConfusionRow]


@dataclass(frozen=True)
class MonitoringPage:
    """`found` is as old as the last checkup, `levels` are of now.

    `untold` names what alerts watch but cannot tell yet.
    """

    found: Found
    levels: ServiceLevels
    alerts: list[AlertRow]
    past_alerts: list[AlertRow]
    untold: list[str]
    titles: dict[str, str]
    board: Board
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
    def confusion(self) -> Confusion:
        return confusion_of(self.found.checked.pairs, self.titles)

    @property
    def charts(self) -> dict[str, Any]:
        """For the charts, in percent; None where a week has too little to tell."""
        errors = [week.error if week.enough_audits else None for week in self.weeks]
        return {
            "weeks": [date_format(week.start, "j M") for week in self.weeks],
            "error": [
                [_percent(one.low) if one else None for one in errors],
                [_percent(one.high) if one else None for one in errors],
                [_percent(one.estimate) if one else None for one in errors],
            ],
            "deferral": [[_percent(week.deferral) for week in self.weeks]],
            "override": [[_percent(week.override) for week in self.weeks]],
            "reliability": _plotted(self.found.checked.reliability),
        }


def monitoring_page(*, site: Site) -> MonitoringPage:
    found = found_at(site)
    return MonitoringPage(
        found=found,
        levels=service_levels(site),
        alerts=open_alerts(site),
        past_alerts=past_alerts(site),
        untold=untold(site, found),
        titles=titles_of(domain_at(site)),
        board=board_of(site, found.reliance),
    )


def confusion_of(pairs: list[Pairs], titles: dict[str, str]) -> Confusion:
    """Labels that nobody said are left out, so that the table stays readable."""
    count = {(pair.said, pair.truth): pair.n for pair in pairs}
    heard = {label for pair in count for label in pair}
    known = [*(label for label in titles if label in heard), *sorted(heard - set(titles))]
    rows = [
        ConfusionRow(
            title=titles.get(said, said),
            cells=[Cell(count.get((said, truth), 0), said == truth) for truth in known],
            total=sum(count.get((said, truth), 0) for truth in known),
            right=count.get((said, said), 0),
        )
        for said in known
    ]
    return Confusion([titles.get(label, label) for label in known], rows)


def _plotted(found: Reliability) -> list[list[float | None]]:
    """Columns in percent: stated, the ends of what happened, what happened."""
    columns = zip(*((b.stated, b.low, b.high, b.happened) for b in found.bins), strict=True)
    return [[_percent(value) for value in column] for column in columns]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)
