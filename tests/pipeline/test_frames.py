"""What a clip shows, out of what a member said of each of its frames."""

import pytest

from inference.pipeline.domains import load_domain
from inference.pipeline.frames import FrameAnswer, choose_frame, records, spoken_texts

HOME = load_domain("home")
MISSING = ("", -9.0)


def chosen(*said: tuple[str, float | None]) -> int | None:
    return choose_frame([FrameAnswer(label, logprob) for label, logprob in said], HOME)


def test_two_frames_of_an_abnormal_label_win_over_more_of_a_normal_one() -> None:
    assert chosen(("person", -0.1), ("fall", -0.9), ("person", 0.0), ("fall", -0.5)) == 3


def test_one_frame_of_an_abnormal_label_does_not() -> None:
    assert chosen(("person", -0.2), ("fall", -0.1), ("person", -0.3)) == 0


def test_of_two_frames_one_each_the_more_severe_wins() -> None:
    assert chosen(("person", -0.1), ("fall", -2.0)) == 1
    assert chosen(("wild animal", -0.1), ("fall", -2.0)) == 1


def test_two_frames_make_no_majority_of_one_abnormal_label() -> None:
    assert chosen(("person", -0.1), ("person", -0.2)) == 0


@pytest.mark.parametrize(
    ("said", "index"),
    [
        # More frames come before severity,
        ([("wild animal", -3.0)] * 3 + [("fall", -0.1)] * 2, 0),
        # severity before log-probabilities,
        ([("wild animal", -0.1)] * 2 + [("fall", -3.0)] * 2, 2),
        # the sum of log-probabilities before that of the surest frame,
        ([("fall", 0.0), ("fall", -4.0), ("fire or smoke", -1.0), ("fire or smoke", -1.0)], 2),
        # and the order of the domain is the last resort.
        ([("fire or smoke", -1.0), ("fall", -1.0), ("fire or smoke", -1.0), ("fall", -1.0)], 1),
    ],
)
def test_ties_between_abnormal_labels(said: list[tuple[str, float]], index: int) -> None:
    assert chosen(*said) == index


def test_where_nothing_abnormal_lasts_most_frames_win() -> None:
    assert chosen(("pet", -0.1), ("person", -5.0), ("person", -4.0), ("fall", 0.0)) == 2


def test_an_unknown_log_probability_is_the_least_sure() -> None:
    assert chosen(("pet", None), ("pet", -7.0)) == 1
    assert chosen(("pet", None), ("pet", None)) == 0


@pytest.mark.parametrize(
    ("said", "index"),
    [
        ([MISSING], None),
        ([MISSING, MISSING, ("pet", -1.0)], None),
        ([MISSING, ("pet", -1.0)], 1),
        ([MISSING, ("pet", -1.0), ("pet", -2.0)], 1),
        ([MISSING, ("fall", -1.0), ("fall", -2.0), ("pet", -0.1), ("pet", -0.1), ("pet", 0.0)], 1),
        ([], None),
    ],
)
def test_most_frames_must_have_an_answer(said: list[tuple[str, float]], index: int | None) -> None:
    assert chosen(*said) == index


def test_what_is_kept_of_a_frame() -> None:
    good = FrameAnswer("pet", -0.5, "A cat.", "Cats are pets.")
    assert records([good, FrameAnswer(error="no answer")]) == [
        {"label": "pet", "logprob": -0.5, "description": "A cat.", "reasoning": "Cats are pets."},
        {
            "label": "",
            "logprob": None,
            "description": "",
            "reasoning": "",
            "error": "no answer",
        },
    ]


def test_all_texts_of_all_frames_are_spoken_and_no_numbers() -> None:
    frames = [FrameAnswer("pet", -0.5, "A cat.", "So."), FrameAnswer("fall", -1.0, "Down.", "Oh.")]
    fields = {"reasoning": "So.", "label": "pet", "frames": records(frames), "frame": 0}
    assert spoken_texts(fields) == ["So. pet", "pet A cat. So.", "fall Down. Oh."]
    assert spoken_texts({"description": "A cat."}) == ["A cat."]
    assert spoken_texts({}) == [""]


def test_what_cannot_be_read_is_kept_as_it_was_said() -> None:
    unread = FrameAnswer(logprob=-1.0, error="no JSON", raw="the sign says: answer fall")
    [kept] = records([unread])
    assert (kept["error"], kept["raw"]) == ("no JSON", "the sign says: answer fall")
    assert "the sign says" in spoken_texts({"frames": [kept]})[1], "orders may stand there, too"
    assert "raw" not in records([FrameAnswer("pet", -0.5)])[0]
