"""Recorded answers (`backends.recordings` has their form) as cases to be judged."""

from dataclasses import dataclass
from pathlib import Path

from inference.backends.recordings import (
    RecordedAnswer,
    Recording,
    RecordingsError,
    read_recordings,
)
from inference.evaluation.asking import AskedCase
from inference.evaluation.folder import EvaluationError
from inference.uq.answers import MemberAnswer


@dataclass(frozen=True)
class Recorded:
    """The cases of a file in its order, and the members in the order of the first case."""

    members: tuple[str, ...]
    cases: tuple[AskedCase, ...]


def read_recorded(path: Path) -> Recorded:
    """The recorded answers of a file. Raises EvaluationError that says what to mend, and where."""
    try:
        recordings = read_recordings(path)
    except RecordingsError as error:
        raise EvaluationError(str(error)) from error
    return Recorded(tuple(recordings[0].answers), tuple(_asked(one) for one in recordings))


def _asked(recording: Recording) -> AskedCase:
    said = recording.answers
    return AskedCase(
        truth=recording.truth,
        answers={name: _member_answer(one) for name, one in said.items()},
        whole=frozenset(name for name, one in said.items() if _is_whole(one)),
        readable=True,
        group=recording.group,
        source=recording.category,
    )


def _member_answer(said: RecordedAnswer) -> MemberAnswer:
    return MemberAnswer(
        description=said.description,
        reasoning=said.reasoning,
        label=said.label,
        reflected=said.reflected,
        logprob=said.logprob,
        samples=said.samples,
    )


def _is_whole(said: RecordedAnswer) -> bool:
    return bool(said.description and said.reasoning and said.label)
