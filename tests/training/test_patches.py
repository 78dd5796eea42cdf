"""Drawn patches follow their arguments, and nothing else."""

import numpy as np
import pytest

from inference.training.patches import SIDE, draw_patch


def pixels(seed: int, **known: float) -> np.ndarray:
    return np.asarray(draw_patch(seed, **known))


@pytest.mark.parametrize("seed", range(3))
def test_the_same_arguments_give_the_same_pixels(seed: int) -> None:
    first = pixels(seed)
    assert first.shape == (SIDE, SIDE, 3)
    assert (first == pixels(seed)).all()
    assert (first != pixels(seed + 1)).any()
    known = {"size": 0.2, "length": 2.0, "darkness": 0.5}
    assert (pixels(seed, **known) == pixels(seed, **known)).all()
    assert (first != pixels(seed, **known)).any()


@pytest.mark.parametrize("seed", range(3))
def test_what_is_set_changes_the_patch_and_not_the_skin(seed: int) -> None:
    known = {"size": 0.12, "length": 1.0, "darkness": 0.2}
    plain = pixels(seed, **known)
    for name, value in (("size", 0.2), ("length", 3.0), ("darkness", 0.9)):
        other = pixels(seed, **known | {name: value})
        assert (other[:30, :30] == plain[:30, :30]).all()
        assert (other != plain).any()


def test_what_is_not_set_is_drawn_over_its_range() -> None:
    middles = np.array([pixels(seed)[160, 160].astype(int) for seed in range(24)])
    assert len({tuple(one) for one in middles.tolist()}) == 24
    assert middles[:, 0].min() < 90 < 140 < middles[:, 0].max()
    assert (middles[:, 0] > middles[:, 1]).mean() > 0.9
