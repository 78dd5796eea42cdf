"""The shipped pipeline over many photos: each member answers a batch at a time."""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from PIL import Image

from inference.backends.base import Backend
from inference.backends.errors import BackendError
from inference.evaluation.folder import LabelledPhoto
from inference.media import MediaRejected, sanitise
from inference.pipeline.domains import Domain
from inference.pipeline.run import (
    Trace,
    answer_request,
    read_answer,
    read_reflection,
    reflection_request,
    run_member,
    skipped_reflection,
)
from inference.uq.answers import MemberAnswer

Tell = Callable[[str], None]
Traces = tuple[Trace, ...]

BATCH = 16
DEADLINE_S = 60.0


@dataclass(frozen=True)
class AskedCase:
    """One photo's truth and answers by member; `whole`: the members whose every stage parsed as is.

    `readable` is False for a photo that could not be decoded: nobody was asked.
    """

    truth: str
    answers: Mapping[str, MemberAnswer]
    whole: frozenset[str]
    readable: bool


def ask_all(
    photos: Sequence[LabelledPhoto],
    members: Mapping[str, Backend],
    domain: Domain,
    *,
    tell: Tell,
) -> list[AskedCase]:
    """Ask every member about every photo. Raises BackendError if a member cannot be used at all."""
    cases: list[AskedCase] = []
    for start in range(0, len(photos), BATCH):
        cases += _ask_batch(photos[start : start + BATCH], members, domain)
        tell(f"{len(cases)} of {len(photos)} photos asked")
    return cases


def read_picture(photo: LabelledPhoto) -> Image.Image | None:
    """The picture as an upload would be shown to the members; None if it would be refused."""
    try:
        return Image.open(io.BytesIO(sanitise(photo.path.read_bytes()).image)).convert("RGB")
    except (MediaRejected, OSError):
        return None


def seconds_per_case(
    photos: Sequence[LabelledPhoto],
    members: Mapping[str, Backend],
    domain: Domain,
    finish: Callable[[Mapping[str, MemberAnswer]], object],
    *,
    cases: int = 3,
) -> float:
    """Median seconds of single cases through all members and stages and `finish`, models loaded."""
    readable = (picture for photo in photos if (picture := read_picture(photo)) is not None)
    times = []
    for picture, _ in zip(readable, range(cases + 1), strict=False):
        started = time.perf_counter()
        finish({name: said(_ask_alone(one, domain, picture)) for name, one in members.items()})
        times.append(time.perf_counter() - started)
    # The first one pays for lazy loading.
    return median(times[1:] or times) if times else 0.0


def ask_member(backend: Backend, domain: Domain, pictures: Sequence[Image.Image]) -> list[Traces]:
    """One member's traces of many pictures, generated together; alone where that fails."""
    try:
        return _ask_together(backend, domain, pictures)
    except BackendError as error:
        if error.permanent:
            raise
        return [_ask_alone(backend, domain, picture) for picture in pictures]


def said(traces: Traces) -> MemberAnswer:
    """What one member said; a stage that could not be parsed is missing."""
    if not traces:
        return MemberAnswer()
    comprehension, analysis, reflection = traces
    return MemberAnswer(
        description=comprehension.fields.get("description", ""),
        reasoning=analysis.fields.get("reasoning", ""),
        label=analysis.fields.get("label", ""),
        reflected=reflection.fields.get("label", ""),
        logprob=analysis.logprob if analysis.valid else None,
    )


def _ask_batch(
    photos: Sequence[LabelledPhoto], members: Mapping[str, Backend], domain: Domain
) -> Iterator[AskedCase]:
    pictures = [read_picture(photo) for photo in photos]
    shown = [picture for picture in pictures if picture is not None]
    traces = {name: iter(ask_member(backend, domain, shown)) for name, backend in members.items()}
    for photo, picture in zip(photos, pictures, strict=True):
        own = {name: next(said_by) for name, said_by in traces.items()} if picture else {}
        yield AskedCase(
            truth=photo.label,
            answers={name: said(stages) for name, stages in own.items()},
            whole=frozenset(name for name, stages in own.items() if _is_whole(stages)),
            readable=picture is not None,
        )


def _ask_together(
    backend: Backend, domain: Domain, pictures: Sequence[Image.Image]
) -> list[Traces]:
    deadline = DEADLINE_S * len(pictures)
    requests = [
        answer_request(domain, (picture,), seed=0, deadline_s=deadline) for picture in pictures
    ]
    first = [
        read_answer(domain, request, generation)
        for request, generation in zip(requests, backend.generate(requests), strict=True)
    ]
    second = {
        index: reflection_request(domain, answer, seed=0, deadline_s=deadline)
        for index, (_, _, answer) in enumerate(first)
        if answer is not None
    }
    reflections = {
        index: read_reflection(domain, second[index], generation)
        for index, generation in zip(second, backend.generate([*second.values()]), strict=True)
    }
    return [
        (comprehension, analysis, reflections.get(index) or skipped_reflection())
        for index, (comprehension, analysis, _) in enumerate(first)
    ]


def _ask_alone(backend: Backend, domain: Domain, picture: Image.Image) -> Traces:
    """No traces at all where the member failed."""
    try:
        return run_member(backend, domain, (picture,), seed=0, deadline_s=DEADLINE_S)
    except BackendError as error:
        if error.permanent:
            raise
        return ()


def _is_whole(traces: Traces) -> bool:
    return bool(traces) and all(trace.valid and not trace.repaired for trace in traces)
