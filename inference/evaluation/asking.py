"""The shipped pipeline over many cases: each member answers a batch at a time."""

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from PIL import Image

from inference.backends.base import Backend
from inference.backends.errors import BackendError
from inference.backends.registry import FrameMode
from inference.evaluation.folder import LabelledFile
from inference.media import MediaRejected, sanitise
from inference.pipeline.domains import Domain
from inference.pipeline.run import Trace, run_cases
from inference.uq.answers import MemberAnswer

Tell = Callable[[str], None]
Traces = tuple[Trace, ...]
Pictures = tuple[Image.Image, ...]
NoveltyOf = Callable[[Pictures], float]
"""How unlike the reference the pictures of one case are, in [0, 1]. Raises BackendError."""

BATCH = 16
DEADLINE_S = 60.0


@dataclass(frozen=True)
class Member:
    """One member: its backend, and whether it is shown a clip's pictures together or each alone."""

    backend: Backend
    frames: FrameMode = FrameMode.TOGETHER


@dataclass(frozen=True)
class AskedCase:
    """One file's truth and answers by member; `whole`: the members whose every stage parsed as is.

    `readable` is False for a file that could not be decoded: nobody was asked. `novelty` is in
    [0, 1], NaN where it was not measured.
    """

    truth: str
    answers: Mapping[str, MemberAnswer]
    whole: frozenset[str]
    readable: bool
    group: str = ""
    source: str = ""
    novelty: float = math.nan


def ask_all(
    files: Sequence[LabelledFile],
    members: Mapping[str, Member],
    domain: Domain,
    *,
    tell: Tell,
    novelty_of: NoveltyOf | None = None,
) -> list[AskedCase]:
    """Ask every member about every file. Raises BackendError if a member cannot be used at all."""
    cases: list[AskedCase] = []
    for start in range(0, len(files), BATCH):
        cases += _ask_batch(files[start : start + BATCH], members, domain, novelty_of)
        tell(f"{len(cases)} of {len(files)} cases asked")
    return cases


def read_pictures(file: LabelledFile) -> Pictures:
    """The pictures that an upload would show to the members; none if it would be refused."""
    try:
        frames = sanitise(file.path.read_bytes()).frames
        return tuple(Image.open(io.BytesIO(frame.image)).convert("RGB") for frame in frames)
    except (MediaRejected, OSError):
        return ()


def seconds_per_case(
    files: Sequence[LabelledFile],
    members: Mapping[str, Member],
    domain: Domain,
    finish: Callable[[Mapping[str, MemberAnswer]], object],
    *,
    cases: int = 3,
) -> float:
    """Median seconds of single cases through all members and stages and `finish`, models loaded."""
    readable = (pictures for file in files if (pictures := read_pictures(file)))
    times = []
    for pictures, _ in zip(readable, range(cases + 1), strict=False):
        started = time.perf_counter()
        finish(
            {name: said(ask_member(one, domain, [pictures])[0]) for name, one in members.items()}
        )
        times.append(time.perf_counter() - started)
    # The first one pays for lazy loading.
    return median(times[1:] or times) if times else 0.0


def ask_member(member: Member, domain: Domain, cases: Sequence[Pictures]) -> list[Traces]:
    """One member's traces of many cases; none at all where it failed.

    Raises BackendError if it cannot be used at all.
    """
    if not cases:
        return []
    results = run_cases(
        member.backend,
        domain,
        cases,
        seeds=[0] * len(cases),
        frames=member.frames,
        deadline_s=DEADLINE_S,
    )
    return [_unless_failed(result) for result in results]


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


def _unless_failed(result: Traces | BackendError) -> Traces:
    if not isinstance(result, BackendError):
        return result
    if result.permanent:
        raise result
    return ()


def _ask_batch(
    files: Sequence[LabelledFile],
    members: Mapping[str, Member],
    domain: Domain,
    novelty_of: NoveltyOf | None,
) -> Iterator[AskedCase]:
    shown = [read_pictures(file) for file in files]
    readable = [pictures for pictures in shown if pictures]
    traces = {name: iter(ask_member(one, domain, readable)) for name, one in members.items()}
    for file, pictures in zip(files, shown, strict=True):
        own = {name: next(said_by) for name, said_by in traces.items()} if pictures else {}
        yield AskedCase(
            truth=file.label,
            answers={name: said(stages) for name, stages in own.items()},
            whole=frozenset(name for name, stages in own.items() if _is_whole(stages)),
            readable=bool(pictures),
            group=file.group,
            source=file.source,
            novelty=_novelty(novelty_of, pictures),
        )


def _novelty(novelty_of: NoveltyOf | None, pictures: Pictures) -> float:
    if novelty_of is None or not pictures:
        return math.nan
    try:
        return novelty_of(pictures)
    except BackendError as error:
        if error.permanent:
            raise
        return math.nan


def _is_whole(traces: Traces) -> bool:
    return bool(traces) and all(trace.valid and not trace.repaired for trace in traces)
