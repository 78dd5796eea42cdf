"""The study's numbers as sections of the report."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from inference.evaluation.charts import Axis, Line, line_chart
from inference.evaluation.tables import percent, table
from inference.uq.promotion import LEARNED

Numbers = Mapping[str, Any]

SHORT = {
    "s1": "S1: data comprehension",
    "s2": "S2: analytical thinking",
    "s3": "S3: reflection",
    "alarm": "ALARM: S1, S2, S3",
    "cold_start": "votes and reasonings",
    "vote_entropy": "vote entropy",
    LEARNED: "learned aggregator",
}
STYLES = {"vote_entropy": "b", "cold_start": "a", "alarm": "c", LEARNED: "f"}
STAGE_STYLES = {"s1": "d", "s2": "e", "s3": "b"}
KEPT = ("0 %", "20 %", "40 %", "AURC")


def study_sections(study: Numbers) -> str:
    """Every part of the study as a section of its own."""
    return "".join(
        (
            "<h2>What each part is worth</h2>",
            f'<p class="soft">All of it is judged on cases that had no part in fitting it: '
            f"{study['n']} whole answers, five folds.</p>",
            _pair(_baseline(study), _curves(study)),
            _pair(_ablation(study), _texts(study)),
            _pair(_sizes(study), _budgets(study)),
            _pair(_reliability(study), _sensitivity(study)),
            _guarantee(study),
            _shift(study),
        )
    )


def _pair(first: str, second: str) -> str:
    return f'<div class="pair"><section>{first}</section><section>{second}</section></div>'


def _section(title: str, text: str, body: str) -> str:
    return f'<h3>{escape(title)}</h3><p class="soft">{escape(text)}</p>{body}'


def _baseline(study: Numbers) -> str:
    rows = [[name, percent(value)] for name, value in study["baseline"].items()]
    text = "Nothing is deferred."
    return _section("Without uncertainty", text, table(["who answers", "right"], rows))


def _curves(study: Numbers) -> str:
    curves = dict(study["risk_coverage"])
    deferred = curves.pop("deferred")
    lines, lowest = [], 1.0
    for method, curve in curves.items():
        points = list(zip(deferred, curve["kept"], strict=True))
        band = list(zip(deferred, curve["low"], curve["high"], strict=True))
        lines.append(Line(SHORT[method], points, STYLES[method], band=band))
        lowest = min(lowest, *curve["low"])
    first = int(min(lowest * 10, 9)) / 10
    ticks = [round(first + at / 10, 1) for at in range(round((1 - first) * 10) + 1)]
    chart = line_chart(
        "Accuracy kept with bands",
        lines,
        Axis("deferred", [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        Axis("right", ticks),
    )
    text = "Accuracy among the accepted; the bands hold 90 % of bootstrap draws."
    return _section("How sure is that?", text, chart + _legend(curves, STYLES))


def _legend(methods: Mapping[str, Any], styles: Mapping[str, str]) -> str:
    line = '<polyline points="0,6 44,6"/>'
    return "".join(
        (
            '<ul class="legend">',
            *(
                f'<li><svg viewBox="0 0 44 12" aria-hidden="true"><g class="{styles[one]}">{line}'
                f"</g></svg><span>{escape(SHORT[one])}</span></li>"
                for one in methods
            ),
            "</ul>",
        )
    )


def _worth(found: Numbers | None) -> list[str]:
    if found is None:
        return ["–"] * len(KEPT)
    kept = found["kept_accuracy"]
    return [*(percent(kept.get(p)) for p in ("0", "20", "40")), _number(found["aurc"])]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _ablation(study: Numbers) -> str:
    rows = [[name, *_worth(found)] for name, found in study["ablation"].items()]
    text = "ALARM's combination of some stages only; kept accuracy at three shares deferred."
    return _section("Stage by stage", text, table(["stages", *KEPT], rows))


def _texts(study: Numbers) -> str:
    rows = [
        [name, *_worth(found), _number(found and found["ece"])]
        for name, found in study["texts"].items()
    ]
    text = "The learned aggregator, when a part of what was said is kept from it."
    return _section("What it learns from", text, table(["it sees", *KEPT, "ECE"], rows))


def _sizes(study: Numbers) -> str:
    rows = []
    for size, found in study["ensemble_size"].items():
        rows.append([f"{size}, vote", *_worth(found["vote"])])
        if found["learned"]:
            rows.append([f"{size}, learned", *_worth(found["learned"])])
    text = "Means over the ways to choose the members; one member alone has no disagreement."
    return _section("How many members?", text, table(["members", *KEPT], rows))


def _budgets(study: Numbers) -> str:
    budgets: Sequence[Numbers] = study["label_budget"]
    rows = [[str(one["labels"]), *_worth(one["learned"] or one["vote"])] for one in budgets]
    text = "The learned aggregator with so many labels; with none, the vote."
    return _section("What labels buy", text, table(["labels", *KEPT], rows))


def _reliability(study: Numbers) -> str:
    stages = study["stages"]
    most = max(value for found in stages.values() for point in found["points"] for value in point)
    ticks = [at / 10 for at in range(0, min(int(most * 10) + 2, 11))]
    lines = [Line("as many as was said", [(0, 0), (ticks[-1], ticks[-1])], "plain")]
    styles = STYLES | STAGE_STYLES
    lines += [
        Line(SHORT[method], found["points"], f"{styles[method]} tight", dots=True)
        for method, found in stages.items()
    ]
    chart = line_chart(
        "Share wrong against the probability stated by each stage",
        lines,
        Axis("said to be wrong", ticks),
        Axis("really wrong", ticks),
    )
    rows = [[SHORT[one], _number(f["ece"]), _number(f["brier"])] for one, f in stages.items()]
    text = "P(error) from each stage's score alone, calibrated on other cases."
    drawn = chart + _legend(stages, styles) + table(["score", "ECE", "Brier"], rows)
    return _section("Is each stage honest?", text, drawn)


def _sensitivity(study: Numbers) -> str:
    found: Mapping[str, Mapping[str, float]] = study["sensitivity"]
    percentages = list(next(iter(found.values())))
    rows = [[sigma, *(percent(kept[p]) for p in percentages)] for sigma, kept in found.items()]
    text = "Accuracy kept by ALARM where its weights were chosen for that share deferred."
    head = ["smoothing σ", *(f"{p} %" for p in percentages)]
    return _section("Threshold and smoothing", text, table(head, rows))


def _guarantee(study: Numbers) -> str:
    found = study["guarantee"]
    if not found:
        return ""
    text = (
        f"Of {found['draws']} draws of {found['labels']} labels, {percent(found['violated'])} led "
        f"to a threshold with more than {found['target']:.0%} wrong among the accepted; "
        f"{found['delta']:.0%} were allowed to. {percent(found['found'])} led to a threshold; it "
        f"accepted {percent(found['accepted'])} of the cases on average."
    )
    return _section("Does the guarantee hold?", text, "")


def _shift(study: Numbers) -> str:
    if not study["shift"]:
        return ""
    rows = [
        [
            kind,
            str(one["n"]),
            percent(one["vote"]),
            percent(one["learned"]),
            _number(one["p_value"]),
            "yes" if one["recognised"] else "no",
            "learned" if one["decides"] == LEARNED else "vote",
            percent(one["accuracy"]),
        ]
        for kind, one in study["shift"].items()
    ]
    head = ["kind", "cases", "vote", "learned", "p", "recognised", "decides", "right"]
    text = "Each kind of case as if it had never been seen: fitted on all others."
    return _section("What a shift does", text, table(head, rows))
