"""The days as a page: three charts over time, and the policies that followed one another."""

from collections.abc import Sequence
from html import escape

import numpy as np

from inference.evaluation.charts import Axis, Line, line_chart, round_ticks
from inference.evaluation.sheet import sheet
from inference.evaluation.tables import percent, table
from inference.uq.promotion import LEARNED
from inference.uq.types import Numbers
from triage.simulation.loop import Day, Simulation

RECENT_DAYS = 5
WHO = {LEARNED: "the learned aggregator"}


def render(simulation: Simulation, title: str, members: Sequence[str], seconds: float) -> str:
    """The whole page; `seconds` are what an expert is taken to need for one review."""
    days = simulation.days
    cases = sum(day.cases for day in days)
    parts = (
        f"<h1>{escape(title)}: a simulation</h1>",
        f'<p class="soft">{cases} recorded cases arrive at a new site, members '
        f"{escape(', '.join(members))}. An expert answers what is deferred or drawn for audit, and "
        "each policy that a refit proposes is published.</p>",
        f'<ul class="tiles">{_tiles(simulation, seconds)}</ul>',
        '<div class="pair">',
        _section("Wrong among the accepted", _ERRORS, _errors(days), _ERROR_LINES),
        _section("Sent to a person", _DEFERRED, _deferral(days), _DEFERRAL_LINES),
        "</div>",
        '<div class="pair">',
        _section(
            "Expert minutes",
            f"A review is taken to need {seconds:g} seconds.",
            _minutes(days, seconds),
            _MINUTE_LINES,
        ),
        f"<section><h2>How to read this</h2>{_READING}</section>",
        "</div>",
        "<h2>Policy after policy</h2>",
        _policies(simulation),
    )
    return sheet(f"{title}: simulation", "\n".join(parts))


_ERRORS = (
    "Of the cases that nobody would have looked at, how many had a wrong label. Audits look at a "
    "few of these at random; from them the site estimates the error that it cannot see, with its "
    "95 % interval."
)
_ERROR_LINES = {
    "a": "accepted so far, in truth",
    "c": "as the audits estimate it",
    "f": f"accepted in the last {RECENT_DAYS} days, in truth",
    "plain": "had every case been accepted by vote",
}
_READING = """
<p>At first the site knows nothing and asks about everything: that is learning mode. It ends once
the answers show that the members may be trusted here: the drop in the charts is that day.</p>
<p>Each refit learns from all answers so far and sets a threshold anew. Where labels show that a
learned aggregator beats the members' vote, it decides on the label; else the vote does.</p>
<p>Nobody at a real site sees the lines "in truth". The estimate and its interval are all there is,
and they narrow only with more audits.</p>"""
_DEFERRED = "The share of each day's cases that went to a person, and with those drawn for audit."
_DEFERRAL_LINES = {"a": "deferred", "b": "deferred or audited"}
_MINUTE_LINES = {"a": "spent", "plain": "had every case been reviewed"}


def _tiles(simulation: Simulation, seconds: float) -> str:
    days = simulation.days
    accepted, cases = _total(days, "accepted"), _total(days, "cases")
    reviews = _total(days, "reviews")
    last = days[-1]
    shown = [
        (_share(_total(days, "wrong"), accepted), f"of {accepted} accepted cases were wrong"),
        (
            percent(last.estimate),
            f"is what audits say of that ({percent(last.low)} to {percent(last.high)})",
        ),
        (_share(_total(days, "vote_wrong"), cases), "wrong had all been accepted by vote"),
        (_share(reviews, cases), "of all cases were reviewed by a person"),
        (f"{reviews * seconds / 60:.0f} min", f"of {cases * seconds / 60:.0f} for reviewing all"),
        (str(len(simulation.versions)), "policies were in force, one after the other"),
    ]
    return "".join(f"<li><b>{value}</b><span>{name}</span></li>" for value, name in shown)


def _total(days: Sequence[Day], name: str) -> int:
    return int(sum(getattr(day, name) for day in days))


def _share(part: float, whole: float) -> str:
    return percent(part / whole if whole else None)


def _section(title: str, text: str, chart: str, lines: dict[str, str]) -> str:
    key = '<svg viewBox="0 0 44 12" aria-hidden="true"><polyline points="0,6 44,6"/></svg>'
    legend = "".join(
        f'<li class="{style}">{key}<span>{escape(name)}</span></li>'
        for style, name in lines.items()
    )
    return (
        f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>{chart}"
        f'<ul class="legend">{legend}</ul></section>'
    )


