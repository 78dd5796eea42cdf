"""How far a picture is from the familiar ones, and what share of them is nearer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.uq.novelty import (
    NEAREST,
    Reference,
    Vectors,
    distance,
    fit_reference,
    unit_rows,
)

D = 16


def familiar(n: int = 300, seed: int = 0, spread: float = 0.3) -> Vectors:
    """n vectors around one direction."""
    rng = np.random.default_rng(seed)
    centre = np.random.default_rng(99).normal(size=D)
    return (centre + spread * rng.normal(size=(n, D))).astype(np.float32)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return fit_reference(familiar(), np.arange(300))


def test_the_distance_is_the_mean_of_the_three_nearest() -> None:
    rows = unit_rows(np.array([[1, 0], [1, 1], [0, 1], [-1, 0]], np.float32))
    apart = distance(rows[0], rows, np.arange(4))
    assert apart == pytest.approx((0 + (1 - np.sqrt(0.5)) + 1) / 3, abs=1e-6)


def test_each_of_the_nearest_is_of_another_group() -> None:
    near = np.repeat(np.array([[1.0, 0.0]], np.float32), 5, axis=0)
    far = np.array([[0, 1], [-1, 0]], np.float32)
    rows = np.concatenate([near, far])
    assert distance(near[0], rows, np.arange(7)) == pytest.approx(0)
    of_one = np.array([0, 0, 0, 0, 0, 1, 2])
    assert distance(near[0], rows, of_one) == pytest.approx((0 + 1 + 2) / 3)


def test_fewer_than_three_groups_make_nothing_familiar() -> None:
    rows = unit_rows(familiar(10))
    assert distance(rows[0], rows, np.zeros(10, np.int64)) == np.inf
    assert distance(rows[0], rows, np.arange(10) % (NEAREST - 1)) == np.inf
    assert distance(rows[0], rows[:0], np.arange(0)) == np.inf


def test_novelty_is_the_share_of_familiar_pictures_that_are_nearer(reference: Reference) -> None:
    fresh = np.array([reference.novelty(row) for row in familiar(400, seed=1)])
    assert ((fresh >= 0) & (fresh <= 1)).all()
    assert fresh.mean() == pytest.approx(0.5, abs=0.06)
    assert (fresh > 0.9).mean() == pytest.approx(0.1, abs=0.04)


def test_what_is_unlike_all_is_wholly_novel(reference: Reference) -> None:
    strange = np.random.default_rng(5).normal(size=D).astype(np.float32)
    assert reference.novelty(strange) == 1.0
    assert reference.novelty(-familiar(1)[0]) == 1.0


def test_the_length_of_a_vector_says_nothing(reference: Reference) -> None:
    row = familiar(1, seed=3)[0]
    assert reference.novelty(7 * row) == pytest.approx(reference.novelty(row), abs=1e-4)


def test_the_nearer_of_two_sets_counts(reference: Reference) -> None:
    strange = np.random.default_rng(5).normal(size=D).astype(np.float32)
    noise = np.random.default_rng(6).normal(size=(NEAREST, D))
    like_it = (strange + 0.01 * noise).astype(np.float32)
    assert reference.novelty(strange, like_it) < 0.5
    assert reference.novelty(strange, like_it[:2]) == 1.0, "two cases make nothing familiar"
    assert reference.novelty(strange, like_it[:0]) == 1.0
    row = familiar(1, seed=3)[0]
    assert reference.novelty(row, -like_it) == reference.novelty(row)


@pytest.mark.parametrize("broken", [np.full(D, np.nan), np.zeros(D)])
def test_what_is_no_number_has_no_novelty(reference: Reference, broken: Vectors) -> None:
    assert np.isnan(reference.novelty(broken.astype(np.float32)))


def test_the_features_of_another_tower_are_refused(reference: Reference) -> None:
    with pytest.raises(ValueError, match=r"have 8 numbers, the reference 16.*Make the reference"):
        reference.novelty(np.ones(8, np.float32))


def test_the_cuts_are_measured_on_held_out_groups() -> None:
    """Copies of a picture would make every distance 0 if they helped each other."""
    rows = familiar(60)
    thrice = np.concatenate([rows, rows, rows])
    apart = fit_reference(thrice, np.tile(np.arange(60), 3))
    careless = fit_reference(thrice, np.arange(180))
    assert apart.cuts[50] > 2 * careless.cuts[50]
    assert (np.diff(apart.cuts) >= 0).all() and len(apart.cuts) == 101


def test_groups_may_have_any_numbers() -> None:
    rows = familiar(60)
    plain = fit_reference(rows, np.arange(60))
    odd = fit_reference(rows, 1000 + 7 * np.arange(60))
    assert np.allclose(plain.cuts, odd.cuts)


def test_only_what_is_measured_makes_the_cuts() -> None:
    """Strangers are familiar too, but do not tell how far familiar pictures are from each other."""
    rows = familiar(60)
    strangers = np.random.default_rng(5).normal(size=(20, D)).astype(np.float32)
    both, groups = np.concatenate([rows, strangers]), np.arange(80)
    plain, mixed = fit_reference(rows, np.arange(60)), fit_reference(both, groups)
    measured = fit_reference(both, groups, measured=groups < 60)
    assert mixed.cuts[95] > 2 * plain.cuts[95]
    assert measured.cuts[95] == pytest.approx(plain.cuts[95], rel=0.2)
    assert len(measured.vectors) == 80, "and count as familiar themselves"


def test_a_reference_survives_its_file(reference: Reference, tmp_path: Path) -> None:
    named = fit_reference(familiar(), np.arange(300), threshold=0.9, eye="ab12")
    for one in (reference, named):
        one.save(tmp_path / "reference.npz")
        again = Reference.load(tmp_path / "reference.npz")
        assert again.vectors.dtype == np.float16
        assert (again.threshold, again.eye) == (one.threshold, one.eye)
        row = familiar(1, seed=8)[0]
        assert again.novelty(row) == one.novelty(row)


def test_the_fingerprint_is_of_all_that_decides(reference: Reference, tmp_path: Path) -> None:
    reference.save(tmp_path / "reference.npz")
    assert Reference.load(tmp_path / "reference.npz").fingerprint == reference.fingerprint
    others = [
        replace(reference, threshold=0.5),
        replace(reference, eye="ab12"),
        replace(reference, cuts=reference.cuts * 2),
        replace(reference, groups=reference.groups[::-1].copy()),
        replace(reference, vectors=reference.vectors[::-1].copy()),
    ]
    assert len({reference.fingerprint, *(one.fingerprint for one in others)}) == 6


def test_a_file_that_is_no_reference_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "wrong.npz", vectors=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"wrong.npz is no reference: it lacks cuts, eye, groups"):
        Reference.load(tmp_path / "wrong.npz")


def test_a_reference_that_was_cut_off_is_named(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "short.npz"
    reference.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"short.npz is no reference"):
        Reference.load(path)


def test_too_few_or_broken_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="There are 7 groups of pictures; a reference needs 8"):
        fit_reference(familiar(70), np.arange(70) % 7)
    rows = familiar(20)
    rows[3] = 0
    with pytest.raises(ValueError, match="leave them out"):
        fit_reference(rows, np.arange(20))
