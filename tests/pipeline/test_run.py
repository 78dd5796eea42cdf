"""One member's way through the stages."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from PIL import Image

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import (
    BackendError,
    DeadlineExceeded,
    GenerationFailed,
    ModelUnavailable,
)
from inference.backends.registry import MemberSpec
from inference.backends.scripted import ScriptedBackend
from inference.pipeline.domains import Domain, domain_ids, load_domain
from inference.pipeline.parsing import MAX_BYTES, Answer
from inference.pipeline.prompts import answer_prompt, prompt_hash, reflection_prompt
from inference.pipeline.run import FrameMode, Trace, run_cases, run_member
from inference.pipeline.stages import Stage

WOUND = load_domain("wound")
PICTURES = (Image.new("RGB", (8, 6), "red"),)
ANSWER = '{"description": "A red line.", "reasoning": "It is straight.", "label": "Cut"}'
REFLECTION = '{"reflection": "The rule of burns fits.", "label": "Burns"}'


class Said:
    """A backend that says what it was given, and remembers what it was asked."""

    def __init__(self, *said: str | BackendError, logprob: float | None = -0.25) -> None:
        self.said = list(said)
        self.asked: list[Request] = []
        self.logprob = logprob

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        [request] = requests
        self.asked.append(request)
        said = self.said.pop(0)
        if isinstance(said, BackendError):
            raise said
        for end in range(1, len(said) + 1):
            if on_text is not None:
                on_text(said[:end])
        return [Generation(said, tokens=7, seconds=1.5, logprob=self.logprob)]


class Heard:
    """Remembers what was announced."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def __call__(self, stage: Stage, state: str) -> None:
        self.all.append((stage.value, state))


def test_three_traces_out_of_two_generations() -> None:
    backend = Said(ANSWER, REFLECTION)
    traces = run_member(backend, WOUND, PICTURES, seed=3)
    prompts = (
        answer_prompt(WOUND),
        reflection_prompt(WOUND, Answer("A red line.", "It is straight.", "Cut", repaired=False)),
    )
    answered = Trace(
        stage=Stage.ANALYSIS,
        prompt_hash=prompt_hash(prompts[0]),
        raw_text=ANSWER,
        fields={"reasoning": "It is straight.", "label": "Cut"},
        valid=True,
        tokens=7,
        seconds=1.5,
        logprob=-0.25,
    )
    comprehended = replace(
        answered,
        stage=Stage.COMPREHENSION,
        fields={"description": "A red line."},
        tokens=0,
        seconds=0.0,
        logprob=None,
    )
    reflected = replace(
        answered,
        stage=Stage.REFLECTION,
        prompt_hash=prompt_hash(prompts[1]),
        raw_text=REFLECTION,
        fields={"reflection": "The rule of burns fits.", "label": "Burns"},
    )
    assert traces == (comprehended, answered, reflected)
    assert tuple(request.prompt for request in backend.asked) == prompts


def test_the_pictures_go_to_the_first_generation_alone() -> None:
    backend = Said(ANSWER, REFLECTION)
    run_member(backend, WOUND, list(PICTURES), seed=3, deadline_s=4.5)
    first, second = backend.asked
    assert (first.images, second.images) == (PICTURES, ())
    for request in backend.asked:
        assert (request.seed, request.deadline_s, request.temperature) == (3, 4.5, 0.0)
    assert first.schema is not None
    assert first.schema["required"] == ["description", "reasoning", "label"]
    assert second.schema is not None
    assert second.schema["required"] == ["reflection", "label"]


def test_stages_are_announced_as_the_text_grows() -> None:
    heard = Heard()
    before: list[tuple[str, str]] = []

    class Slow(Said):
        def generate(
            self, requests: Sequence[Request], on_text: OnText | None = None
        ) -> list[Generation]:
            made = super().generate(requests, on_text)
            before.extend(heard.all if on_text else [])
            return made

    run_member(Slow(ANSWER, REFLECTION), WOUND, PICTURES, seed=0, on_stage=heard)
    assert before == [
        ("comprehension", "running"),
        ("comprehension", "done"),
        ("analysis", "running"),
    ]
    assert heard.all[3:] == [
        ("analysis", "done"),
        ("reflection", "running"),
        ("reflection", "done"),
    ]


