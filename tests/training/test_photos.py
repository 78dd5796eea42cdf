"""Near-twins stay together, and folds are even."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inference.training.photos import (
    batches,
    grouped_folds,
    orientation_hashes,
    read_folder,
    twin_groups,
)


def scene(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (90, 90), (200, 150, 130))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, side = rng.integers(0, 80, 3)
        draw.rectangle((x, y, x + side // 3, y + side // 4), fill=tuple(rng.integers(0, 255, 3)))
    return picture


def hashes(*pictures: Image.Image) -> np.ndarray:
    return np.stack([orientation_hashes(one) for one in pictures])


def test_a_turned_or_mirrored_copy_is_a_near_twin() -> None:
    first = scene(1)
    turned = first.rotate(90).resize((70, 70))
    mirrored = first.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    groups = twin_groups(hashes(first, scene(2), turned, mirrored), np.eye(4, dtype=np.float32))
    assert groups[0] == groups[2] == groups[3]
    assert groups[1] != groups[0]


def test_like_features_make_near_twins_through_a_chain() -> None:
    near = np.array([[1, 0], [0.93, 0.37], [0.73, 0.68], [-1, 0]], dtype=np.float32)
    groups = twin_groups(hashes(*(scene(seed) for seed in range(4))), near)
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_folds_keep_groups_whole_and_labels_even() -> None:
    labels = ["a"] * 30 + ["b"] * 12
    groups = np.array([index // 3 for index in range(42)])
    folds = grouped_folds(labels, groups, 3, seed=4)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups.tolist()))
    for label, share in (("a", 10), ("b", 4)):
        counts = np.bincount(folds[np.array(labels) == label], minlength=3)
        assert abs(counts - share).max() <= 3
    assert (folds == grouped_folds(labels, groups, 3, seed=4)).all()


def test_batches_cover_an_epoch_once() -> None:
    seen = np.concatenate(list(batches(10, 3, np.random.default_rng(0))))
    assert len(seen) == len(set(seen.tolist())) == 9
    assert [len(one) for one in batches(2, 8, np.random.default_rng(0))] == [2]


def test_a_folder_is_read_with_pictures_beside_or_below(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    scene(0).save(tmp_path / "images" / "x.png")
    scene(1).save(tmp_path / "y.png")
    (tmp_path / "labels.csv").write_text("file,label,note\nx.png,Cut,\ny.png,Burns,\n")
    photos = read_folder(tmp_path)
    assert [(one.index, one.label, one.image().size) for one in photos] == [
        (0, "Cut", (90, 90)),
        (1, "Burns", (90, 90)),
    ]
    (tmp_path / "y.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"y\.png"):
        read_folder(tmp_path)
