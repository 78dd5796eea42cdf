"""One member's way through the three stages of one observation, or of several at once.

A generation's tokens, seconds and logprob are booked once: on the analysis Trace for stages 1 and 2
(the comprehension Trace holds 0, 0.0 and None), so that sums over Traces are true sums.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from inference.backends.base import Backend, Generation, OnText, Request
from inference.backends.errors import BackendError, DeviceLost
from inference.backends.registry import FrameMode as FrameMode
from inference.pipeline.domains import Domain
from inference.pipeline.frames import FrameAnswer, choose_frame, records
from inference.pipeline.parsing import (
    Answer,
    UnparsableOutput,
    parse_answer,
    parse_reflection,
    storable,
)
from inference.pipeline.prompts import (
    answer_prompt,
    answer_schema,
    prompt_hash,
    reflection_prompt,
    reflection_schema,
)
from inference.pipeline.stages import Stage

OnStage = Callable[[Stage, str], None]
"""Called with a stage and RUNNING, DONE or FAILED; the last word on a stage is the true one."""

RUNNING, DONE, FAILED = "running", "done", "failed"

REASONING_BEGINS = '"reasoning"'


@dataclass(frozen=True)
class Trace:
    """One member's one stage.

    prompt_hash  SHA-256 of the prompt; empty where no generation was made
    raw_text     what the model said, as a database can hold it
    fields       description | reasoning, label | reflection, label; empty unless valid. Where a
                 clip's frames were asked about one by one, an analysis also holds `frames`, a list
                 of {label, logprob, description, reasoning}, and `frame`, the chosen one's index
    valid        parsed; `error` says in words why not
    repaired     the JSON had to be mended: to be shown, never to be accepted
    tokens       generated, >= 0;  prompt_tokens: that went in, >= 0
    seconds      >= 0;  logprob <= 0 or None
    """

    stage: Stage
    prompt_hash: str = ""
    raw_text: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    valid: bool = False
    repaired: bool = False
    error: str = ""
    tokens: int = 0
    seconds: float = 0.0
    logprob: float | None = None
    prompt_tokens: int = 0


Traces = tuple[Trace, Trace, Trace]
"""Of comprehension, analysis and reflection."""


def run_member(
    backend: Backend,
    domain: Domain,
    images: Sequence[Image.Image],
    *,
    seed: int,
    frames: FrameMode = FrameMode.TOGETHER,
    deadline_s: float = 60.0,
    on_stage: OnStage | None = None,
) -> Traces:
    """The Traces of comprehension, analysis and reflection, in that order.

    Output that cannot be parsed gives invalid Traces. A BackendError propagates, after the stage
    that it hit was announced as failed. `deadline_s` holds for each of the two generations, times
    the frames where they are asked about one by one.
    """
    member = _Member(backend, domain, frames, deadline_s)
    [traces] = member.run([_Case(tuple(images), seed)], _Progress(on_stage))
    return traces


def run_cases(
    backend: Backend,
    domain: Domain,
    cases: Sequence[Sequence[Image.Image]],
    *,
    seeds: Sequence[int],
    trace_ids: Sequence[str] = (),
    frames: FrameMode = FrameMode.TOGETHER,
    deadline_s: float = 60.0,
    limit_s: float = math.inf,
    on_stage: OnStage | None = None,
) -> list[Traces | BackendError]:
    """One member over several cases at once: one generation for all answers, one for reflections.

    Args:
        cases: n cases, each its pictures in order.
        seeds: n seeds.
        trace_ids: n ids of what they are asked for, or none.
        deadline_s: seconds that one request may take. A generation of several has as much for each
            of them, since nobody knows how many a backend makes at a time.
        limit_s: seconds, >= `deadline_s`, that no generation may take, however many it is for.
        on_stage: told of the stages of all cases together; a stage is done if it is for any case.

    Returns:
        For each case its Traces, or the BackendError with which it failed. An error that another
        attempt may heal ends no batch: each case is then tried alone, and fails alone.

    Raises:
        DeviceLost: nothing more can be asked here.
    """
    member = _Member(backend, domain, frames, deadline_s, limit_s)

    def outcomes(some: Sequence[_Case]) -> list[Traces | BackendError]:
        try:
            return [*member.run(some, _Progress(on_stage))]
        except DeviceLost:
            raise
        except BackendError as error:
            if error.permanent or len(some) == 1:
                return [error] * len(some)
        return [outcome for case in some for outcome in outcomes([case])]

    ids = trace_ids or [""] * len(cases)
    rows = zip(cases, seeds, ids, strict=True)
    return outcomes([_Case(tuple(case), seed, trace_id) for case, seed, trace_id in rows])


@dataclass(frozen=True)
class _Case:
    images: tuple[Image.Image, ...]
    seed: int
    trace_id: str = ""


@dataclass(frozen=True)
class _Member:
    """Who is asked, about what, and how long it may take."""

    backend: Backend
    domain: Domain
    frames: FrameMode
    deadline_s: float
    limit_s: float = math.inf

    def run(self, cases: Sequence[_Case], progress: "_Progress") -> list[Traces]:
        """The Traces of each case. Raises BackendError."""
        try:
            answers = self._answer(cases, progress)
            reflections = self._reflect(cases, [answer for _, _, answer in answers], progress)
        except BackendError:
            progress.fail()
            raise
        return [
            (comprehension, analysis, reflection)
            for (comprehension, analysis, _), reflection in zip(answers, reflections, strict=True)
        ]

    def _answer(
        self, cases: Sequence[_Case], progress: "_Progress"
    ) -> list[tuple[Trace, Trace, Answer | None]]:
        progress.tell(Stage.COMPREHENSION, RUNNING)
        asked = [
            [
                replace(answer_request(self.domain, views, seed=case.seed), trace_id=case.trace_id)
                for views in self._views(case)
            ]
            for case in cases
        ]
        heard = iter(self._generate([one for some in asked for one in some], progress.hear))
        answers = [
            _over_frames(
                self.domain, [read_answer(self.domain, one, next(heard)) for one in requests]
            )
            for requests in asked
        ]
        progress.end([comprehension for comprehension, _, _ in answers])
        progress.end([analysis for _, analysis, _ in answers])
        return answers

    def _views(self, case: _Case) -> list[tuple[Image.Image, ...]]:
        """The pictures of each request: all in one, or each in one of its own."""
        if self.frames == FrameMode.EACH and case.images:
            return [(image,) for image in case.images]
        return [case.images]

    def _reflect(
        self,
        cases: Sequence[_Case],
        answers: Sequence[Answer | None],
        progress: "_Progress",
    ) -> list[Trace]:
        asked = {
            index: replace(
                reflection_request(self.domain, answer, seed=case.seed), trace_id=case.trace_id
            )
            for index, (case, answer) in enumerate(zip(cases, answers, strict=True))
            if answer is not None
        }
        if asked:
            progress.tell(Stage.REFLECTION, RUNNING)
        reflections = [skipped_reflection() for _ in cases]
        for index, generation in zip(asked, self._generate([*asked.values()]), strict=True):
            reflections[index] = read_reflection(self.domain, asked[index], generation)
        progress.end(reflections)
        return reflections

    def _generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        """Answers to all requests; a text is only heard grow where there is no other."""
        if not requests:
            return []
        deadline_s = min(self.deadline_s * len(requests), self.limit_s)
        timed = [replace(one, deadline_s=deadline_s) for one in requests]
        return self.backend.generate(timed, on_text if len(timed) == 1 else None)


def _over_frames(
    domain: Domain, readings: Sequence[tuple[Trace, Trace, Answer | None]]
) -> tuple[Trace, Trace, Answer | None]:
    """One reading of a clip out of those of its frames; the only one of a photo is left as it is.

    The chosen frame's answer is the member's, its text the Trace's; tokens and seconds are those of
    all frames. The analysis keeps what was said of each: orders to a model may stand in any. A
    frame whose answer was mended or cannot be read leaves the whole `repaired`: it may be shown,
    and is never accepted. Where most cannot be read, neither can the whole.
    """
    if len(readings) == 1:
        return readings[0]
    analyses = [analysis for _, analysis, _ in readings]
    frames = [_frame_answer(analysis, answer) for _, analysis, answer in readings]
    chosen = choose_frame(frames, domain)
    spent: dict[str, Any] = {
        "tokens": sum(analysis.tokens for analysis in analyses),
        "prompt_tokens": sum(analysis.prompt_tokens for analysis in analyses),
        "seconds": math.fsum(analysis.seconds for analysis in analyses),
    }
    if chosen is None:
        unread = [index for index, frame in enumerate(frames) if frame.error]
        comprehension, analysis, _ = readings[unread[0]]
        words = f"{len(unread)} of {len(frames)} frames: {analysis.error}"
        spent["raw_text"] = "\n".join(one.raw_text for one in analyses)
        return replace(comprehension, error=words), replace(analysis, error=words, **spent), None
    comprehension, analysis, answer = readings[chosen]
    mended = any(one.repaired or not one.valid for one in analyses)
    fields = {**analysis.fields, "frames": records(frames), "frame": chosen}
    return (
        replace(comprehension, repaired=mended),
        replace(analysis, repaired=mended, fields=fields, **spent),
        answer,
    )


def _frame_answer(analysis: Trace, answer: Answer | None) -> FrameAnswer:
    if answer is None:
        said = {"error": analysis.error, "raw": analysis.raw_text}
        return FrameAnswer(logprob=analysis.logprob, **said)
    return FrameAnswer(answer.label, analysis.logprob, answer.description, answer.reasoning)


def answer_request(
    domain: Domain, images: Sequence[Image.Image], *, seed: int, deadline_s: float = 60.0
) -> Request:
    """The generation of stages 1 and 2."""
    return Request(
        prompt=answer_prompt(domain),
        images=tuple(images),
        seed=seed,
        deadline_s=deadline_s,
        schema=answer_schema(domain),
    )


def reflection_request(
    domain: Domain, answer: Answer, *, seed: int, deadline_s: float = 60.0
) -> Request:
    """The generation of stage 3: no pictures."""
    return Request(
        prompt=reflection_prompt(domain, answer),
        seed=seed,
        deadline_s=deadline_s,
        schema=reflection_schema(domain),
    )


def read_answer(
    domain: Domain, request: Request, generation: Generation
) -> tuple[Trace, Trace, Answer | None]:
    """The Traces of comprehension and analysis; the answer is None if it could not be parsed."""
    unread = _unread(Stage.ANALYSIS, request, generation)
    answer, seen, thought = None, {}, {}
    try:
        answer = parse_answer(generation.text, domain)
    except UnparsableOutput as error:
        analysis = replace(unread, error=str(error))
    else:
        seen = {"description": answer.description}
        thought = {"reasoning": answer.reasoning, "label": answer.label}
        analysis = replace(unread, fields=thought, valid=True, repaired=answer.repaired)
    comprehension = replace(
        analysis,
        stage=Stage.COMPREHENSION,
        fields=seen,
        tokens=0,
        prompt_tokens=0,
        seconds=0.0,
        logprob=None,
    )
    return comprehension, analysis, answer


def read_reflection(domain: Domain, request: Request, generation: Generation) -> Trace:
    """The Trace of reflection."""
    unread = _unread(Stage.REFLECTION, request, generation)
    try:
        said = parse_reflection(generation.text, domain)
    except UnparsableOutput as error:
        return replace(unread, error=str(error))
    fields = {"reflection": said.reflection, "label": said.label}
    return replace(unread, fields=fields, valid=True, repaired=said.repaired)


def skipped_reflection() -> Trace:
    """Stage 3 of a member whose answer could not be parsed."""
    return Trace(Stage.REFLECTION, error="skipped: there is no valid answer to reflect on")


def _unread(stage: Stage, request: Request, generation: Generation) -> Trace:
    logprob = generation.logprob
    return Trace(
        stage,
        prompt_hash=prompt_hash(request.prompt),
        raw_text=storable(generation.text),
        tokens=generation.tokens,
        prompt_tokens=generation.prompt_tokens,
        seconds=generation.seconds,
        logprob=logprob if logprob is not None and math.isfinite(logprob) else None,
    )


class _Progress:
    """Announces each change of a stage once."""

    def __init__(self, on_stage: OnStage | None) -> None:
        self._on_stage = on_stage
        self._last: dict[Stage, str] = {}

    def tell(self, stage: Stage, state: str) -> None:
        if self._last.get(stage) != state:
            self._last[stage] = state
            if self._on_stage is not None:
                self._on_stage(stage, state)

    def hear(self, text: str) -> None:
        """The text so far: its reasoning has begun when its description is complete."""
        if REASONING_BEGINS in text:
            self.tell(Stage.COMPREHENSION, DONE)
            self.tell(Stage.ANALYSIS, RUNNING)

    def end(self, traces: Sequence[Trace]) -> None:
        """One stage of all cases is over."""
        if traces:
            valid = any(trace.valid for trace in traces)
            self.tell(traces[0].stage, DONE if valid else FAILED)

    def fail(self) -> None:
        for stage, state in list(self._last.items()):
            if state == RUNNING:
                self.tell(stage, FAILED)
