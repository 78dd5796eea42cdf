"""Lessons say what the heads make of a picture, and sound as sure as these are right."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from inference.pipeline.domains import load_domain
from inference.training.finetune import Eye, Samples
from inference.training.lessons import (
    WARMEST,
    Belief,
    Lessons,
    LessonSettings,
    draw_lessons,
    fit_temperature,
)
from inference.training.measure import NAMES
from inference.training.wording import GRADES, grade, load_wording, stated_level

IDS = load_domain("home").label_ids
WORDS = load_wording("home")
COUNT = len(IDS)
BY_EYE = 2  # the level that the stand-in reads, whatever it is shown


class Onlooker:
    """Stands in for an Eye: channel k of the maps is how much of label k there is."""

    def tokens(self, maps: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(maps.astype(np.float32)).flatten(3).transpose(2, 3)

    def look(self, tokens: torch.Tensor, domain: int) -> tuple[torch.Tensor, torch.Tensor]:
        shares = tokens.mean(dim=(1, 2))
        chances = 0.94 * shares + 0.06 / COUNT
        return chances.log(), torch.full((len(tokens), len(NAMES)), BY_EYE)


def pictures(labels: list[int], level: int) -> Samples:
    """Two versions of two views of a picture a label, all attributes of one level."""
    maps = np.zeros((len(labels), 2, 2, COUNT, 2, 2), dtype=np.float16)
    maps[np.arange(len(labels)), :, :, labels] = 1.0
    shape = (len(labels), 2, len(NAMES))
    return Samples(
        maps,
        np.array(labels),
        np.full(shape, level),
        np.zeros(shape),
        np.ones(len(labels)),
    )


def lessons(
    *parts: Samples,
    temperature: float = 1.0,
    odds: np.ndarray | None = None,
    seed: int = 0,
    count: int = 200,
    mixed: float = 0.0,
) -> Lessons:
    settings = LessonSettings(count=count, mixed=mixed, drawn=0.15)
    eye = cast(Eye, Onlooker())
    belief = Belief(temperature, np.ones(COUNT, np.float32) if odds is None else odds)
    return draw_lessons(eye, 0, parts, WORDS, IDS, belief, settings, seed)


ALL = pictures(list(range(COUNT)), 1)


def grades(drawn: Lessons) -> list[str]:
    return [WORDS.grade_of(one.reasoning) for one in drawn.answers]


def test_a_clear_picture_gives_a_sure_lesson_about_itself() -> None:
    drawn = lessons(ALL)
    assert set(grades(drawn)) == {"sure"}
    assert drawn.maps.shape == (200, 2, 4, COUNT)
    assert drawn.maps.dtype == np.float16
    shown = drawn.maps.astype(float).mean(axis=(1, 2))
    assert [IDS[at] for at in shown.argmax(axis=1)] == [one.label for one in drawn.answers]
    assert {one.label for one in drawn.answers} == set(IDS)


def test_mixed_pictures_give_lessons_of_lower_grades() -> None:
    drawn = lessons(ALL, mixed=1.0)
    found = grades(drawn)
    assert set(found) == set(GRADES)
    assert found.count("sure") < 80
    assert set(grades(lessons(ALL, mixed=0.5))) == set(GRADES)


def test_attributes_are_stated_as_the_eye_sees_them() -> None:
    drawn = lessons(ALL, mixed=0.5)
    assert (drawn.levels == BY_EYE).all()
    for answer in drawn.answers:
        assert stated_level(WORDS, "darkness", answer.description) == BY_EYE


def test_odds_make_a_label_be_believed_sooner() -> None:
    at = IDS.index("fall")
    odds = np.ones(COUNT, np.float32)
    odds[at] = 3.0
    plain, leaning = (lessons(ALL, mixed=1.0, count=64, odds=one) for one in (None, odds))
    ratio = leaning.chances / plain.chances
    others = np.delete(np.arange(COUNT), at)
    assert ratio[:, at] / ratio[:, others[0]] == pytest.approx(np.full(64, 3.0), rel=1e-4)
    assert leaning.chances.sum(axis=1) == pytest.approx(np.ones(64), abs=1e-5)
    falls = [[one.label for one in drawn.answers].count("fall") for drawn in (plain, leaning)]
    assert falls[1] > falls[0]


def test_an_answer_says_what_its_probabilities_say() -> None:
    drawn = lessons(ALL, mixed=1.0)
    assert drawn.chances.sum(axis=1) == pytest.approx(np.ones(200), abs=1e-4)
    for answer, odds in zip(drawn.answers, drawn.chances, strict=True):
        best = int(odds.argmax())
        assert answer.label == IDS[best]
        assert WORDS.grade_of(answer.reasoning) == grade(odds, best)


def test_a_temperature_makes_lessons_less_sure() -> None:
    plain, warm = lessons(ALL, count=64), lessons(ALL, count=64, temperature=2.0)
    expected = plain.chances**0.5
    expected /= expected.sum(axis=1, keepdims=True)
    assert warm.chances == pytest.approx(expected, abs=1e-4)
    assert "sure" not in grades(warm)


def test_drawings_have_their_share_and_an_empty_part_none() -> None:
    first, second = pictures([2], 0), pictures([3], 2)
    drawn = lessons(pictures([5], 1), first, second, count=100)
    labels = [one.label for one in drawn.answers]
    assert [labels.count(IDS[at]) for at in (5, 2, 3)] == [84, 8, 8]
    alone = lessons(pictures([5], 1), first, pictures([], 0), count=100)
    assert [one.label for one in alone.answers].count(IDS[2]) == 15
    assert len(lessons(pictures([5], 1), count=70).answers) == 70


def test_a_picture_is_drawn_as_often_as_it_weighs() -> None:
    weights = np.array([0.0, 3.0, 1.0, *[0.0] * (COUNT - 3)])
    drawn = lessons(replace(ALL, weights=weights), count=400)
    labels = [one.label for one in drawn.answers]
    assert set(labels) == {IDS[1], IDS[2]}
    assert 250 < labels.count(IDS[1]) < 350
    both = replace(ALL, weights=np.eye(COUNT)[4])
    assert {one.label for one in lessons(both, mixed=1.0).answers} == {IDS[4]}


def test_lessons_are_the_same_for_the_same_seed() -> None:
    first, again, other = (lessons(ALL, mixed=0.6, seed=seed) for seed in (1, 1, 2))
    assert first.answers == again.answers != other.answers
    assert (first.maps == again.maps).all()


def simulated(sharpness: float, count: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities `sharpness` times too sure, and labels drawn from the true ones."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 1.5, (count, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    said = torch.from_numpy(logits * sharpness).log_softmax(dim=1)
    return said.float().numpy(), labels


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_a_temperature_is_recovered(sharpness: float) -> None:
    assert fit_temperature(*simulated(sharpness)) == pytest.approx(sharpness, rel=0.07)


def test_a_temperature_is_bounded_and_one_without_evidence() -> None:
    assert fit_temperature(*simulated(40.0)) == pytest.approx(WARMEST, rel=0.01)
    assert fit_temperature(np.zeros((0, 5), np.float32), np.zeros(0, np.int64)) == 1.0
