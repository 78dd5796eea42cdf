"""Charts of the evidence as SVG files that stand alone, for docs and model cards."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from inference.evaluation.charts import Axis, Line, line_chart
from inference.uq import metrics
from inference.uq.calibration import ErrorCalibrator

if TYPE_CHECKING:
    from inference.training.evidence import Evidence

MOST = 0.5
DRAWN = {
    "cold_start": ("a", "votes and reasonings"),
    "vote_entropy": ("b", "votes alone"),
    "alarm": ("c", "ALARM's S1, S2, S3"),
}
STYLE = """<style>
svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#444}
.grid path{stroke:#ddd}.end{text-anchor:end}.middle{text-anchor:middle}
polyline{fill:none;stroke-width:2}.plain polyline{stroke:#999;stroke-dasharray:3 4}
.a polyline{stroke:#1a5fb4}.a circle{fill:#1a5fb4}.a text{fill:#1a5fb4}
.b polyline{stroke:#b5651d;stroke-dasharray:7 3}.b text{fill:#b5651d}
.c polyline{stroke:#2e7d32;stroke-dasharray:2 2}.c text{fill:#2e7d32}
</style>"""


def draw(found: "Evidence") -> dict[str, str]:
    """Name -> SVG: accuracy against deferral, reliability of P(error), confusion of the labels."""
    return {
        "deferral": _standing(_deferral(found)),
        "reliability": _standing(_reliability(found)),
        "confusion": _confusion(found),
    }


def _standing(chart: str) -> str:
    """The chart as a file of its own."""
    head, _, rest = chart.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg" width="420" height="300">{STYLE}{rest}\n'


def _deferral(found: "Evidence") -> str:
    wrong = found.wrong
    known = {method: look for method, look in DRAWN.items() if method in found.scores}
    lines, legend = [], []
    for place, (method, (style, name)) in enumerate(known.items()):
        kept = 1 - metrics.rc_curve(found.scores[method], wrong)[::-1]
        points = [
            (at / len(kept), float(value))
            for at, value in enumerate(kept)
            if at <= MOST * len(kept)
        ]
        lines.append(Line(name, points, style))
        legend.append(f'<g class="{style}"><text x="250" y="{196 + 18 * place}">{name}</text></g>')
    lowest = min(y for line in lines for _, y in line.points)
    first = int(min(lowest * 100 // 5 * 5, 90))
    ticks = [percent / 100 for percent in range(first, 101, 5)]
    x, y = Axis("deferred", [0, 0.1, 0.2, 0.3, 0.4, 0.5]), Axis("right among the rest", ticks)
    chart = line_chart("Accuracy among the rest against the share deferred", lines, x, y)
    return chart.replace("</svg>", "".join(legend) + "</svg>")


def _reliability(found: "Evidence") -> str:
    """P(error) of the score that decides, cross-fitted over the folds."""
    wrong, score = found.wrong.astype(np.float64), found.scores["cold_start"]
    folds, stated = found.album.fold_of, np.zeros(len(wrong))
    for fold in np.unique(folds):
        inside = folds != fold
        fitted = ErrorCalibrator().fit(score[inside], wrong[inside], np.ones(int(inside.sum())))
        stated[~inside] = fitted.predict(score[~inside])
    bins = metrics.reliability_bins(stated)
    points = [(float(stated[rows].mean()), float(wrong[rows].mean())) for rows in bins]
    ticks = [0, 0.25, 0.5, 0.75, 1]
    lines = [
        Line("as many as was said", [(0, 0), (1, 1)], "plain"),
        Line("groups of cases", points, "a", dots=True),
    ]
    x, y = Axis("said to be wrong", ticks), Axis("really wrong", ticks)
    return line_chart("Share really wrong against the stated P(error)", lines, x, y)


def _confusion(found: "Evidence") -> str:
    labels = sorted(set(found.truth.tolist()))
    side, left, top = 46, 120, 14
    parts = []
    for row, truth in enumerate(labels):
        here = found.voted[found.truth == truth]
        parts.append(_text(left - 8, top + row * side + 27, truth, "end"))
        for column, said in enumerate(labels):
            count = int((here == said).sum())
            colour = "26,95,180" if row == column else "181,101,29"
            shade = 0.1 + 0.6 * count / len(here) if count else 0.03
            x, y = left + column * side, top + row * side
            parts.append(
                f'<rect x="{x}" y="{y}" width="{side - 2}" height="{side - 2}" '
                f'fill="rgba({colour},{shade:.2f})"/>'
            )
            if count:
                parts.append(_text(x + side // 2, y + 27, str(count), "middle"))
    for column, said in enumerate(labels):
        x, y = left + column * side + 20, top + len(labels) * side + 10
        parts.append(
            f'<text x="{x}" y="{y}" class="end" transform="rotate(-40 {x} {y})">'
            f"{escape(said)}</text>"
        )
    width, height = left + len(labels) * side + 10, top + len(labels) * side + 90
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'xmlns="http://www.w3.org/2000/svg" aria-label="Labels (rows) and votes (columns)">'
        f"{STYLE}{''.join(parts)}</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" class="{anchor}">{escape(text)}</text>'
