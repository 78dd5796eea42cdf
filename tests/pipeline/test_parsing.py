"""What a model says is hostile: nothing but a whole, clean answer gets through unflagged."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.pipeline.domains import load_domain
from inference.pipeline.parsing import (
    MAX_BYTES,
    Answer,
    Reflection,
    UnparsableOutput,
    parse_answer,
    parse_reflection,
    storable,
)

WOUND = load_domain("wound")
GOOD = '{"description": "A red line.", "reasoning": "It is straight.", "label": "Cut"}'
Parse = Callable[..., Answer | Reflection]


def with_label(label: str) -> str:
    return json.dumps(json.loads(GOOD) | {"label": label})


def test_a_clean_answer_is_read() -> None:
    assert parse_answer(GOOD, WOUND) == Answer("A red line.", "It is straight.", "Cut", False)


def test_a_clean_reflection_is_read() -> None:
    text = '{"reflection": "The rule of cuts fits.", "label": "Cut"}'
    assert parse_reflection(text, WOUND) == Reflection("The rule of cuts fits.", "Cut", False)


@pytest.mark.parametrize("said", ["stab wound", " Stab Wound\n", "STAB WOUND"])
def test_labels_are_matched_after_trimming_and_folding(said: str) -> None:
    answer = parse_answer(with_label(said), WOUND)
    assert (answer.label, answer.repaired) == ("Stab Wound", False)


def test_space_around_extra_keys_and_other_orders_are_fine() -> None:
    text = '\n {"label": "Cut", "confidence": 0.9, "reasoning": "r", "description": "d"} \n'
    assert parse_answer(text, WOUND) == Answer("d", "r", "Cut", repaired=False)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"Here is my answer: {GOOD}",
        f"{GOOD} I hope this helps.",
        f"{GOOD}\n{GOOD}",
        f"[{GOOD}]",
        GOOD.replace("}", ",}"),
        GOOD.replace("}", " , \n}"),
        f"```\n{GOOD.replace('}', ',}')}\n```",
    ],
)
def test_near_json_is_mended_and_flagged(text: str) -> None:
    answer = parse_answer(text, WOUND)
    assert (answer.description, answer.label, answer.repaired) == ("A red line.", "Cut", True)


def test_a_comma_inside_a_text_is_left_alone() -> None:
    text = GOOD.replace("A red line.", "a, }").replace('"Cut"}', '"Cut",}')
    assert parse_answer(text, WOUND).description == "a, }"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no answer"),
        (" \n", "no answer"),
        ("I cannot help with that.", "no JSON object"),
        ("<html><body>502</body></html>", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ("null", "no JSON object"),
        ("{", "not valid JSON"),
        (GOOD[:-1], "not valid JSON"),
        (GOOD[:30], "not valid JSON"),
        (GOOD.replace("}", ",,}"), "not valid JSON"),
        (GOOD.replace('"', "'"), "not valid JSON"),
        (GOOD.replace('"Cut"', "NaN"), "NaN"),
        (GOOD.replace('"Cut"', "-Infinity"), "Infinity"),
        (GOOD.replace('"Cut"', '"Cut", "confidence": NaN'), "NaN"),
        (GOOD.replace('"Cut"', '"Cut", "confidence": 1e999'), "1e999"),
        (GOOD.replace('"Cut"', '"Cut", "n": ' + "9" * 5000), "not valid JSON"),
        (GOOD.replace('"Cut"', '"Cut", "label": "Burns"'), "a key stands twice"),
        (GOOD.replace('"Cut"', "3"), "label"),
        (GOOD.replace('"Cut"', "null"), "label"),
        (GOOD.replace('"Cut"', '["Cut"]'), "label"),
        (GOOD.replace('"A red line."', '""'), "description"),
        (GOOD.replace('"A red line."', '"  "'), "description"),
        (GOOD.replace('"reasoning"', '"thought"'), "reasoning: Field required"),
        (GOOD.replace("red", "r\0d"), "NUL"),
        (GOOD.replace("red", r"r\u0000d"), "NUL"),
        (GOOD.replace("red", r"\ud800"), "description"),
        (with_label("Bite"), "'Bite' is not one of Abrasions, Bruises"),
        (with_label("Cut."), "not one of"),
        (with_label("Cut, Burns"), "not one of"),
        (with_label("Stab  Wound"), "not one of"),
        (with_label(""), "label"),
        ('{"a":' * 2500, "not valid JSON"),
        ('{"a": ' + "[" * 9000, "not valid JSON"),
    ],
)
def test_anything_else_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(UnparsableOutput, match=words):
        parse_answer(text, WOUND)


def test_the_size_is_capped_in_bytes() -> None:
    room = MAX_BYTES - len(GOOD.encode())
    fits = GOOD.replace("red", "red" + "x" * room)
    assert parse_answer(fits, WOUND).description.startswith("A redxx")
    with pytest.raises(UnparsableOutput, match="16,000 bytes"):
        parse_answer(fits + " ", WOUND)
    with pytest.raises(UnparsableOutput, match="16,000 bytes"):
        parse_answer(GOOD.replace("red", "é" * (room // 2 + 2)), WOUND)


def test_a_huge_label_makes_a_short_message() -> None:
    with pytest.raises(UnparsableOutput) as caught:
        parse_answer(with_label("x" * 9000), WOUND)
    assert len(str(caught.value)) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
keys = st.sampled_from(["description", "reasoning", "reflection", "label", "other"])
labels = st.sampled_from([*WOUND.label_ids, "cut ", "Bite", "NaN"])
near_answers = st.builds(
    lambda content, before, after: before + json.dumps(content) + after,
    st.dictionaries(keys, labels | st.text() | json_values),
    st.sampled_from(["", "```json\n", "Answer: ", "{"]) | st.text(max_size=5),
    st.sampled_from(["", "\n```", ",", "}"]) | st.text(max_size=5),
)


def edited(text: str, at: int, removed: int, added: str) -> str:
    at %= len(text)
    return text[:at] + added + text[at + removed :]


edits = st.builds(
    edited, st.just(GOOD), st.integers(0, 200), st.integers(0, 12), st.text(max_size=4)
)


@pytest.mark.parametrize("parse", [parse_answer, parse_reflection])
@given(text=st.text() | near_answers | edits)
def test_nothing_but_unparsable_output_is_raised_and_labels_stay_in_the_set(
    parse: Parse, text: str
) -> None:
    try:
        found = parse(text, WOUND)
    except UnparsableOutput as error:
        assert str(error)
        return
    assert found.label in WOUND.label_ids
    if not found.repaired:
        assert isinstance(json.loads(text.strip()), dict)
    for said in vars(found).values():
        if isinstance(said, str):
            assert said
            assert storable(said) == said


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.sampled_from(WOUND.label_ids),
)
def test_what_a_schema_guided_model_says_is_read_unrepaired(words: str, label: str) -> None:
    said = f"x{words}x"
    content = {"description": said, "reasoning": said, "label": label}
    assert parse_answer(json.dumps(content), WOUND) == Answer(said, said, label, False)


@given(st.text() | st.text("\0\ud800é€x", min_size=1, max_size=9), st.sampled_from([1, 9000]))
def test_raw_text_is_made_storable(part: str, times: int) -> None:
    text = part * times
    stored = storable(text)
    assert "\0" not in stored
    assert len(stored.encode()) <= MAX_BYTES
    assert storable(stored) == stored
    if text.isascii() and "\0" not in text:
        assert stored == text[:MAX_BYTES]
