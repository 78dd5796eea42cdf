"""One member's way through the stages."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from PIL import Image

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import BackendError, DeadlineExceeded, GenerationFailed
from inference.backends.registry import MemberSpec
from inference.backends.scripted import ScriptedBackend
from inference.pipeline.domains import Domain, domain_ids, load_domain
from inference.pipeline.parsing import MAX_BYTES, Answer
from inference.pipeline.prompts import answer_prompt, prompt_hash, reflection_prompt
from inference.pipeline.run import Trace, run_member
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
