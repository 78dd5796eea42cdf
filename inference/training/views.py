"""Augmented pictures and the views of each that a member looks at."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

SIDE = 224  # input of each tower, a multiple of 32
BASE = 384  # augmented pictures are made at this size, then cropped and scaled like any upload
CROPS = (0.8, 0.6)  # centre crops shown beside the whole picture, in training and in members.toml


def augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A randomly cropped, turned, mirrored and recoloured version, BASE x BASE."""
    image = _random_crop(image, rng)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if rng.random() < 0.4:
        image = image.rotate(90 * int(rng.integers(1, 4)))
    for enhancer, spread in (
        (ImageEnhance.Brightness, 0.3),
        (ImageEnhance.Contrast, 0.25),
        (ImageEnhance.Color, 0.3),
    ):
        image = enhancer(image).enhance(1.0 + spread * float(rng.uniform(-1.0, 1.0)))
    return image


def _random_crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    scale = np.sqrt(rng.uniform(0.6, 1.0))
    ratio = np.sqrt(rng.uniform(0.8, 1.25))
    width = int(image.width * min(1.0, scale * ratio))
    height = int(image.height * min(1.0, scale / ratio))
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    box = (left, top, left + width, top + height)
    return image.resize((BASE, BASE), Image.Resampling.BILINEAR, box=box)


def versions(image: Image.Image, count: int, seed: int) -> list[Image.Image]:
    """The picture itself and `count` augmented versions of it; the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [image, *(augment(image, rng) for _ in range(count))]


def pixels(views: list[Image.Image]) -> NDArray[np.float32]:
    """Pictures as (n, 3, SIDE, SIDE) in [-1, 1], scaled as the members' image processor does."""
    scaled = [np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for one in views]
    return (np.stack(scaled).transpose(0, 3, 1, 2).astype(np.float32) / 127.5) - 1.0
