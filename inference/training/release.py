"""Writing the shipped members: checkpoints, cards, references of the familiar, members.toml."""

import json
import shutil
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.backends.registry import folder_fingerprint
from inference.training.albums import Album
from inference.training.course import Course, Pupil
from inference.training.features import EYE, eye_features
from inference.training.settings import EVERYTHING, FRAMES, OPTIONS
from inference.training.tokens import image_processor
from inference.training.towers import build_tower
from inference.uq.novelty import Reference, fit_reference

CARD, EYE_CARD = "card.md", "eye.md"
UNMEASURED = "Not measured: this member was trained without cross-validation."


def release_members(course: Course, out: Path, measured: dict[str, Any]) -> None:
    """Copy each member's final checkpoint to `out`, with all that lies beside the members."""
    out.mkdir(parents=True, exist_ok=True)
    for name in course.settings.members:
        source = Pupil(course, name, EVERYTHING).folder
        target = out / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("done", "out-of-fold.json"))
        (target / "README.md").write_text(model_card(course, name, measured), encoding="utf-8")
    eye = release_eye(out)
    for album in course.albums:
        reference(album, eye).save(out / f"{album.domain.id}-reference.npz")
    (out / "members.toml").write_text(members_file(course), encoding="utf-8")


def release_eye(out: Path) -> str:
    """Write the eye to out/eye; returns its fingerprint."""
    folder = out / "eye"
    shutil.rmtree(folder, ignore_errors=True)
    build_tower(EYE).half().save_pretrained(folder)
    image_processor().save_pretrained(folder)
    shutil.copy(Path(__file__).with_name(EYE_CARD), folder / "README.md")
    return folder_fingerprint(folder)


def reference(album: Album, eye: str) -> Reference:
    """The familiar pictures of a domain, as the eye with this fingerprint sees them.

    Drawings are familiar too: they were learned from, each as a group of its own. How far familiar
    pictures are from each other is measured on those of which others show the same kind of view.
    """
    galleries = [album.gallery, album.drawn_gallery] if album.drawings else [album.gallery]
    seen = [eye_features(gallery) for gallery in galleries]
    drawn = len(seen[-1]) if album.drawings else 0
    groups = np.concatenate([album.groups, album.groups.max() + 1 + np.arange(drawn)])
    measured = np.concatenate([shared_views(album), np.zeros(drawn, dtype=bool)])
    return fit_reference(
        np.concatenate(seen),
        groups,
        measured=measured,
        threshold=album.words.familiar,
        eye=eye,
    )


def shared_views(album: Album) -> NDArray[np.bool_]:
    """Which pictures (n,) are of a source that many rooms or people share; all if none is."""
    shared = np.array([one.source not in album.small_sources for one in album.pictures])
    return shared if shared.any() else ~shared


def members_file(course: Course) -> str:
    """Content of members.toml: a line a member."""
    said = OPTIONS | {"frames": FRAMES}
    options = ", ".join(f"{key} = {json.dumps(value)}" for key, value in said.items())
    domains = json.dumps([album.domain.id for album in course.albums])
    lines = [
        f'{name} = {{ model = "{name}", domains = {domains}, options = {{ {options} }} }}'
        for name in course.settings.members
    ]
    head = "# A line a member: a folder beside this file, or a Hugging Face hub id.\n[members]\n"
    return head + "\n".join(lines) + "\n"


def model_card(course: Course, name: str, measured: dict[str, Any]) -> str:
    """The README.md of one member."""
    template = Template(resources.files(__package__).joinpath(CARD).read_text(encoding="utf-8"))
    settings, albums = course.settings, course.albums
    return template.substitute(
        name=name,
        domains=" and ".join(one.domain.title.lower() for one in albums),
        labels="\n".join(f"- {one.domain.id}: {', '.join(one.label_ids)}" for one in albums),
        data="\n".join(
            f"- {one.domain.id}: {len(one)} pictures, {len(one.drawings)} drawings"
            for one in albums
        ),
        width=settings.shape.width,
        layers=settings.shape.layers,
        results=results(name, measured) if measured else UNMEASURED,
    )


def results(name: str, measured: dict[str, Any]) -> str:
    """The measured numbers of one member and of the vote, as a Markdown table."""
    domains = [key for key, value in measured.items() if isinstance(value, dict) and "n" in value]
    kept = {key: measured[key]["kept_accuracy"]["cold_start"] for key in domains}
    rows = [
        ["", *domains],
        ["---", *("---" for _ in domains)],
        ["pictures", *(str(measured[key]["n"]) for key in domains)],
        [f"accuracy of {name}", *(_own(measured[key]["members"][name]) for key in domains)],
        ["accuracy of the vote", *(_of_vote(measured[key]) for key in domains)],
        ["balanced accuracy", *(f"{measured[key]['balanced_accuracy']:.3f}" for key in domains)],
        ["valid JSON", *(f"{measured[key]['json_validity']:.1%}" for key in domains)],
        [
            "vote, kept at 10 / 20 / 30 / 40 % deferred",
            *(
                " / ".join(f"{kept[key][share]:.3f}" for share in ("10", "20", "30", "40"))
                for key in domains
            ),
        ],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _own(one: dict[str, Any]) -> str:
    return _with_interval(one["accuracy"], one["interval"])


def _of_vote(one: dict[str, Any]) -> str:
    return _with_interval(one["accuracy"], one["accuracy_interval"])


def _with_interval(value: float, interval: list[float] | None) -> str:
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
