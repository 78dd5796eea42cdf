"""Writing the shipped members: checkpoints, model cards and members.toml."""

import json
import shutil
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from inference.training.course import Course, Pupil
from inference.training.settings import EVERYTHING, OPTIONS

CARD = "card.md"
UNMEASURED = "Not measured: this member was trained without cross-validation."


def release_members(course: Course, out: Path, measured: dict[str, Any] | None) -> None:
    """Copy each member's final checkpoint to `out`, with a card, and list them in members.toml."""
    out.mkdir(parents=True, exist_ok=True)
    for name in course.settings.members:
        source = Pupil(course, name, EVERYTHING).folder
        target = out / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("done", "out-of-fold.json"))
        (target / "README.md").write_text(model_card(course, name, measured), encoding="utf-8")
    (out / "members.toml").write_text(members_file(course), encoding="utf-8")


def members_file(course: Course) -> str:
    """Content of members.toml: a line a member."""
    options = ", ".join(f"{key} = {json.dumps(value)}" for key, value in OPTIONS.items())
    lines = [
        f'{name} = {{ model = "{name}", domains = ["{course.domain.id}"], '
        f"options = {{ {options} }} }}"
        for name in course.settings.members
    ]
    head = "# A line a member: a folder beside this file, or a Hugging Face hub id.\n[members]\n"
    return head + "\n".join(lines) + "\n"


def model_card(course: Course, name: str, measured: dict[str, Any] | None) -> str:
    """The README.md of one member."""
    template = Template(resources.files(__package__).joinpath(CARD).read_text(encoding="utf-8"))
    settings = course.settings
    return template.substitute(
        name=name,
        domain=course.domain.title,
        labels=", ".join(course.domain.label_ids),
        photos=len(course.photos),
        drawings=len(course.drawn_labels),
        width=settings.shape.width,
        layers=settings.shape.layers,
        results=results(name, measured) if measured else UNMEASURED,
    )


def results(name: str, measured: dict[str, Any]) -> str:
    """The measured numbers of one member and of the vote, as Markdown."""
    own, vote = measured["members"][name], measured["vote"]
    kept = measured["kept_accuracy"]["vote_entropy"]
    rows = [
        f"Grouped cross-validation, {measured['folds']} folds, {measured['n']} photos, "
        "near-twins kept in one fold, judged on the generated text:",
        "",
        "| what | value |",
        "|---|---|",
        f"| accuracy of {name} | {_with_interval(own)} |",
        f"| accuracy of the vote of {len(measured['members'])} | {_with_interval(vote)} |",
        f"| macro-F1 of the vote | {measured['macro_f1']:.3f} |",
        f"| valid JSON | {100 * measured['json_validity']:.1f} % |",
        "| vote, kept at 10 / 20 / 30 / 40 % deferred | "
        + " / ".join(f"{kept[share]:.3f}" for share in ("10", "20", "30", "40"))
        + " |",
    ]
    return "\n".join(rows)


def _with_interval(one: dict[str, Any]) -> str:
    low, high = one["interval"]
    return f"{one['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f})"