def test_a_quoted_key_inside_the_description_is_not_taken_for_the_reasoning() -> None:
    heard = Heard()
    text = json.dumps({"description": 'A note says "reasoning": none'})
    run_member(Said(text), WOUND, PICTURES, seed=0, on_stage=heard)
    assert ("comprehension", "done") not in heard.all


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no answer"),
        ("no json", "no JSON object"),
        (ANSWER[:-4], "not valid JSON"),
        (ANSWER.replace("Cut", "Bite"), "'Bite' is not one of"),
    ],
)
def test_unparsable_answers_skip_reflection(text: str, words: str) -> None:
    heard = Heard()
    backend = Said(text)
    comprehension, analysis, reflection = run_member(
        backend, WOUND, PICTURES, seed=0, on_stage=heard
    )
    for trace in (comprehension, analysis):
        assert not trace.valid
        assert words in trace.error
        assert trace.raw_text == text
        assert trace.fields == {}
    assert (analysis.tokens, comprehension.tokens) == (7, 0)
    assert reflection.error == "skipped: there is no valid answer to reflect on"
    assert not reflection.valid
    assert len(backend.asked) == 1
    assert dict(heard.all) == dict.fromkeys(Stage, "failed")


def test_an_unparsable_reflection_keeps_the_answer() -> None:
    heard = Heard()
    backend = Said(ANSWER, ANSWER)
    comprehension, analysis, reflection = run_member(
        backend, WOUND, PICTURES, seed=0, on_stage=heard
    )
    assert comprehension.valid
    assert analysis.valid
    assert not reflection.valid
    assert "reflection: Field required" in reflection.error
    assert heard.all[-1] == ("reflection", "failed")


def test_repairs_are_flagged_on_the_stages_they_belong_to() -> None:
    traces = run_member(Said(f"```{ANSWER}```", REFLECTION), WOUND, PICTURES, seed=0)
    assert [trace.repaired for trace in traces] == [True, True, False]
    traces = run_member(Said(ANSWER, f"So: {REFLECTION}"), WOUND, PICTURES, seed=0)
    assert [trace.repaired for trace in traces] == [False, False, True]
    assert all(trace.valid for trace in traces)


def test_hostile_text_is_kept_only_as_a_database_can_hold_it() -> None:
    _, analysis, _ = run_member(Said("\0\ud800" + "x" * 17_000), WOUND, PICTURES, seed=0)
    assert "16,000 bytes" in analysis.error
    assert analysis.raw_text.startswith("\ufffd?xx")
    assert len(analysis.raw_text.encode()) <= MAX_BYTES


@pytest.mark.parametrize("unknown", [float("nan"), float("-inf"), None])
def test_a_logprob_that_is_no_number_is_unknown(unknown: float | None) -> None:
    traces = run_member(Said(ANSWER, REFLECTION, logprob=unknown), WOUND, PICTURES, seed=0)
    assert [trace.logprob for trace in traces] == [None, None, None]


@pytest.mark.parametrize(
    ("said", "last"),
    [
        ([DeadlineExceeded("late")], [("comprehension", "failed")]),
        (
            [ANSWER, GenerationFailed("reset")],
            [("analysis", "done"), ("reflection", "running"), ("reflection", "failed")],
        ),
    ],
)
def test_a_backend_error_propagates_after_its_stage_was_announced_as_failed(
    said: list[str | BackendError], last: list[tuple[str, str]]
) -> None:
    heard = Heard()
    with pytest.raises(BackendError) as caught:
        run_member(Said(*said), WOUND, PICTURES, seed=0, on_stage=heard)
    assert caught.value is said[-1]
    assert heard.all[-len(last) :] == last


@pytest.mark.parametrize("domain", [load_domain(it) for it in domain_ids()], ids=domain_ids())
def test_a_scripted_member_goes_through_any_domain(domain: Domain) -> None:
    backend = ScriptedBackend(MemberSpec("one", backend="scripted"))
    traces = run_member(backend, domain, PICTURES, seed=1)
    assert [trace.stage for trace in traces] == list(Stage)
    assert all(trace.valid and not trace.repaired for trace in traces)
    again = run_member(backend, domain, PICTURES, seed=1)
    assert [trace.raw_text for trace in traces] == [trace.raw_text for trace in again]


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        ("garbage", "not valid JSON"),
        ("nan", "NaN"),
        ("unknown_label", "'no such label' is not one of"),
        ("empty", "no answer"),
        ("truncated", "not valid JSON"),
    ],
)
def test_scripted_faults_end_as_invalid_traces(fail: str, words: str) -> None:
    for fail_on, broken in (("answer", 3), ("reflection", 1)):
        options = {"fail": fail, "fail_on": fail_on}
        backend = ScriptedBackend(MemberSpec("one", backend="scripted", options=options))
        traces = run_member(backend, WOUND, PICTURES, seed=1)
        assert [trace.valid for trace in traces] == [True] * (3 - broken) + [False] * broken
        assert words in traces[3 - broken].error


