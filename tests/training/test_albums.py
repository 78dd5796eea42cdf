"""Who is learned from, how often, and who is held out together."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.training import albums, measure
from inference.training.__main__ import refuse_little
from inference.training.albums import FEW_GROUPS, NO_LABEL, Album
from inference.training.course import Course
from inference.training.features import Gallery
from inference.training.settings import EVERYTHING, Settings
from tests.training.drawn import Row, make_folder, scene, small_settings


def rows_of(*named: tuple[str, str], video: str = "") -> list[Row]:
    """A row each (file without its end, group), persons and pets in turn."""
    return [
        {
            "file": f"{name}.png",
            "label": ("person", "pet")[place % 2],
            "event": "",
            "group": group,
            "video": video,
        }
        for place, (name, group) in enumerate(named)
    ]


def home(tmp_path: Path, rows: Sequence[Row], folds: int = 0) -> Album:
    folder = make_folder(tmp_path / "home", rows)
    return Album(small_settings(tmp_path / "work", folds, home=folder), "home")


@pytest.fixture
def wound(tmp_path: Path) -> Album:
    """Two pictures a label, in groups of their own."""
    ids = ("Abrasions", "Bruises", "Burns", "Cut", "Ingrown Nails", "Laceration", "Stab Wound")
    rows = [
        {"file": f"{place}.png", "label": label, "group": f"g{place}"}
        for place, label in enumerate(ids * 2)
    ]
    folder = make_folder(tmp_path / "wound", rows)
    return Album(small_settings(tmp_path / "work", 2, wound=folder), "wound")


def together(album: Album) -> set[frozenset[str]]:
    """The groups, as the names of their pictures."""
    names = np.array([one.path.stem for one in album.pictures])
    return {
        frozenset(names[album.groups == group].tolist()) for group in set(album.groups.tolist())
    }


def test_a_source_of_few_groups_is_one_group(tmp_path: Path) -> None:
    few = [(f"few__{at}", f"room {at}") for at in range(FEW_GROUPS)]
    many = [(f"many__{at}", f"hall {at}") for at in range(FEW_GROUPS + 1)]
    alone = [("a", ""), ("b", ""), ("c", "flat"), ("d", "flat")]
    found = together(home(tmp_path, rows_of(*few, *many, *alone)))
    assert frozenset(name for name, _ in few) in found
    assert {frozenset({name}) for name, _ in many} <= found
    assert {frozenset({"a"}), frozenset({"b"}), frozenset({"c", "d"})} <= found
    assert len(found) == 1 + len(many) + 3


def test_copies_share_a_group_whatever_they_are_called(tmp_path: Path) -> None:
    rows = rows_of(("a", "one"), ("b", "two"), ("c", "three"))
    shown = [scene(0), scene(1), scene(0).rotate(180)]
    folder = make_folder(tmp_path / "home", rows, shown)
    album = Album(small_settings(tmp_path / "work", home=folder), "home")
    assert together(album) == {frozenset({"a", "c"}), frozenset({"b"})}


def test_groups_are_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = home(tmp_path, rows_of(("a", "one"), ("b", "one"), ("c", "two")))
    groups = first.groups
    monkeypatch.setattr(albums, "orientation_hashes", None)
    assert (Album(first.settings, "home").groups == groups).all()


def test_frames_of_a_video_share_the_weight_by_its_root(tmp_path: Path) -> None:
    frames = rows_of(*((f"f{at}", "") for at in range(4)), video="film")
    singles = rows_of(("a", ""), ("b", ""))
    weights = home(tmp_path, [*frames, *singles]).weights
    assert weights.tolist() == pytest.approx([0.5] * 4 + [1.0] * 2)


def test_labels_are_places_in_the_domain(tmp_path: Path) -> None:
    rows = [*rows_of(("a", ""), ("b", "")), {**rows_of(("c", ""))[0], "label": "abnormal"}]
    rows[2] = {**rows[2], "event": "smoke"}
    album = home(tmp_path, rows)
    assert [album.label_ids[at] for at in album.labels] == ["person", "pet", "fire or smoke"]
    assert len(album) == 3


def test_a_part_never_sees_its_fold(wound: Album) -> None:
    folds = [wound.outside(part) for part in range(2)]
    assert sorted(np.concatenate(folds).tolist()) == list(range(14))
    assert [len(one) for one in folds] == [7, 7]
    for part, held_out in enumerate(folds):
        assert not set(held_out) & set(wound.inside(part))
        assert set(wound.labels[held_out]) == set(range(7))
    assert wound.inside(EVERYTHING).tolist() == list(range(14))
    assert len(wound.outside(EVERYTHING)) == 0


def test_a_large_album_is_augmented_less(wound: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    many = Album(replace(wound.settings, augmentations=8), "wound")
    assert many.augmentations == 8
    for versions, expected in ((14 * 5, 4), (14 * 9, 8), (14 * 20, 8), (3, 1)):
        monkeypatch.setattr(albums, "VERSIONS", versions)
        assert many.augmentations == expected


def test_wounds_are_drawn_with_and_without_a_label(wound: Album) -> None:
    labels = [one.label for one in wound.drawings]
    assert labels == [*range(7), *[NO_LABEL] * 14]
    two = Album(replace(wound.settings, drawings=2), "wound").drawings
    assert [one.label for one in two] == [*range(7), *range(7), *[NO_LABEL] * 28]
    assert len({one.seed for one in two[14:]}) == 28
    assert two[3].image().tobytes() != two[10].image().tobytes()
    assert wound.drawings[3].image().tobytes() == two[3].image().tobytes()


def test_homes_are_drawn_with_a_label_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album = home(tmp_path, rows_of(("a", "")))
    assert [one.label for one in album.drawings] == list(range(7))
    assert album.drawings[0].image().mode == "RGB"
    monkeypatch.setattr(albums, "DRAWN", {})
    assert Album(album.settings, "home").drawings == ()


@pytest.fixture
def made_up_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps that tell which picture they are of, and measurements that rise with it."""

    def maps(gallery: Gallery, tower: str) -> np.ndarray:
        numbers = np.arange(len(gallery), dtype=np.float16)
        return np.tile(numbers[:, None, None, None, None, None], (1, 2, 3, 4, 2, 2))

    def measured(gallery: Gallery) -> np.ndarray:
        return np.tile(np.arange(len(gallery), dtype=float)[:, None, None], (1, 2, 8))

    monkeypatch.setattr(Gallery, "maps", maps)
    monkeypatch.setattr(Gallery, "measured", measured)


