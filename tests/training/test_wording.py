"""Composed texts: valid, varied, and readable again."""

import json

import numpy as np
import pytest

from inference.pipeline.domains import load_domain
from inference.pipeline.parsing import parse_answer, parse_reflection
from inference.training.wording import (
    answer_fields,
    answer_text,
    load_wording,
    read_doubt,
    reflection_text,
    runner_up,
)

WOUND = load_domain("wound")
WORDS = load_wording("wound")
IDS = WOUND.label_ids


def chances(best: int, share: float, second: int) -> np.ndarray:
    rest = np.full(len(IDS), 0.01, dtype=np.float32)
    rest[best], rest[second] = share, 0.94 - share
    return rest


@pytest.mark.parametrize("label", range(len(IDS)))
def test_an_answer_parses_and_names_its_label(label: int) -> None:
    other = (label + 1) % len(IDS)
    answer = answer_fields(WORDS, IDS, label, [0, 1, 2, 0, 1, 2], chances(label, 0.9, other))
    parsed = parse_answer(answer_text(answer), WOUND)
    assert (parsed.label, parsed.repaired) == (IDS[label], False)
    assert IDS[label] in parsed.reasoning and IDS[other] in parsed.reasoning


def test_doubt_is_said_and_can_be_read_again() -> None:
    for share, sounds in ((0.9, "sure"), (0.6, "fair"), (0.3, "unsure")):
        answer = answer_fields(WORDS, IDS, 3, [1] * 6, chances(3, share, 5))
        assert read_doubt(WORDS, answer) == (sounds, IDS[5])


def test_the_words_follow_the_measurements() -> None:
    texts = {
        answer_fields(WORDS, IDS, 0, [level] * 6, chances(0, 0.9, 1)).description
        for level in range(3)
    }
    assert len(texts) == 3


def test_a_reflection_keeps_or_changes() -> None:
    answer = answer_fields(WORDS, IDS, 3, [1] * 6, chances(3, 0.3, 5))
    for label in (IDS[3], IDS[5]):
        text = reflection_text(WORDS, answer, label)
        assert parse_reflection(text, WOUND).label == label
        assert label in json.loads(text)["reflection"]


def test_the_runner_up_is_never_the_label() -> None:
    assert runner_up(np.array([0.7, 0.2, 0.1], dtype=np.float32), 0) == 1
    assert runner_up(np.array([0.7, 0.2, 0.1], dtype=np.float32), 1) == 0


def test_findings_begin_differently() -> None:
    assert len({WORDS.finding_word(label) for label in IDS}) == len(IDS)
    assert set(WORDS.labels) == set(IDS)
