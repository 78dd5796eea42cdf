"""What an administrator is asked about costs, and what is known of them already."""

from dataclasses import dataclass

import numpy as np

from inference.uq.costs import Costs
from triage.choices import PolicyMode
from triage.models import Site
from triage.selectors.experts import ReaderError, reader_error
from triage.selectors.modes import FEWEST_FOR_PAIRS, ModeRow, mode_rows, own_labels
from triage.selectors.what_if import measured_minutes
from triage.selectors.words import domain_at, titles_of

SHORTEST_MINUTES = 0.01  # what the form takes of a review


@dataclass(frozen=True)
class CostCell:
    """One field of the table; `value` None on the diagonal."""

    name: str
    value: float | None
    decided: str


@dataclass(frozen=True)
class CostsPage:
    """The form of the expected cost.

    Attributes:
        columns: titles of what could be decided; rows: title of the truth, and its cells.
        minutes: what a review takes, and whether that was measured here.
        reader: how often reviewers are wrong, where enough cases were read by two.
        missing: own labels that costs by pairs still need, 0 if none.
    """

    columns: list[str]
    rows: list[tuple[str, list[CostCell]]]
    minutes: float
    measured: bool
    reader: ReaderError | None
    missing: int
    mode: ModeRow


def domain_costs(site: Site, *, by_severity: bool = False) -> Costs:
    """Every error costs 1, or the suggestion by severity."""
    severity = {label.id: label.severity for label in domain_at(site).labels}
    return Costs.by_severity(severity) if by_severity else Costs.uniform(list(severity))


def costs_page(*, site: Site, costs: Costs) -> CostsPage:
    """The form, with these costs in the table."""
    titles = titles_of(domain_at(site))
    minutes = measured_minutes(site)
    return CostsPage(
        columns=[titles[label] for label in costs.labels],
        rows=[
            (titles[label], _cells(costs, row, list(titles.values())))
            for row, label in enumerate(costs.labels)
        ],
        minutes=max(SHORTEST_MINUTES, float(np.mean(minutes))) if len(minutes) else 1.0,
        measured=bool(len(minutes)),
        reader=reader_error(site),
        missing=max(0, FEWEST_FOR_PAIRS - own_labels(site)),
        mode=next(row for row in mode_rows(site) if row.mode == PolicyMode.COST),
    )


def _cells(costs: Costs, row: int, titles: list[str]) -> list[CostCell]:
    return [
        CostCell(
            name=cell_name(row, column),
            value=None if row == column else float(costs.table[row, column]),
            decided=titles[column],
        )
        for column in range(len(costs.labels))
    ]


def cell_name(row: int, column: int) -> str:
    """What the field of a pair is called in the form."""
    return f"cost-{row}-{column}"
