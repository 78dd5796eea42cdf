"""Composed texts: valid, varied, free of repetition, and readable again."""

import json
from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest

from inference.pipeline.domains import Domain, load_domain
from inference.pipeline.parsing import (
    Answer,
    parse_answer,
    parse_reflection,
    reads_like_instruction,
)
from inference.training.evidence import repeats
from inference.training.measure import LEVELS, NAMES
from inference.training.wording import (
    GRADES,
    Wording,
    answer_fields,
    answer_text,
    grade,
    load_wording,
    made_up_answer,
    read_doubt,
    reflection_text,
    runner_up,
    second_thought,
    stated_level,
    worthwhile_changes,
)

SHARES = {"sure": 0.95, "fair": 0.8, "open": 0.6, "unsure": 0.4}
MIDDLE = [1] * len(NAMES)

Spoken = tuple[Domain, Wording]


@pytest.fixture(params=("wound", "home"))
def spoken(request: pytest.FixtureRequest) -> Spoken:
    """A domain and its words."""
    return load_domain(request.param), load_wording(request.param)


def chances(count: int, best: int, share: float, second: int) -> np.ndarray:
    """Probabilities (count,) of which `second` has half of what `best` leaves."""
    rest = np.full(count, (1.0 - share) / 2 / (count - 2), dtype=np.float32)
    rest[best], rest[second] = share, (1.0 - share) / 2
    return rest


def said(
    spoken: Spoken, label: int, other: int, sounds: str, levels: list[int] = MIDDLE, seed: int = 0
) -> Answer:
    """An answer of one grade of sureness."""
    ids = spoken[0].label_ids
    rng, odds = np.random.default_rng(seed), chances(len(ids), label, SHARES[sounds], other)
    return answer_fields(spoken[1], ids, label, levels, odds, rng)


def all_answers(spoken: Spoken) -> Iterator[tuple[str, str, str, Answer]]:
    """Label, runner-up, grade and answer, of every pair and every grade."""
    ids = spoken[0].label_ids
    rng = np.random.default_rng(0)
    for label, other in permutations(range(len(ids)), 2):
        for sounds in GRADES:
            for seed in range(4):
                levels = rng.integers(0, LEVELS, len(NAMES)).tolist()
                answer = said(spoken, label, other, sounds, levels, seed)
                yield ids[label], ids[other], sounds, answer


def test_an_answer_parses_and_names_its_label(spoken: Spoken) -> None:
    for label, other, sounds, answer in all_answers(spoken):
        parsed = parse_answer(answer_text(answer), spoken[0])
        assert parsed == answer
        assert (parsed.label, parsed.repaired) == (label, False)
        assert label in parsed.reasoning
        assert (other in parsed.reasoning) == (sounds != "sure")
        assert spoken[1].labels[label]["finding"] in parsed.description


def test_doubt_is_said_and_can_be_read_again(spoken: Spoken) -> None:
    for label, other, sounds, answer in all_answers(spoken):
        expected = label if sounds == "sure" else other
        assert read_doubt(spoken[1], answer) == (sounds, expected)


def test_nothing_is_said_twice_and_nothing_sounds_like_an_order(spoken: Spoken) -> None:
    for label, other, _, answer in all_answers(spoken):
        reflections = [reflection_text(spoken[1], answer, end) for end in (label, other)]
        for text in (answer.description, answer.reasoning, *reflections):
            assert not repeats(text)
            assert not reads_like_instruction(text)
            assert "$" not in text


def test_a_reflection_keeps_or_changes(spoken: Spoken) -> None:
    for label, other, sounds, answer in all_answers(spoken):
        for end in (label, other):
            text = reflection_text(spoken[1], answer, end)
            assert parse_reflection(text, spoken[0]).label == end
            content = json.loads(text)["reflection"]
            assert label in content
            assert content.endswith("It stays." if end == label else "It changes.")
            assert other in content or (sounds == "sure" and end == label)


def test_each_grade_is_kept_in_its_own_words(spoken: Spoken) -> None:
    answers = [said(spoken, 0, 1, sounds) for sounds in GRADES]
    kept = {reflection_text(spoken[1], one, one.label) for one in answers}
    assert len(kept) == len(GRADES)


def test_every_attribute_is_read_back(spoken: Spoken) -> None:
    rng = np.random.default_rng(1)
    for number in range(90):
        levels = rng.integers(0, LEVELS, len(NAMES)).tolist()
        answer = said(spoken, number % len(spoken[0].label_ids), number % 2 + 2, "open", levels)
        for attribute in spoken[1].levels:
            stated = stated_level(spoken[1], attribute, answer.description)
            assert stated == levels[NAMES.index(attribute)]


def test_nothing_is_read_where_nothing_is_stated(spoken: Spoken) -> None:
    assert {stated_level(spoken[1], one, "A picture.") for one in spoken[1].levels} == {-1}


def test_a_doubt_has_several_ways_to_be_said(spoken: Spoken) -> None:
    for sounds, templates in spoken[1].reasoning.items():
        texts = {said(spoken, 0, 1, sounds, seed=seed).reasoning for seed in range(30)}
        assert len(texts) == len(templates)
        assert len({template.split()[0] for template in templates}) == 1
    firsts = [templates[0].split()[0] for templates in spoken[1].reasoning.values()]
    assert len(set(firsts)) == len(GRADES)
    assert spoken[1].grade_of("Nobody says so.") == "unsure"


