"""The report's tables as HTML; whatever comes from outside is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from inference.evaluation.folder import SIDES, LabelSet
from inference.evaluation.judging import Judged
from inference.uq.types import Objects

NOTHING = "none"
CONFUSION = ' class="confusion"'
_SOURCE_COLUMNS = {
    "n": "cases",
    "n_abnormal": "abnormal",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "deferred": "deferred",
    "novel": "novel",
}


def table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls on its own where it is too wide; a row's first cell names it."""
    body = "".join(
        f"<tr><th>{escape(first)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return _table(head, body)


def percent(value: float | None) -> str:
    """A share with one decimal; a dash where it is not defined."""
    return "–" if value is None else f"{value:.1%}"


def sources(summary: Mapping[str, Any]) -> str:
    """A section with a row for each source; nothing without sources."""
    found: Mapping[str, Mapping[str, Any]] = summary.get("sources", {})
    if not found:
        return ""
    columns = [key for key in _SOURCE_COLUMNS if key in next(iter(found.values()))]
    drawn = table(
        ["source", *(_SOURCE_COLUMNS[key] for key in columns)],
        [[name, *(_figure(numbers[key]) for key in columns)] for name, numbers in found.items()],
    )
    meaning = (
        "Deferred: the share of its cases among the 20 % of all cases that are the least certain. "
        "Balanced accuracy needs both kinds of cases."
    )
    if "novel" in columns:
        meaning += " Novel: the share unlike the pictures that the members were trained on."
    return f'<h2>Source by source</h2><p class="soft">{meaning}</p>{drawn}'


def confusion(labels: LabelSet, judged: Judged) -> str:
    """A section: which label is taken for which, or else which side, and by which labels."""
    if judged.side_votes is None:
        axes = "Rows: what the picture shows. Columns: what the ensemble says."
        drawn = _labels_taken(labels.ids, judged)
    else:
        axes = "Columns: what there was. Rows: the side that is said, and the label behind it."
        by_side = _said_of_sides(judged.truth, judged.predicted, {side: side for side in SIDES})
        by_label = _said_of_sides(judged.truth, judged.side_votes.labels, labels.sides)
        both = f'<div class="pair"><div>{by_side}</div><div>{by_label}</div></div>'
        drawn = by_side if set(labels.sides) == set(SIDES) else both
    return f'<h2>What is taken for what</h2><p class="soft">{axes}</p>{drawn}'


def _labels_taken(labels: Sequence[str], judged: Judged) -> str:
    """Columns carry letters, which the rows explain: the table fits a phone."""
    letters = [chr(ord("A") + index) for index in range(len(labels))]
    said = _with_nothing(labels, judged.predicted)
    rows = []
    for letter, truth in zip(letters, labels, strict=True):
        here = judged.predicted[judged.truth == truth]
        cells = [_cell(int((here == label).sum()), len(here), label == truth) for label in said]
        rows.append(f"<tr><th>{letter} {escape(truth)}</th>{''.join(cells)}</tr>")
    head = ["", *letters, *(label or NOTHING for label in said[len(labels) :])]
    return _table(head, "".join(rows), CONFUSION)


def _said_of_sides(truth: Objects, said: Objects, sides: Mapping[str, str]) -> str:
    """A row for each answer, which is of a side; a column for each side that there truly was."""
    totals = {side: int((truth == side).sum()) for side in SIDES}
    rows = []
    for answer in _with_nothing([*sides], said):
        counts = {side: int(((said == answer) & (truth == side)).sum()) for side in SIDES}
        cells = [_cell(counts[side], totals[side], sides.get(answer) == side) for side in SIDES]
        rows.append(f"<tr><th>{escape(answer or NOTHING)}</th>{''.join(cells)}</tr>")
    return _table(["", *SIDES], "".join(rows), CONFUSION)


def _with_nothing(answers: Sequence[str], said: Objects) -> list[str]:
    """The answers, and "" if it was ever said."""
    return [*answers, *([""] if (said == "").any() else [])]


def _cell(count: int, total: int, right: bool) -> str:
    if not count:
        return "<td></td>"
    shade = 0.12 + 0.5 * count / total
    colour = "--hit" if right else "--miss"
    return f'<td style="background: rgba(var({colour}), {shade:.2f})">{count}</td>'


def _figure(value: float | None) -> str:
    return str(value) if isinstance(value, int) else percent(value)


def _table(head: Iterable[str], body: str, attributes: str = "") -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        f'<div class="wide"><table{attributes}><thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
