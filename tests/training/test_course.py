"""One member's way: who leads, what seeds it, and what heads said of pictures held out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from inference.training.course import Course, Pupil, stored_answer
from inference.training.member import aim_projector
from inference.training.settings import EVERYTHING
from inference.training.wording import GRADES, read_doubt
from tests.training.drawn import make_folder, small_settings


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """Six pictures of wounds in groups of their own, three folds of two."""
    rows = [{"file": f"{at}.png", "label": "Cut", "group": f"g{at}"} for at in range(6)]
    folder = make_folder(tmp_path / "wound", rows)
    return Course(small_settings(tmp_path / "work", 3, wound=folder))


def write_tower(course: Course, name: str, fold: int) -> np.ndarray:
    """A tower's file that holds only what its heads said: the picture's number, as it were."""
    album = course.albums[0]
    held_out = torch.from_numpy(album.outside(fold)).float()[:, None].expand(-1, 7) / 10
    path = course.settings.towers / f"{name}-fold{fold}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"held_out": [held_out.contiguous()]}, path)
    return np.asarray(album.outside(fold))


def test_heads_are_heard_about_what_neither_they_nor_the_part_saw(course: Course) -> None:
    rows = {
        (name, fold): write_tower(course, name, fold)
        for fold in range(3)
        for name in ("lite0", "lite1")
    }
    said, truth = Pupil(course, "lite0", 1).heads_out_of_fold(0)
    asked = [rows[name, fold] for fold in (0, 2) for name in ("lite0", "lite1")]
    assert said[:, 0] == pytest.approx(np.concatenate(asked) / 10)
    assert said.shape == (8, 7)
    assert truth.tolist() == [course.albums[0].label_ids.index("Cut")] * 8
    assert len(Pupil(course, "lite0", EVERYTHING).heads_out_of_fold(0)[1]) == 12


def test_nothing_is_heard_without_folds(course: Course) -> None:
    said, truth = Pupil(course, "lite0", 0).heads_out_of_fold(0)
    assert said.shape == (0, 7)
    assert len(truth) == 0


def test_the_first_member_leads_and_every_pupil_has_a_seed_of_its_own(course: Course) -> None:
    pupils = [
        Pupil(course, name, part)
        for name in course.settings.members
        for part in course.settings.parts
    ]
    assert len({one.seed for one in pupils}) == len({one.folder for one in pupils}) == 12
    for one in pupils:
        leader = one.leader
        if one.name == "lite0":
            assert leader is None
        else:
            assert leader == Pupil(course, "lite0", one.part)


def test_made_up_answers_end_with_a_second_thought(course: Course) -> None:
    album = course.albums[0]
    plain = course.made_up(album, frozenset(), 60)
    assert all(one.label == one.answer.label for one in plain)
    assert {read_doubt(album.words, one.answer)[0] for one in plain} == set(GRADES)
    all_pairs = frozenset((a, b) for a in album.label_ids for b in album.label_ids)
    for one in course.made_up(album, all_pairs, 60):
        sounds, other = read_doubt(album.words, one.answer)
        assert one.label == (other if sounds == "unsure" else one.answer.label)


def test_a_stored_row_is_an_answer_again() -> None:
    row = {"description": "d", "reasoning": "r", "label": "Cut", "logprob": -1.0}
    answer = stored_answer(row)
    assert (answer.description, answer.reasoning, answer.label) == ("d", "r", "Cut")
    assert answer.repaired is False


def test_a_projector_is_aimed_in_both_signs() -> None:
    rng = np.random.default_rng(0)
    layer = nn.Linear(20, 16)
    projector = SimpleNamespace(linear_1=layer)
    model = cast(Any, SimpleNamespace(model=SimpleNamespace(multi_modal_projector=projector)))
    directions = rng.normal(size=(3, 20)).astype(np.float32)
    maps = rng.normal(2.0, 3.0, (500, 20)).astype(np.float32)
    aim_projector(model, directions, maps)
    with torch.no_grad():
        seen = layer(torch.from_numpy(maps)).numpy()
    assert seen[:, :6].mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-4)
    assert seen[:, :6].std(axis=0) == pytest.approx(np.ones(6), abs=1e-4)
    assert seen[:, 3:6] == pytest.approx(-seen[:, :3], abs=1e-4)
    assert not seen[:, 6:].any()
    for at in range(3):
        assert np.corrcoef(seen[:, at], maps @ directions[at])[0, 1] > 0.999
