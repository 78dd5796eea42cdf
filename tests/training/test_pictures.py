"""A folder is read row by row, near-twins stay together, and folds are even."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.training.pictures import (
    Picture,
    batches,
    grouped_folds,
    orientation_hashes,
    read_folder,
    twin_groups,
)
from tests.training.drawn import make_folder, scene

IDS = ("fall", "person")
EVENTS = {"collapse_outdoor": "fall", "sitting": "person"}


def hashes(*pictures: Image.Image) -> np.ndarray:
    return np.stack([orientation_hashes(one) for one in pictures])


def test_a_folder_is_read_with_pictures_beside_or_below(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    scene(0).save(tmp_path / "images" / "x.png")
    scene(1).save(tmp_path / "y.png")
    (tmp_path / "labels.csv").write_text("file,label,note\nx.png,fall,\ny.png,person,\n")
    pictures = read_folder(tmp_path, IDS)
    assert pictures == (
        Picture(0, tmp_path / "images" / "x.png", "fall"),
        Picture(1, tmp_path / "y.png", "person"),
    )
    assert pictures[1].image().tobytes() == scene(1).tobytes()
    (tmp_path / "y.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"y\.png"):
        read_folder(tmp_path, IDS)


def test_a_label_of_the_domain_goes_before_its_event(tmp_path: Path) -> None:
    rows = [
        {"file": "a.png", "label": "fall", "event": ""},
        {"file": "b.png", "label": "abnormal", "event": "collapse_outdoor"},
        {"file": "c.png", "label": "fall", "event": "sitting"},
        {"file": "d.png", "label": "normal", "event": "sitting"},
    ]
    pictures = read_folder(make_folder(tmp_path / "data", rows), IDS, EVENTS)
    assert [one.label for one in pictures] == ["fall", "fall", "fall", "person"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"file": "a.png", "label": "dancing"}], r"^a\.png: 'dancing' is none of fall, person$"),
        (
            [
                {"file": "a.png", "label": "fall", "event": "dancing"},
                {"file": "b.png", "label": "normal", "event": "dancing"},
                {"file": "c.png", "label": "normal", "event": "singing"},
            ],
            r"^b\.png: 'dancing' is none of fall, person$",
        ),
        ([{"file": "a.png", "label": "Fall", "event": ""}], r"^a\.png: 'Fall' is none of"),
    ],
)
def test_a_row_without_a_label_is_named(
    rows: list[dict[str, str]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        read_folder(make_folder(tmp_path / "data", rows), IDS, EVENTS)


def test_an_event_says_nothing_where_no_events_are_known(tmp_path: Path) -> None:
    rows = [{"file": "a.png", "label": "abnormal", "event": "collapse_outdoor"}]
    with pytest.raises(ValueError, match="collapse_outdoor"):
        read_folder(make_folder(tmp_path / "data", rows), IDS)


def test_groups_videos_and_sources_are_read_where_they_are(tmp_path: Path) -> None:
    rows = [
        {"file": "hall__1__a.png", "label": "fall", "group": "room", "video": "film"},
        {"file": "plain_1.png", "label": "fall", "group": "", "video": ""},
    ]
    first, second = read_folder(make_folder(tmp_path / "data", rows), IDS)
    assert (first.group, first.video, first.source) == ("room", "film", "hall")
    assert (second.group, second.video, second.source) == ("", "", "")


def test_a_picture_is_shown_upright_and_in_colour(tmp_path: Path) -> None:
    turned = Image.new("L", (40, 20), 90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned.save(tmp_path / "a.jpg", exif=exif)
    shown = Picture(0, tmp_path / "a.jpg", "fall").image()
    assert (shown.size, shown.mode) == ((20, 40), "RGB")


def test_a_turned_or_mirrored_copy_is_a_near_twin() -> None:
    first = scene(1)
    turned = first.rotate(90).resize((70, 70))
    mirrored = first.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    groups = twin_groups(hashes(first, scene(2), turned, mirrored), np.eye(4, dtype=np.float32))
    assert groups[0] == groups[2] == groups[3]
    assert groups[1] != groups[0]


def test_up_to_six_bits_of_any_orientation_make_a_twin() -> None:
    found = np.random.default_rng(0).random((3, 8, 64)) > 0.5
    for row, orientation, bits in ((1, 5, 6), (2, 3, 7)):
        found[row, orientation] = found[0, 0]
        found[row, orientation, :bits] ^= True
    groups = twin_groups(found, np.eye(3, dtype=np.float32))
    assert groups[0] == groups[1] != groups[2]


def test_like_features_make_near_twins_through_a_chain() -> None:
    near = np.array([[1, 0], [0.93, 0.37], [0.73, 0.68], [-1, 0]], dtype=np.float32)
    found = hashes(*(scene(seed) for seed in range(4)))
    groups = twin_groups(found, near)
    assert groups[0] == groups[1] == groups[2] != groups[3]
    assert len(set(twin_groups(found, near, cosine=0.95).tolist())) == 4


def test_a_name_joins_and_so_does_a_chain_of_names_and_twins() -> None:
    found = hashes(scene(0), scene(1), scene(2), scene(2), scene(3), scene(4))
    features, named = np.eye(6, dtype=np.float32), ["room", "", "room", "", "", "hall"]
    features[3] = features[2]
    groups = twin_groups(found, features, named)
    assert groups[0] == groups[2] == groups[3]
    assert len({groups[0], groups[1], groups[4], groups[5]}) == 4


def test_folds_keep_groups_whole_and_labels_even() -> None:
    labels = ["a"] * 30 + ["b"] * 12
    groups = np.array([index // 3 for index in range(42)])
    folds = grouped_folds(labels, groups, 3, seed=4)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups.tolist()))
    for label, share in (("a", 10), ("b", 4)):
        counts = np.bincount(folds[np.array(labels) == label], minlength=3)
        assert abs(counts - share).max() <= 3
    assert (folds == grouped_folds(labels, groups, 3, seed=4)).all()
    assert (folds != grouped_folds(labels, groups, 3, seed=5)).any()


def test_groups_of_mixed_labels_are_spread_by_all_their_labels() -> None:
    mixed = [["a", "b", "b", "b"], ["b", "a", "b", "b"], ["b", "b", "a", "b"]]
    labels = [label for group in mixed for label in group] + ["a"] * 9
    groups = np.array([*np.repeat([7, 3, 5], 4), *range(10, 19)])
    for seed in range(5):
        folds = grouped_folds(labels, groups, 3, seed)
        assert all(len(set(folds[groups == group])) == 1 for group in (3, 5, 7))
        for fold in range(3):
            held = Counter(labels[row] for row in np.flatnonzero(folds == fold))
            assert held == {"a": 4, "b": 3}


def test_the_largest_group_is_placed_first() -> None:
    groups = np.array([0] * 10 + list(range(1, 11)))
    for seed in range(5):
        folds = grouped_folds(["a"] * 20, groups, 2, seed)
        assert np.bincount(folds).tolist() == [10, 10]


def test_folds_are_even_where_every_label_stands_alone() -> None:
    for seed in range(5):
        folds = grouped_folds(list("abcdefgh"), np.arange(8), 2, seed)
        assert np.bincount(folds).tolist() == [4, 4]


def test_batches_cover_an_epoch_once() -> None:
    seen = np.concatenate(list(batches(10, 3, np.random.default_rng(0))))
    assert len(seen) == len(set(seen.tolist())) == 9
    assert [len(one) for one in batches(2, 8, np.random.default_rng(0))] == [2]
