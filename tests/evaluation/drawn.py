"""Small folders of drawn pictures, members that follow a script, embeddings without a model."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inference.backends.scripted import picture_hash
from inference.drawings import draw_room
from inference.evaluation.asking import read_pictures
from inference.evaluation.folder import LabelledFile
from inference.uq.types import Floats

LABELS = ("Burns", "Cut", "Bruises")
NAMES = ("one", "two", "three")


def draw_folder(folder: Path, count: int = 9, *, below: str = "images") -> Path:
    """`count` drawn photos in `below`, labelled in turn, with a column that nobody asked for."""
    (folder / below).mkdir(parents=True, exist_ok=True)
    lines = ["file,split,label"]
    for index in range(count):
        picture = Image.new("RGB", (64, 64), (220, 180, 160))
        spot = (index * 3, index * 2, 30 + index * 3, 24 + index * 2)
        ImageDraw.Draw(picture).ellipse(spot, fill=(150 + index, 20, 30))
        picture.save(folder / below / f"p{index}.png")
        lines.append(f"p{index}.png,test,{LABELS[index % len(LABELS)]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def draw_rooms(folder: Path, rows: Sequence[tuple[str, str, str, str]]) -> Path:
    """Drawn rooms, each (file, label, group, what is drawn), with their labels.csv."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for seed, (name, _, _, event) in enumerate(rows):
        draw_room(seed, event, size=96).save(folder / "images" / name)
    lines = [",".join(row[:3]) for row in rows]
    (folder / "labels.csv").write_text("\n".join(["file,label,group", *lines]) + "\n")
    return folder


def draw_clip(path: Path, events: Sequence[str]) -> Path:
    """A moving picture: a second of each drawn room."""
    frames = [draw_room(seed, event, size=96) for seed, event in enumerate(events)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000, loop=0)
    return path


def members_file(folder: Path, **options: Mapping[str, object]) -> Path:
    """Three scripted members of the wound domain; `options` by member's name."""
    return write_members(folder, "wound", options)


def write_members(folder: Path, domain: str, options: Mapping[str, Mapping[str, object]]) -> Path:
    """Three scripted members of a domain."""
    lines = ["[members]"]
    for place, name in enumerate(NAMES):
        chosen = {"place": place, "agreement": 0.6, **options.get(name, {})}
        pairs = ", ".join(f"{key} = {_toml(value)}" for key, value in chosen.items())
        lines.append(
            f'{name} = {{ backend = "scripted", domains = ["{domain}"], options = {{ {pairs} }} }}'
        )
    path = folder / "members.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def told(data: Path, labels: Mapping[str, str]) -> dict[str, object]:
    """Options of a member that says these labels of the files in `data`."""
    files = {name: LabelledFile(data / "images" / name, "") for name in labels}
    return {
        "flips": 0.0,
        "answers": {
            picture_hash(read_pictures(file)): {"label": labels[name]}
            for name, file in files.items()
        },
    }


def embed(texts: Sequence[str]) -> Floats:
    """A direction for each text; an empty one is missing."""
    return np.array([_direction(text) for text in texts])


def _toml(value: object) -> str:
    if not isinstance(value, Mapping):
        return json.dumps(value)
    pairs = ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items())
    return f"{{ {pairs} }}"


def _direction(text: str) -> Floats:
    if not text:
        return np.full(8, np.nan)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    return np.random.default_rng(seed).normal(size=8)
