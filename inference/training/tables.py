"""The measured numbers as Markdown, as docs/ensemble.md holds them.

python -m inference.training.tables [measured.json]
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).parents[1] / "members" / "measured.json"
KEPT = {
    "vote_entropy": "vote entropy",
    "cold_start": "votes and reasonings (decides at first)",
    "alarm": "ALARM: S1, S2, S3 weighed",
}

Numbers = dict[str, Any]


def tables(measured: Numbers) -> str:
    """All tables, one after another."""
    domains = {key: one for key, one in measured.items() if isinstance(one, dict) and "n" in one}
    parts = [_answers(domains), _kept(domains)]
    parts += [_sources(one) for one in domains.values() if one["whole_sources"]]
    parts += [_texts(domains), _reflection(domains)]
    return "\n\n".join(parts) + "\n"


def _answers(domains: Numbers) -> str:
    rows = [
        ("pictures, groups", *(f"{one['n']}, {one['groups']}" for one in domains.values())),
        ("**vote**, judged as below", *(_rate(one, "accuracy") for one in domains.values())),
        ("over the folds", *(_spread(one, "accuracy") for one in domains.values())),
        ("label of the vote", *(f"{one['label_accuracy']:.3f}" for one in domains.values())),
        ("balanced accuracy", *(f"{one['balanced_accuracy']:.3f}" for one in domains.values())),
    ]
    names = list(next(iter(domains.values()))["members"])
    for name in names:
        own = (one["members"][name] for one in domains.values())
        rows.append((name, *(_interval(one["accuracy"], one["interval"]) for one in own)))
    rows.append(("valid JSON", *(f"{one['json_validity']:.1%}" for one in domains.values())))
    return _table(["", *domains], rows)


def _kept(domains: Numbers) -> str:
    shares = ("0", "10", "20", "30", "40")
    rows = [
        (f"{key}, by {title}", *(f"{one['kept_accuracy'][name][share]:.3f}" for share in shares))
        for key, one in domains.items()
        for name, title in KEPT.items()
        if name in one["kept_accuracy"]
    ]
    return _table(["kept accuracy", *(f"{share} % deferred" for share in shares)], rows)


def _sources(one: Numbers) -> str:
    novel, whole = one.get("unfamiliar", {}), one["whole_sources"]
    rows = [
        (
            name,
            str(whole[name]["n"]) if name in whole else "-",
            _or_dash(whole[name]["accuracy"] if name in whole else None),
            _or_dash(novel.get(name)),
        )
        for name in sorted(novel.keys() | whole.keys())
    ]
    return _table(["source left out", "pictures", "right", "unfamiliar"], rows)


def _texts(domains: Numbers) -> str:
    rows = []
    for key, one in domains.items():
        found = one["texts"]
        seen = {name: share for name, share in found["grounded"].items() if name != "mean"}
        each = ", ".join(f"{name} {share:.2f}" for name, share in seen.items())
        mean = f"{found['grounded']['mean']:.2f}"
        named, repeats = f"{found['names_its_label']:.1%}", f"{found['repeats']:.1%}"
        rows.append((key, mean, each, named, repeats))
    heads = ["", "words agree with the pixels", "each", "reasoning names its label", "repeats"]
    return _table(heads, rows)


def _reflection(domains: Numbers) -> str:
    rows = []
    for key, one in domains.items():
        found = one["reflection"]
        changes = f"{found['changed']} of {found['of']}"
        became = f"{found['to_right']}, {found['to_wrong']}"
        rows.append((key, changes, became, _or_dash(found["auroc"])))
    heads = ["", "labels changed", "to right, to wrong", "AUROC of P(flip) for the vote's errors"]
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rate(one: Numbers, name: str) -> str:
    return _interval(one[name], one[f"{name}_interval"])


def _interval(value: float, bounds: Sequence[float] | None) -> str:
    return f"{value:.3f}" + (f" ({bounds[0]:.2f} to {bounds[1]:.2f})" if bounds else "")


def _spread(one: Numbers, name: str) -> str:
    found = one["splits"][name]
    return f"{found['mean']:.3f} ± {found['sd']:.3f}"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else MEASURED
    sys.stdout.write(tables(json.loads(path.read_text(encoding="utf-8"))))
