"""Small folders of drawn photos, members that follow a script, and embeddings without a model."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inference.uq.types import Floats

LABELS = ("Burns", "Cut", "Bruises")


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


def members_file(folder: Path, **options: dict[str, object]) -> Path:
    """Three scripted members of the wound domain; `options` by member's name."""
    lines = ["[members]"]
    for place, name in enumerate(("one", "two", "three")):
        chosen = {"place": place, "agreement": 0.6} | options.get(name, {})
        pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in chosen.items())
        lines.append(
            f'{name} = {{ backend = "scripted", domains = ["wound"], options = {{ {pairs} }} }}'
        )
    path = folder / "members.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def embed(texts: Sequence[str]) -> Floats:
    """A direction for each text; an empty one is missing."""
    return np.array([_direction(text) for text in texts])


def _direction(text: str) -> Floats:
    if not text:
        return np.full(8, np.nan)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    return np.random.default_rng(seed).normal(size=8)