class Many:
    """A backend that answers for each picture by the red of its first pixel, and keeps count."""

    def __init__(self, answers: dict[int, str | BackendError]) -> None:
        self.answers = answers
        self.calls: list[list[Request]] = []

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        assert on_text is None or len(requests) == 1
        self.calls.append(list(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Generation:
        if not request.images:
            label = next(
                name for name in ("Burns", "Cut") if f'"label": "{name}"' in request.prompt
            )
            said = json.dumps({"reflection": f"{label} it is.", "label": label})
            return Generation(said, tokens=3, seconds=0.5, logprob=-0.5)
        red = request.images[0].getpixel((0, 0))[0]  # type: ignore[index]
        told = self.answers[red]
        if isinstance(told, BackendError):
            raise told
        return Generation(told, tokens=red, seconds=0.25, logprob=-red / 100)


def picture(red: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (red, 0, 0))


def answer(label: str, description: str = "Seen.") -> str:
    return json.dumps({"description": description, "reasoning": f"So {label}.", "label": label})


def test_several_cases_share_their_generations_and_keep_their_own_answers() -> None:
    backend = Many({1: answer("Cut"), 2: "nothing", 3: answer("Burns")})
    heard = Heard()
    cases = [[picture(1)], [picture(2)], [picture(3)]]
    outcomes = run_cases(backend, WOUND, cases, seeds=[5, 6, 7], on_stage=heard)
    alone = [
        run_member(Many(backend.answers), WOUND, case, seed=seed)
        for case, seed in zip(cases, (5, 6, 7), strict=True)
    ]
    assert outcomes == alone
    answers, reflections = backend.calls
    assert [one.seed for one in answers] == [5, 6, 7]
    assert [one.seed for one in reflections] == [5, 7]
    assert heard.all == [
        ("comprehension", "running"),
        ("comprehension", "done"),
        ("analysis", "done"),
        ("reflection", "running"),
        ("reflection", "done"),
    ]


def test_no_cases_are_asked_about_without_a_word() -> None:
    backend = Many({})
    assert run_cases(backend, WOUND, [], seeds=[]) == []
    assert backend.calls == []


def test_a_case_that_fails_fails_alone() -> None:
    bad = GenerationFailed("too large")
    backend = Many({1: answer("Cut"), 2: bad, 3: answer("Burns")})
    first, second, third = run_cases(
        backend, WOUND, [[picture(1)], [picture(2)], [picture(3)]], seeds=[0, 0, 0]
    )
    assert isinstance(first, tuple) and first[1].fields["label"] == "Cut"
    assert second is bad
    assert isinstance(third, tuple) and third[1].fields["label"] == "Burns"
    assert [len(call) for call in backend.calls] == [3, 1, 1, 1, 1, 1]


def test_a_failure_for_good_is_that_of_all_and_is_not_tried_again() -> None:
    gone = ModelUnavailable("no weights")
    backend = Many({1: answer("Cut"), 2: gone})
    outcomes = run_cases(backend, WOUND, [[picture(1)], [picture(2)]], seeds=[0, 0])
    assert outcomes == [gone, gone]
    assert len(backend.calls) == 1


def test_a_generation_of_several_has_the_time_of_several_up_to_a_limit() -> None:
    def deadlines(limit_s: float) -> list[float]:
        backend = Many({1: answer("Cut"), 2: "nothing", 3: answer("Burns")})
        cases = [[picture(1)], [picture(2)], [picture(3)]]
        run_cases(backend, WOUND, cases, seeds=[0] * 3, deadline_s=4.0, limit_s=limit_s)
        return [one.deadline_s for call in backend.calls for one in call]

    assert deadlines(100.0) == [12.0] * 3 + [8.0] * 2
    assert deadlines(9.0) == [9.0] * 3 + [8.0] * 2


CLIP = [picture(10), picture(20), picture(30)]


def test_frames_are_shown_together_unless_a_member_wants_each() -> None:
    backend = Many({10: answer("Cut")})
    [_, analysis, _] = run_member(backend, WOUND, CLIP, seed=0)
    assert [len(one.images) for one in backend.calls[0]] == [3]
    assert "frames" not in analysis.fields


def test_the_answers_about_each_frame_are_summed_up_and_reflected_once() -> None:
    backend = Many({10: answer("Cut", "A."), 20: answer("Burns", "B."), 30: answer("Burns", "C.")})
    heard = Heard()
    comprehension, analysis, reflection = run_member(
        backend, WOUND, CLIP, seed=4, frames=FrameMode.EACH, on_stage=heard
    )
    assert [len(call) for call in backend.calls] == [3, 1]
    assert [len(one.images) for one in backend.calls[0]] == [1, 1, 1]
    assert {one.seed for one in backend.calls[0]} == {4}
    assert comprehension.fields == {"description": "B."}
    assert (comprehension.tokens, comprehension.seconds) == (0, 0.0)
    assert analysis.fields == {
        "reasoning": "So Burns.",
        "label": "Burns",
        "frame": 1,
        "frames": [
            {"label": "Cut", "logprob": -0.1, "description": "A.", "reasoning": "So Cut."},
            {"label": "Burns", "logprob": -0.2, "description": "B.", "reasoning": "So Burns."},
            {"label": "Burns", "logprob": -0.3, "description": "C.", "reasoning": "So Burns."},
        ],
    }
    assert (analysis.raw_text, analysis.logprob) == (answer("Burns", "B."), -0.2)
    assert (analysis.tokens, analysis.seconds) == (60, 0.75)
    assert analysis.prompt_hash == prompt_hash(answer_prompt(WOUND))
    assert all(trace.valid and not trace.repaired for trace in (comprehension, analysis))
    assert reflection.fields["label"] == "Burns"
    assert heard.all[-1] == ("reflection", "done")


def test_the_frame_of_a_photo_needs_no_summing_up() -> None:
    backend = Many({10: answer("Cut")})
    each = run_member(backend, WOUND, CLIP[:1], seed=0, frames=FrameMode.EACH)
    assert each == run_member(backend, WOUND, CLIP[:1], seed=0)


@pytest.mark.parametrize("odd", ["nothing", f"```{answer('Cut')}```"])
def test_a_frame_that_was_not_read_as_it_stood_bars_acceptance(odd: str) -> None:
    backend = Many({10: odd, 20: answer("Burns"), 30: answer("Burns")})
    traces = run_member(backend, WOUND, CLIP, seed=0, frames=FrameMode.EACH)
    assert [trace.valid for trace in traces] == [True] * 3
    assert [trace.repaired for trace in traces] == [True, True, False]
    assert traces[1].fields["label"] == "Burns"


def test_where_most_frames_cannot_be_read_there_is_no_answer() -> None:
    backend = Many({10: answer("Cut"), 20: "nothing", 30: ""})
    comprehension, analysis, reflection = run_member(
        backend, WOUND, CLIP, seed=0, frames=FrameMode.EACH
    )
    assert not (comprehension.valid or analysis.valid or reflection.valid)
    assert analysis.error == "2 of 3 frames: the answer holds no JSON object"
    said = [answer("Cut"), "nothing", ""]
    assert (analysis.raw_text, analysis.fields) == ("\n".join(said), {})
    assert (analysis.tokens, comprehension.tokens) == (60, 0)
    assert len(backend.calls) == 1


def test_clips_and_photos_of_several_cases_are_told_apart() -> None:
    backend = Many({10: answer("Cut"), 20: answer("Burns"), 30: answer("Burns"), 1: answer("Cut")})
    clip, photo = run_cases(
        backend, WOUND, [CLIP, [picture(1)]], seeds=[0, 0], frames=FrameMode.EACH
    )
    assert isinstance(clip, tuple) and isinstance(photo, tuple)
    assert (clip[1].fields["label"], photo[1].fields["label"]) == ("Burns", "Cut")
    assert [len(call) for call in backend.calls] == [4, 2]