def test_the_words_are_whole(spoken: Spoken) -> None:
    domain, words = spoken
    assert set(words.labels) == set(domain.label_ids)
    assert set(words.reasoning) == set(GRADES)
    assert set(words.reflection) == {*GRADES, "change"}
    assert set(words.events.values()) <= set(domain.label_ids)
    assert set(words.levels) == set(words.phrases) <= set(NAMES)
    for texts in (*words.levels.values(), *words.phrases.values()):
        assert len(set(texts)) == LEVELS
    assert all(len(set(one["evidence"])) == 2 for one in words.labels.values())


def test_findings_begin_differently(spoken: Spoken) -> None:
    firsts = [spoken[1].finding_word(label) for label in spoken[0].label_ids]
    assert len(set(firsts)) == len(firsts)
    for label, first in zip(spoken[0].label_ids, firsts, strict=True):
        assert spoken[1].labels[label]["finding"].startswith(f"{first} ")


def test_the_phrases_follow_the_evidence_of_the_label() -> None:
    spoken = load_domain("wound"), load_wording("wound")
    at = spoken[0].label_ids.index("Cut")
    levels = [0] * len(NAMES)
    levels[NAMES.index("length")], levels[NAMES.index("edge")] = 2, 1
    answer = said(spoken, at, 0, "sure", levels)
    assert "a long extent and clear edges" in answer.reasoning


@pytest.mark.parametrize(
    ("share", "sounds"),
    [
        (0.9, "sure"),
        (0.89, "fair"),
        (0.7, "fair"),
        (0.69, "open"),
        (0.5, "open"),
        (0.49, "unsure"),
        (0.0, "unsure"),
    ],
)
def test_the_grade_is_that_of_the_labels_own_probability(share: float, sounds: str) -> None:
    assert grade(np.array([1.0, share], dtype=np.float32), 1) == sounds


def test_the_runner_up_is_never_the_label() -> None:
    odds = np.array([0.7, 0.1, 0.2], dtype=np.float32)
    assert [runner_up(odds, label) for label in range(3)] == [2, 0, 0]
    assert odds.tolist() == np.array([0.7, 0.1, 0.2], dtype=np.float32).tolist()


def test_made_up_answers_are_of_every_grade_and_label(spoken: Spoken) -> None:
    domain, words = spoken
    rng, again = np.random.default_rng(2), np.random.default_rng(2)
    made = [made_up_answer(words, domain.label_ids, rng) for _ in range(200)]
    assert made[:9] == [made_up_answer(words, domain.label_ids, again) for _ in range(9)]
    assert {one.label for one in made} == set(domain.label_ids)
    assert {read_doubt(words, one)[0] for one in made} == set(GRADES)
    assert all(parse_answer(answer_text(one), domain) == one for one in made)


def test_only_an_unsure_answer_is_changed_and_only_where_it_is_worth_it(spoken: Spoken) -> None:
    ids, words = spoken[0].label_ids, spoken[1]
    changes = frozenset({(ids[2], ids[4])})
    assert second_thought(words, said(spoken, 2, 4, "unsure"), changes) == ids[4]
    assert second_thought(words, said(spoken, 4, 2, "unsure"), changes) == ids[4]
    assert second_thought(words, said(spoken, 2, 3, "unsure"), changes) == ids[2]
    for sounds in ("open", "fair", "sure"):
        assert second_thought(words, said(spoken, 2, 4, sounds), changes) == ids[2]


def test_changes_are_worthwhile_where_the_runner_up_was_right_clearly_more_often() -> None:
    ids = ("a", "b", "c")
    rows = {
        "ab": [0.45, 0.40, 0.15],
        "ba": [0.40, 0.45, 0.15],
        "bc": [0.10, 0.48, 0.42],
        "ca": [0.35, 0.25, 0.40],
        "ac": [0.60, 0.05, 0.35],  # open, not unsure
    }
    seen = [
        *(("ab", truth) for truth in (0, 1, 1, 1, 1)),  # once right, four times the runner-up
        *(("ba", truth) for truth in (1, 0, 0, 0)),  # only twice more often
        *(("bc", truth) for truth in (1, 1, 2)),  # the label is better
        *(("ca", truth) for truth in (1, 1)),  # neither was ever right
        *(("ac", truth) for truth in (2, 2)),
    ]
    odds = np.array([rows[name] for name, _ in seen], dtype=np.float32)
    truth = np.array([truth for _, truth in seen])
    assert worthwhile_changes(ids, odds, truth, [False] * 3) == {("a", "b")}
    assert worthwhile_changes(ids, odds, truth, [True, True, False]) == {("a", "b")}
    assert worthwhile_changes(ids, odds, truth, [True, False, False]) == frozenset()
    assert worthwhile_changes(ids, odds[:0], truth[:0], [False] * 3) == frozenset()


def test_a_domain_without_words_is_refused() -> None:
    with pytest.raises(FileNotFoundError):
        load_wording("garden")
