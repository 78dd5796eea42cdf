"""One member's way through the three stages of one observation.

A generation's tokens, seconds and logprob are booked once: on the analysis Trace for stages 1 and 2
(the comprehension Trace holds 0, 0.0 and None), so that sums over Traces are true sums.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from inference.backends.base import Backend, Generation, Request
from inference.backends.errors import BackendError
from inference.pipeline.domains import Domain
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
    fields       description | reasoning, label | reflection, label; empty unless valid
    valid        parsed; `error` says in words why not
    repaired     the JSON had to be mended: to be shown, never to be accepted
    tokens       >= 0;  seconds >= 0;  logprob <= 0 or None
    """

    stage: Stage
    prompt_hash: str = ""
    raw_text: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    valid: bool = False
    repaired: bool = False
    error: str = ""
    tokens: int = 0
    seconds: float = 0.0
    logprob: float | None = None


def run_member(
    backend: Backend,
    domain: Domain,
    images: Sequence[Image.Image],
    *,
    seed: int,
    deadline_s: float = 60.0,
    on_stage: OnStage | None = None,
) -> tuple[Trace, Trace, Trace]:
    """The Traces of comprehension, analysis and reflection, in that order.

    Output that cannot be parsed gives invalid Traces. A BackendError propagates, after the stage
    that it hit was announced as failed. `deadline_s` holds for each of the two generations.
    """
    progress = _Progress(on_stage)
    try:
        progress.tell(Stage.COMPREHENSION, RUNNING)
        request = answer_request(domain, images, seed=seed, deadline_s=deadline_s)
        [generation] = backend.generate([request], progress.hear)
        comprehension, analysis, answer = read_answer(domain, request, generation)
        progress.end(comprehension)
        progress.end(analysis)
        if answer is None:
            reflection = skipped_reflection()
        else:
            progress.tell(Stage.REFLECTION, RUNNING)
            request = reflection_request(domain, answer, seed=seed, deadline_s=deadline_s)
            [generation] = backend.generate([request])
            reflection = read_reflection(domain, request, generation)
        progress.end(reflection)
    except BackendError:
        progress.fail()
        raise
    return comprehension, analysis, reflection


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
        analysis, stage=Stage.COMPREHENSION, fields=seen, tokens=0, seconds=0.0, logprob=None
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

    def end(self, trace: Trace) -> None:
        self.tell(trace.stage, DONE if trace.valid else FAILED)

    def fail(self) -> None:
        for stage, state in list(self._last.items()):
            if state == RUNNING:
                self.tell(stage, FAILED)
