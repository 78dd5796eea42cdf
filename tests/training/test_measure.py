"""Pixel measurements say what is on the picture."""

from dataclasses import astuple

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from inference.training.measure import (
    NAMES,
    Measurements,
    levels,
    measure,
    measure_all,
    thresholds,
)
from inference.training.patches import draw_patch

SKIN = (222, 178, 158)
SEEDS = range(4)


def wound(
    box: tuple[int, int, int, int], colour: tuple[int, int, int] = (150, 30, 35)
) -> Image.Image:
    picture = Image.new("RGB", (320, 320), SKIN)
    ImageDraw.Draw(picture).ellipse(box, fill=colour)
    return picture


def patch(seed: int, **changed: float) -> Measurements:
    known = {"size": 0.15, "length": 1.0, "darkness": 0.2} | changed
    return measure(draw_patch(seed, **known))


def tinted(picture: Image.Image, red: float, blue: float) -> Image.Image:
    scaled = np.asarray(picture) * np.array([red, 1.0, blue])
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))


ROUND = (120, 120, 200, 200)


def test_there_are_eight_numbers() -> None:
    assert NAMES == (
        "area",
        "length",
        "edge",
        "texture",
        "darkness",
        "redness",
        "warmth",
        "colour",
    )


def test_colours_are_those_of_cielab() -> None:
    red = measure(Image.new("RGB", (60, 40), (255, 0, 0)))
    assert red.darkness == pytest.approx(100 - 53.24, abs=0.1)
    assert red.redness == pytest.approx(80.1, abs=0.2)
    assert red.warmth == pytest.approx(67.2, abs=0.2)
    assert red.colour == pytest.approx(104.55, abs=0.3)
    grey = measure(Image.new("RGB", (60, 40), (119, 119, 119)))
    assert grey.darkness == pytest.approx(50, abs=0.3)
    assert (grey.redness, grey.warmth, grey.colour) == pytest.approx((0, 0, 0), abs=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_patch_has_more_area_and_more_length(seed: int) -> None:
    small, large = patch(seed, size=0.1), patch(seed, size=0.25)
    assert large.area > 2 * small.area
    assert large.length > 1.3 * small.length


@pytest.mark.parametrize("seed", SEEDS)
def test_a_narrower_patch_of_the_same_area_is_longer(seed: int) -> None:
    short, long = patch(seed), patch(seed, length=5.0)
    assert long.area == pytest.approx(short.area, rel=0.5)
    assert long.length > 1.2 * short.length


@pytest.mark.parametrize("seed", SEEDS)
def test_a_darker_patch_is_darker_and_less_red(seed: int) -> None:
    bright, dark = patch(seed, size=0.25, darkness=0.0), patch(seed, size=0.25, darkness=1.0)
    assert dark.darkness > bright.darkness + 5
    assert bright.redness > dark.redness + 5
    assert bright.colour > dark.colour


@pytest.mark.parametrize("seed", SEEDS)
def test_less_blue_is_warmer_and_more_red_is_redder(seed: int) -> None:
    plain = draw_patch(seed, size=0.15, length=1.0, darkness=0.5)
    before = measure(plain)
    warmer = measure(tinted(plain, 1.0, 0.75))
    assert warmer.warmth > before.warmth + 4
    assert warmer.warmth - before.warmth > abs(warmer.redness - before.redness)
    redder = measure(tinted(plain, 1.2, 1.0))
    assert redder.redness > before.redness + 4


def test_area_and_shape() -> None:
    small, large = measure(wound(ROUND)), measure(wound((90, 90, 230, 230)))
    assert small.area == pytest.approx(np.pi * 40**2 / 320**2, abs=0.06)
    assert large.area > 2 * small.area
    assert small.length == pytest.approx(80 / 320, abs=0.15)
    assert measure(wound((60, 150, 260, 170))).length > 1.3 * small.length


def test_a_slanted_mark_is_as_long_as_a_level_one() -> None:
    level = wound((60, 140, 260, 180))
    slanted = measure(level.rotate(45, fillcolor=SKIN)).length
    assert slanted == pytest.approx(measure(level).length, rel=0.15)


def test_the_middle_counts_more_than_the_rim() -> None:
    def darkened(left: int) -> float:
        picture = Image.new("RGB", (96, 96), "white")
        picture.paste((0, 0, 0), (left, left, left + 24, left + 24))
        return measure(picture).darkness

    assert darkened(36) > 3 * darkened(0) > 0


def test_tone_and_colour() -> None:
    plain = measure(wound(ROUND))
    darker = measure(ImageEnhance.Brightness(wound(ROUND)).enhance(0.5))
    assert darker.darkness > plain.darkness + 10
    assert plain.redness > measure(wound(ROUND, (120, 90, 60))).redness + 1


def test_outlines_are_edges_by_their_contrast_and_their_length() -> None:
    plain = measure(wound(ROUND)).edge
    assert measure(wound(ROUND, (190, 120, 110))).edge < 0.6 * plain
    assert measure(wound((90, 90, 230, 230))).edge > 1.3 * plain
    striped = wound(ROUND)
    for left in range(0, 320, 32):
        striped.paste((150, 30, 35), (left, 0, left + 16, 320))
    washed_out = striped.filter(ImageFilter.GaussianBlur(12))
    assert measure(striped).edge > 3 * plain
    assert measure(washed_out).edge < 0.4 * measure(striped).edge


def test_grain_is_texture() -> None:
    sharp = wound(ROUND)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 40, (320, 320, 1)) * (np.asarray(sharp)[..., :1] < 200)
    grain = Image.fromarray((np.asarray(sharp) + noise).clip(0, 255).astype(np.uint8))
    assert measure(grain).texture > 1.1 * measure(sharp).texture
    blurred = sharp.filter(ImageFilter.GaussianBlur(12))
    assert measure(sharp).texture > 1.2 * measure(blurred).texture


def test_a_blank_picture_still_has_measurements() -> None:
    blank = measure(Image.new("RGB", (50, 80), SKIN))
    assert np.isfinite(astuple(blank)).all()
    assert blank.area < 0.01
    assert blank.length < 0.1
    assert (blank.edge, blank.texture) == pytest.approx((0.0, 0.0), abs=1e-3)


def test_several_pictures_give_a_row_each() -> None:
    pictures = [wound(ROUND), Image.new("RGB", (50, 80), SKIN)]
    rows = measure_all(pictures)
    assert rows.tolist() == [list(astuple(measure(one))) for one in pictures]
    assert rows[0, NAMES.index("area")] == measure(pictures[0]).area


def test_levels_are_terciles() -> None:
    measured = np.repeat(np.arange(9.0)[:, None], len(NAMES), axis=1)
    measured[:, 1] *= -1
    borders = thresholds(measured)
    assert borders.shape == (len(NAMES), 2)
    found = levels(measured, borders)
    assert found[:, 0].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert found[:, 1].tolist() == [2] * 3 + [1] * 3 + [0] * 3


def test_a_border_itself_is_still_low_and_any_shape_will_do() -> None:
    measured = np.array([[[1.0, 5.0]], [[2.0, 6.0]]])
    borders = np.array([[1.0, 2.0], [4.0, 5.5]])
    assert levels(measured, borders).tolist() == [[[0, 1]], [[1, 2]]]
