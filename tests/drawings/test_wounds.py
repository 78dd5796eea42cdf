"""Drawn wounds: one seed, one picture; and controls that do what their names say."""

import time
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.drawings import WOUND_LABELS, draw_wound, wound_cover
from inference.pipeline.domains import load_domain

SIZE = 160
SEEDS = range(4)
LABELS = pytest.mark.parametrize("label", WOUND_LABELS)


def luminance(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture.convert("L"), np.float64)


def extent(cover: NDArray[np.floating]) -> float:
    """Length of the wound: the diagonal of the box around it, in pixels."""
    rows, columns = np.nonzero(cover > 0.5)
    return float(np.hypot(np.ptp(rows), np.ptp(columns)))


def test_every_label_of_the_domain_can_be_drawn() -> None:
    assert set(WOUND_LABELS) == set(load_domain("wound").label_ids)


@LABELS
def test_the_same_seed_gives_the_same_pixels(label: str) -> None:
    first, again = (draw_wound(7, label, size=SIZE).tobytes() for _ in range(2))
    assert first == again


@LABELS
def test_different_seeds_give_different_pictures(label: str) -> None:
    pictures = [luminance(draw_wound(seed, label, size=SIZE)) for seed in SEEDS]
    for one, other in pairwise(pictures):
        assert np.abs(one - other).mean() > 3


def test_labels_of_one_seed_differ() -> None:
    assert len({draw_wound(1, label, size=SIZE).tobytes() for label in WOUND_LABELS}) == 7


@pytest.mark.parametrize("size", [96, 160, 333, 640])
def test_pictures_have_the_asked_size(size: int) -> None:
    picture = draw_wound(3, "Burns", size=size)
    assert (picture.size, picture.mode) == ((size, size), "RGB")


@LABELS
def test_darkness_darkens_the_wound(label: str) -> None:
    for seed in SEEDS:
        cover = wound_cover(seed, label, size=SIZE, darkness=0.5) > 0.5
        shades = [
            luminance(draw_wound(seed, label, size=SIZE, darkness=dark))[cover].mean()
            for dark in (0.0, 0.5, 1.0)
        ]
        assert shades[0] > shades[1] > shades[2], (seed, shades)


@LABELS
def test_area_enlarges_the_wound(label: str) -> None:
    for seed in SEEDS:
        areas = [wound_cover(seed, label, size=SIZE, area=area).sum() for area in (0.0, 0.5, 1.0)]
        assert areas[0] < areas[1] < areas[2], (seed, areas)
        assert areas[2] > 1.2 * areas[0]


@LABELS
def test_length_stretches_the_wound(label: str) -> None:
    longer = [
        extent(wound_cover(seed, label, size=SIZE, length=1.0))
        / extent(wound_cover(seed, label, size=SIZE, length=0.0))
        for seed in range(6)
    ]
    assert np.median(longer) > 1.15, longer


@LABELS
def test_controls_leave_the_rest_of_the_picture_alone(label: str) -> None:
    fresh, dark = (draw_wound(2, label, size=SIZE, darkness=dark) for dark in (0.2, 0.8))
    corner = (0, 0, SIZE // 10, SIZE // 10)
    assert fresh.crop(corner).tobytes() == dark.crop(corner).tobytes()


@LABELS
def test_the_wound_lies_inside_the_picture(label: str) -> None:
    for seed in range(12):
        cover = wound_cover(seed, label, size=96)
        assert 0 <= cover.min() <= cover.max() <= 1
        assert 0.0005 < cover.mean() < 0.5, seed


def test_a_blend_shows_both_kinds() -> None:
    both = luminance(draw_wound(5, "Bruises", size=SIZE, blend="Cut"))
    plain = luminance(draw_wound(5, "Bruises", size=SIZE))
    assert np.abs(both - plain).max() > 30
    cover = wound_cover(5, "Bruises", size=SIZE, blend="Cut").sum()
    assert cover >= wound_cover(5, "Bruises", size=SIZE).sum()


@pytest.mark.parametrize("label", [one for one in WOUND_LABELS if one != "Ingrown Nails"])
def test_an_ingrown_nail_can_be_blended_with_any_kind(label: str) -> None:
    for pair in ((label, "Ingrown Nails"), ("Ingrown Nails", label)):
        assert draw_wound(1, pair[0], size=96, blend=pair[1]).size == (96, 96)


@pytest.mark.parametrize(
    "wrong", [{"label": "Scratch"}, {"label": "Cut", "blend": "Scratch"}, {"darkness": 1.5}]
)
def test_what_cannot_be_drawn_is_refused(wrong: dict[str, str | float]) -> None:
    with pytest.raises(ValueError, match=r"Unknown label|between 0 and 1"):
        draw_wound(1, **({"label": "Cut"} | wrong))  # type: ignore[arg-type]


def test_skin_comes_in_many_tones() -> None:
    rows = slice(SIZE // 2 - 10, SIZE // 2 + 10)
    shades = [
        luminance(draw_wound(seed, "Stab Wound", size=SIZE))[rows].mean() for seed in range(16)
    ]
    assert max(shades) - min(shades) > 60


def test_a_picture_is_drawn_quickly() -> None:
    """In processor time, so that a busy machine does not count; the aim is 0.15 s."""
    start = time.process_time()
    for label in WOUND_LABELS:
        draw_wound(1, label)
    assert (time.process_time() - start) / len(WOUND_LABELS) < 0.45
