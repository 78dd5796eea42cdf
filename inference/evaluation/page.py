"""The report on an evaluation."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from inference.evaluation.charts import Axis, Line, line_chart
from inference.evaluation.folder import LabelSet
from inference.evaluation.judging import AGGREGATOR, NOVELTY, PROBABILITY_OF, Judged
from inference.evaluation.sheet import sheet
from inference.evaluation.study_page import study_sections
from inference.evaluation.summary import DEFERRALS
from inference.evaluation.tables import confusion, percent, sources, table
from inference.uq import metrics
from inference.uq.promotion import LEARNED, VOTE

TEMPLATE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))

NAMES = {
    "alarm": "ALARM: S1, S2, S3 combined",
    AGGREGATOR: "P(error) of whoever decides",
    "analysis_level": "reasonings differ",
    "cold_start": "vote entropy + 0.1 × von Neumann",
    "comprehension_level": "descriptions differ",
    "degree": "degree of the reasonings",
    "eccentricity": "eccentricity of the reasonings",
    "eigv": "groups among the reasonings",
    LEARNED: "P(error) of the learned aggregator",
    "lexical": "reasonings differ in their words",
    "logprob": "sequence log-probability",
    NOVELTY: "unlike the training pictures",
    "reflection_flips": "labels changed on reflection",
    "s1": "S1: data comprehension",
    "s2": "S2: analytical thinking",
    "s3": "S3: reflection",
    "sampling": "members differ from themselves",
    "semantic_entropy": "semantic entropy of the reasonings",
    "von_neumann": "von Neumann entropy of the reasonings",
    "vote_entropy": "vote entropy",
}
DRAWN = {
    LEARNED: "f",
    "cold_start": "a",
    "vote_entropy": "b",
    "alarm": "c",
    "logprob": "d",
    AGGREGATOR: "P(error) of whoever decides",
    "analysis_level": "e",
}
_MOST_DEFERRED = 0.5


def render(
    labels: LabelSet,
    judged: Judged,
    summary: Mapping[str, Any],
    study: Mapping[str, Any] | None = None,
) -> str:
    """The whole page; `study` is what `study.study` returned, if it was made."""
    drawn = {method: style for method, style in DRAWN.items() if method in judged.scores}
    title = f"{labels.title}: evaluation"
    body = TEMPLATE.substitute(
        title=escape(title),
        subtitle=escape(f"{len(judged)} labelled cases, members {', '.join(judged.members)}"),
        judged=_what_is_judged(judged),
        tiles=_tiles(summary),
        curves=_curves(judged, drawn),
        legend="".join(_key(style, NAMES[method]) for method, style in drawn.items()),
        scores=_scores(summary),
        probability=_stated(judged),
        reliability=_reliability(judged),
        sources=sources(summary),
        confusion=confusion(labels, judged),
        study=study_sections(study) if study else "",
        members=_members(summary),
    )
    return sheet(title, body)


def _what_is_judged(judged: Judged) -> str:
    if judged.side_votes is None:
        return "The label voted for is judged."
    return "The side, normal or abnormal, of the label voted for is judged."


def _tiles(summary: Mapping[str, Any]) -> str:
    main = AGGREGATOR if AGGREGATOR in summary["auroc"] else PROBABILITY_OF
    likely = _within(summary["accuracy_interval"])
    balanced = _within(summary["balanced_accuracy_interval"])
    shown = [
        (percent(summary["accuracy"]), f"accuracy of {_who(summary)}{likely}"),
        (percent(summary["balanced_accuracy"]), f"balanced accuracy{balanced}"),
        (percent(summary["kept_accuracy"][main]["20"]), "accuracy with 20 % deferred"),
        (percent(summary["auroc"][main]), "AUROC: wrong against right"),
        _of_sides_or_labels(summary),
        (percent(summary["json_validity"]), "answers that parsed as they were"),
        (f"{summary['ece']:.3f}", "calibration error (ECE)"),
        (_seconds(summary["seconds_per_case"]), "a case, all members and stages"),
    ]
    return "".join(f"<li><b>{value}</b><span>{name}</span></li>" for value, name in shown)


def _of_sides_or_labels(summary: Mapping[str, Any]) -> tuple[str, str]:
    if "auroc_abnormal" in summary:
        return percent(summary["auroc_abnormal"]), "AUROC: abnormal against normal"
    return f"{summary['macro_f1']:.3f}", "macro F1"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def _who(summary: Mapping[str, Any]) -> str:
    chosen = summary.get("aggregator", {}).get("chosen", VOTE)
    return "the learned aggregator" if chosen == LEARNED else "the vote"


def _within(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({percent(interval[0])} to {percent(interval[1])})"


def _curves(judged: Judged, drawn: Mapping[str, str]) -> str:
    accuracy = 1 - float(judged.wrong.mean())
    lines = [Line("deferring at random", [(0, accuracy), (_MOST_DEFERRED, accuracy)], "plain")]
    for method, style in drawn.items():
        kept = 1 - metrics.rc_curve(judged.scores[method], judged.wrong_of(method))[::-1]
        points = [
            (place / len(kept), float(value))
            for place, value in enumerate(kept)
            if place <= _MOST_DEFERRED * len(kept)
        ]
        lines.append(Line(NAMES[method], points, style))
    lowest = min(y for line in lines for _, y in line.points)
    x, y = Axis("deferred", [0, 0.1, 0.2, 0.3, 0.4, 0.5]), Axis("right", _ticks_from(lowest))
    return line_chart("Accuracy among the accepted against the share deferred", lines, x, y)


def _ticks_from(lowest: float) -> list[float]:
    """Ticks up to 100 %, five or ten percent apart, the first at or below `lowest`."""
    step = 5 if lowest >= 0.75 else 10
    first = int(min(lowest * 100 // step * step, 100 - step))
    return [percent / 100 for percent in range(first, 101, step)]


def _key(style: str, name: str) -> str:
    line = '<polyline points="0,6 44,6"/>'
    sample = f'<svg viewBox="0 0 44 12" aria-hidden="true"><g class="{style}">{line}</g></svg>'
    return f"<li>{sample}<span>{escape(name)}</span></li>"


def _scores(summary: Mapping[str, Any]) -> str:
    head = ["score", *(f"{percent} %" for percent in DEFERRALS), "AURC", "AUROC"]
    ranked = sorted(summary["aurc"], key=summary["aurc"].get)
    rows = []
    for method in ranked:
        kept = [percent(summary["kept_accuracy"][method][str(p)]) for p in DEFERRALS]
        areas = [f"{summary['aurc'][method]:.3f}", percent(summary["auroc"][method])]
        rows.append([NAMES.get(method, method), *kept, *areas])
    return table(head, rows)


def _stated(judged: Judged) -> str:
    if AGGREGATOR in judged.scores:
        return "P(error) of whoever decides, fitted on other cases."
    if judged.calibrated:
        return f"P(error) of the calibration that ships, from {NAMES[PROBABILITY_OF]}."
    return "There is no calibration for these members: 1 − the winner's share of the vote."


def _reliability(judged: Judged) -> str:
    bins = metrics.reliability_bins(judged.probability)
    points = [
        (float(judged.probability[rows].mean()), float(judged.wrong[rows].mean())) for rows in bins
    ]
    ticks = [0, 0.25, 0.5, 0.75, 1]
    lines = [
        Line("as many as was said", [(0, 0), (1, 1)], "plain"),
        Line("groups of cases", points, "a", dots=True),
    ]
    x, y = Axis("said to be wrong", ticks), Axis("really wrong", ticks)
    return line_chart("Share really wrong against the stated probability of an error", lines, x, y)


def _members(summary: Mapping[str, Any]) -> str:
    rows = [[name, percent(accuracy)] for name, accuracy in summary["members"].items()]
    return table(["member", "accuracy"], [*rows, ["vote", percent(summary["accuracy"])]])