def _errors(days: Sequence[Day]) -> str:
    at = _so_far(days)
    lines = [
        Line(_ERROR_LINES["plain"], _shares(at, _sums(days, "vote_wrong"), at), "plain"),
        Line(
            _ERROR_LINES["c"],
            [
                (x, day.estimate)
                for x, day in zip(at, days, strict=True)
                if day.estimate is not None
            ],
            "c",
            band=[
                (x, day.low, day.high)
                for x, day in zip(at, days, strict=True)
                if day.estimate is not None
            ],
        ),
        Line(
            _ERROR_LINES["f"],
            _shares(at, _recent(days, "wrong"), _recent(days, "accepted")),
            "f",
        ),
        Line(_ERROR_LINES["a"], _shares(at, _sums(days, "wrong"), _sums(days, "accepted")), "a"),
    ]
    highest = max((y for line in lines for _, y in line.points), default=0.1)
    return line_chart(
        "Wrong among the accepted, over time",
        lines,
        _cases_axis(days),
        Axis("wrong", round_ticks(max(highest, 0.1))),
    )


def _deferral(days: Sequence[Day]) -> str:
    at = _so_far(days)
    of_a_day = np.array([float(day.cases) for day in days])
    seen = np.array([day.deferred + day.audited for day in days], float)
    deferred = np.array([float(day.deferred) for day in days])
    lines = [
        Line(_DEFERRAL_LINES["b"], _shares(at, seen, of_a_day), "b"),
        Line(_DEFERRAL_LINES["a"], _shares(at, deferred, of_a_day), "a"),
    ]
    ticks = Axis("of the day's cases", [0, 0.2, 0.4, 0.6, 0.8, 1])
    return line_chart("Sent to a person, over time", lines, _cases_axis(days), ticks)


def _minutes(days: Sequence[Day], seconds: float) -> str:
    at = [0.0, *_so_far(days)]
    spent = [0.0, *(_sums(days, "reviews") * seconds / 60)]
    everything = [x * seconds / 60 for x in at]
    return line_chart(
        "Minutes that experts spend, over time",
        [
            Line(_MINUTE_LINES["plain"], list(zip(at, everything, strict=True)), "plain"),
            Line(_MINUTE_LINES["a"], list(zip(at, spent, strict=True)), "a"),
        ],
        _cases_axis(days),
        Axis("minutes", round_ticks(everything[-1]), ",.0f"),
    )


def _cases_axis(days: Sequence[Day]) -> Axis:
    return Axis("cases so far", round_ticks(_total(days, "cases")), ",.0f")


def _so_far(days: Sequence[Day]) -> Numbers:
    return _sums(days, "cases")


def _sums(days: Sequence[Day], name: str) -> Numbers:
    sums: Numbers = np.cumsum([float(getattr(day, name)) for day in days])
    return sums


def _recent(days: Sequence[Day], name: str) -> Numbers:
    """Sums over the last RECENT_DAYS days, (days,)."""
    sums: Numbers = np.concatenate([np.zeros(RECENT_DAYS), _sums(days, name)])
    recent: Numbers = sums[RECENT_DAYS:] - sums[:-RECENT_DAYS]
    return recent


def _shares(at: Numbers, parts: Numbers, wholes: Numbers) -> list[tuple[float, float]]:
    """Points wherever there is something to be a share of."""
    rows = zip(at.tolist(), parts.tolist(), wholes.tolist(), strict=True)
    return [(x, part / whole) for x, part, whole in rows if whole]


def _policies(simulation: Simulation) -> str:
    if not simulation.versions:
        return "<p>No policy was ever in force: everything went to a person.</p>"
    ends = [*(one.after for one in simulation.versions[1:]), _total(simulation.days, "cases")]
    rows = [
        [
            f"version {one.version}",
            f"{one.after} to {end}",
            str(one.labels) if one.labels else "",
            WHO.get(one.method, "the vote"),
            one.mode,
            "nothing" if one.threshold is None else f"{one.threshold:.3f}",
        ]
        for one, end in zip(simulation.versions, ends, strict=True)
    ]
    head = [
        "policy",
        "cases",
        "labels",
        "who decides on the label",
        "threshold by",
        "accepted up to",
    ]
    return table(head, rows) + _withdrawn(simulation.withdrawn)


def _withdrawn(times: int) -> str:
    if not times:
        return ""
    return (
        f"<p>{times} of them trusted the learned aggregator until it stopped beating the vote, and "
        "went on with the vote.</p>"
    )
