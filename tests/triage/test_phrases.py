"""What is marked is what those who disagree do not say."""

from hypothesis import given
from hypothesis import strategies as st

from triage.selectors.phrases import marked


def alone(parts: tuple[object, ...]) -> list[str]:
    return [part.text for part in parts if part.alone]  # type: ignore[attr-defined]


def test_a_member_is_held_against_those_of_another_label() -> None:
    texts = [
        "A red wound with charred edges and blisters.",
        "Red wounds, some blisters.",
        "A red wound with a clean straight edge.",
    ]
    first, second, third = marked(texts, ["Burns", "Burns", "Cut"])
    assert alone(first) == ["charred", "blisters"]
    assert alone(second) == ["blisters"], "what an ally says too is still the disagreement"
    assert alone(third) == ["clean straight"]


def test_where_all_agree_each_is_held_against_all() -> None:
    first, second = marked(["dry and brown", "dry, brown, swollen"], ["Cut", "Cut"])
    assert (alone(first), alone(second)) == ([], ["swollen"])


def test_a_negation_is_a_word_like_any_other() -> None:
    first, second = marked(["there is no swelling", "there is swelling"], ["a", "b"])
    assert (alone(first), alone(second)) == (["no"], [])


def test_nothing_is_marked_without_another_text() -> None:
    [only] = marked(["charred edges"], ["Burns"])
    assert alone(only) == []
    first, _failed = marked(["charred edges", ""], ["Burns", ""])
    assert alone(first) == []


@given(st.lists(st.tuples(st.text(), st.sampled_from(["", "a", "b"])), max_size=5))
def test_the_parts_are_the_text_again(said: list[tuple[str, str]]) -> None:
    texts = [text for text, _ in said]
    rows = marked(texts, [label for _, label in said])
    assert ["".join(part.text for part in row) for row in rows] == texts