@pytest.mark.usefixtures("made_up_maps")
def test_samples_are_the_pictures_of_a_part_then_drawings(wound: Album) -> None:
    rows = wound.inside(1)
    pictures, drawn, bare = wound.samples("lite0", 1)
    assert pictures.maps[:, 0, 0, 0, 0, 0].tolist() == rows.tolist()
    assert pictures.labels.tolist() == wound.labels[rows].tolist()
    assert pictures.measured[:, 1, 3].tolist() == rows.tolist()
    assert pictures.weights.tolist() == [1.0] * 7
    assert drawn.labels.tolist() == list(range(7))
    assert drawn.maps[:, 0, 0, 0, 0, 0].tolist() == list(range(7))
    assert bare.labels.tolist() == [NO_LABEL] * 14
    assert bare.maps[:, 0, 0, 0, 0, 0].tolist() == list(range(7, 21))
    assert len(wound.samples("lite0", EVERYTHING)[0]) == 14


@pytest.mark.usefixtures("made_up_maps")
def test_levels_follow_the_pictures_that_a_part_knows(wound: Album) -> None:
    rows = wound.inside(0)
    pictures, drawn, _ = wound.samples("lite0", 0)
    borders = measure.thresholds(np.tile(rows[:, None].astype(float), (1, 8)))
    for samples, numbers in ((pictures, rows), (drawn, np.arange(7))):
        expected = (numbers[:, None] > borders[0]).sum(axis=1)
        assert samples.levels.shape == (len(samples), 2, 8)
        assert (samples.levels == expected[:, None, None]).all()


def test_a_gallery_computes_once_what_its_pictures_measure(wound: Album) -> None:
    settings: Settings = wound.settings
    gallery = Gallery(settings.work / "few", wound.pictures[:2], 1, 0)
    measured = gallery.measured()
    assert measured.shape == (2, 2, 8)
    assert measured[:, 0] == pytest.approx(
        measure.measure_all([one.image() for one in wound.pictures[:2]])
    )
    assert (measured[:, 1] != measured[:, 0]).any()
    assert (Gallery(gallery.folder, (), 1, 0).measured() == measured).all()


def test_abnormal_labels_are_believed_sooner(tmp_path: Path) -> None:
    album = home(tmp_path, rows_of(("a", "")))
    assert dict(zip(album.label_ids, album.odds(1.5), strict=True)) == {
        **dict.fromkeys(["fall", "fire or smoke", "wild animal", "fight or crime"], 1.5),
        **dict.fromkeys(["person", "pet", "empty scene"], 1.0),
    }


def test_pictures_of_a_source_without_groups_are_each_for_themselves(tmp_path: Path) -> None:
    rows = rows_of(*[(f"clinic__{at}", "") for at in range(FEW_GROUPS + 1)])
    album = home(tmp_path, rows)
    assert album.small_sources == frozenset()
    assert album._named() == [""] * len(rows)


def test_a_training_on_too_few_groups_is_refused_at_once(tmp_path: Path) -> None:
    album = home(tmp_path, rows_of(*[(f"{at}", f"room {at % 7}") for at in range(20)]))
    with pytest.raises(SystemExit, match=r"home: its pictures are of 7 subjects.*8 are needed"):
        refuse_little(Course(album.settings))
    enough = home(tmp_path / "more", rows_of(*[(f"{at}", f"room {at % 8}") for at in range(20)]))
    refuse_little(Course(enough.settings))
    with pytest.raises(SystemExit, match="9 are needed"):
        refuse_little(Course(replace(enough.settings, folds=9)))
