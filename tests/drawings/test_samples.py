"""What seeds a demonstration, the mark on every drawing, and the command that writes a folder."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.drawings import ROOM_EVENTS, draw_wound, mark, samples
from inference.drawings.__main__ import main
from inference.drawings.samples import FIRST_SEED
from inference.pipeline.domains import load_domain


def test_the_clinic_s_samples_show_every_label_and_some_mixtures() -> None:
    wounds = samples("wound")
    assert {sample.label for sample in wounds} == set(load_domain("wound").label_ids)
    assert len(wounds) == 12
    assert sum(sample.blend is not None for sample in wounds) >= 3


def test_the_household_s_samples_are_events_of_rooms() -> None:
    rooms = samples("home")
    assert len(rooms) == 6
    assert {sample.label for sample in rooms} <= set(ROOM_EVENTS)


def test_a_domain_without_drawings_has_no_samples() -> None:
    assert samples("garden") == ()


@pytest.mark.parametrize("domain", ["wound", "home"])
def test_samples_have_names_of_their_own_and_seeds_that_training_never_uses(domain: str) -> None:
    all_of_it = samples(domain)
    assert len({sample.name for sample in all_of_it}) == len(all_of_it)
    assert min(sample.seed for sample in all_of_it) >= FIRST_SEED
    assert {sample.domain for sample in all_of_it} == {domain}


def test_a_sample_is_a_jpeg_and_always_the_same_one() -> None:
    sample = samples("home")[-1]
    again = type(sample)(**{name: getattr(sample, name) for name in sample.__dataclass_fields__})
    assert sample.jpeg == again.jpeg
    assert Image.open(io.BytesIO(sample.jpeg)).format == "JPEG"


@pytest.mark.parametrize("colour", ["black", "white", "orange"])
def test_the_mark_can_be_read_on_any_ground(colour: str) -> None:
    plain = Image.new("RGB", (320, 320), colour)
    changed = np.abs(np.asarray(mark(plain), int) - np.asarray(plain, int)).sum(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 280
    assert columns.min() > 220
    letters = np.asarray(mark(plain).convert("L"))[
        rows.min() : rows.max(), columns.min() : columns.max()
    ]
    assert np.ptp(letters) > 60


def test_every_drawing_is_marked() -> None:
    blank = Image.new("L", (320, 320), 128)
    plate = np.asarray(mark(blank).convert("L"), float)
    letters, ground = plate > 170, plate < 100
    for picture in (draw_wound(0, "Cut", size=320), draw_wound(4, "Burns", size=320)):
        drawn = np.asarray(picture.convert("L"), float)
        assert drawn[letters].mean() > drawn[ground].mean() + 50


@pytest.mark.parametrize("domain", ["wound", "home"])
def test_the_command_writes_pictures_and_their_labels(tmp_path: Path, domain: str) -> None:
    main(["--out", str(tmp_path / "new"), "--domain", domain, "--count", "8"])
    with (tmp_path / "new" / "labels.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 8
    assert len({row["label"] for row in rows}) == 7
    for row in rows:
        with Image.open(tmp_path / "new" / row["file"]) as picture:
            assert picture.width == 640
