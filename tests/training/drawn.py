"""Small labelled folders of made-up pictures, and the settings of a training on them."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inference.training.settings import Settings

Row = Mapping[str, str]


def scene(seed: int) -> Image.Image:
    """Coloured boxes on skin, 90 x 90; another seed looks nothing alike."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (90, 90), (200, 150, 130))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, side = rng.integers(0, 80, 3).tolist()
        red, green, blue = rng.integers(0, 255, 3).tolist()
        draw.rectangle((x, y, x + side // 3, y + side // 4), fill=(red, green, blue))
    return picture


def make_folder(
    folder: Path, rows: Sequence[Row], pictures: Sequence[Image.Image] | None = None
) -> Path:
    """A folder with labels.csv of these rows and a picture for each, a scene by default."""
    (folder / "images").mkdir(parents=True)
    shown = pictures or [scene(seed) for seed in range(len(rows))]
    for row, picture in zip(rows, shown, strict=True):
        picture.save(folder / "images" / row["file"])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def small_settings(work: Path, folds: int = 0, **folders: Path) -> Settings:
    """Settings with one augmentation, one drawing a label and three members; a folder a domain."""
    settings = Settings(data=tuple(folders.items()), work=work, folds=folds)
    return replace(settings, augmentations=1, drawings=1)
