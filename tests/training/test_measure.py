"""Pixel measurements say what is on the picture."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from inference.training.measure import NAMES, Measurements, levels, measure, thresholds

SKIN = (222, 178, 158)


def wound(
    box: tuple[int, int, int, int], colour: tuple[int, int, int] = (150, 30, 35)
) -> Image.Image:
    picture = Image.new("RGB", (320, 320), SKIN)
    ImageDraw.Draw(picture).ellipse(box, fill=colour)
    return picture


ROUND = (120, 120, 200, 200)


def test_area_and_shape() -> None:
    small, large = measure(wound(ROUND)), measure(wound((90, 90, 230, 230)))
    assert small.area == pytest.approx(np.pi * 40**2 / 320**2, abs=0.04)
    assert large.area > 2 * small.area
    assert measure(wound((60, 150, 260, 170))).elongation > 3 > 1.3 > small.elongation >= 1


def test_tone_and_colour() -> None:
    plain = measure(wound(ROUND))
    darker = measure(ImageEnhance.Brightness(wound(ROUND)).enhance(0.5))
    assert darker.darkness > plain.darkness + 10
    assert plain.redness > measure(wound(ROUND, (120, 90, 60))).redness + 10


def test_edge_and_texture() -> None:
    sharp = wound(ROUND)
    blurred = sharp.filter(ImageFilter.GaussianBlur(12))
    assert measure(sharp).edge > 1.5 * measure(blurred).edge
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 40, (320, 320, 1)) * (np.asarray(sharp)[..., :1] < 200)
    grain = Image.fromarray((np.asarray(sharp) + noise).clip(0, 255).astype(np.uint8))
    assert measure(grain).texture > measure(sharp).texture


def test_a_blank_picture_still_has_measurements() -> None:
    blank = measure(Image.new("RGB", (50, 80), SKIN))
    assert all(np.isfinite(getattr(blank, name)) for name in NAMES)
    assert isinstance(blank, Measurements)


def test_levels_are_terciles() -> None:
    measured = np.repeat(np.arange(9.0)[:, None], 6, axis=1)
    found = levels(measured, thresholds(measured))
    assert found[:, 0].tolist() == [0] * 3 + [1] * 3 + [2] * 3
