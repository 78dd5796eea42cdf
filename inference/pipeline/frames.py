"""From a member's answers about the frames of a clip, asked one by one, to its one answer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.pipeline.domains import Domain

MIN_FRAMES, MIN_HELD = 3, 2
"""From so many frames on, an abnormal label that so many of them hold wins over the majority."""


@dataclass(frozen=True)
class FrameAnswer:
    """What a member said of one frame; where `error` says what was wrong, `raw` is all it said.

    logprob  <= 0 or None where unknown
    """

    label: str = ""
    logprob: float | None = None
    description: str = ""
    reasoning: str = ""
    error: str = ""
    raw: str = ""


def choose_frame(frames: Sequence[FrameAnswer], domain: Domain) -> int | None:
    """Index of the frame whose answer is the clip's; None where most frames have none.

    An abnormal label wins that at least two of three or more frames hold: what a clip is about may
    be over in the next frame. Among several such labels, and among all where there is none, the one
    of most frames wins; ties go to severity, then to the higher sum of log-probabilities, then to
    the domain's order. Of the label's frames the surest speaks, the first of equals.
    """
    held: dict[str, list[int]] = {}
    for index, frame in enumerate(frames):
        if frame.label:
            held.setdefault(frame.label, []).append(index)
    if 2 * sum(map(len, held.values())) < max(len(frames), 1):
        return None
    known = [label for label in domain.labels if label.id in held]
    alarming = [
        label
        for label in known
        if len(frames) >= MIN_FRAMES and not label.normal and len(held[label.id]) >= MIN_HELD
    ]
    winner = max(
        alarming or known,
        key=lambda label: (
            len(held[label.id]),
            label.severity,
            sum(_sureness(frames[index]) for index in held[label.id]),
        ),
    )
    return max(held[winner.id], key=lambda index: _sureness(frames[index]))


def records(frames: Sequence[FrameAnswer]) -> list[dict[str, Any]]:
    """The frames as a Trace keeps them; `error` and `raw` only where there is an error."""
    kept = [asdict(frame) for frame in frames]
    only_if = ("error", "raw")
    return [{key: said for key, said in one.items() if key not in only_if or said} for one in kept]


def spoken_texts(fields: Mapping[str, Any]) -> list[str]:
    """All that a Trace's fields say: the answer itself, then that of each frame."""
    said = [fields, *fields.get("frames", ())]
    return [" ".join(text for text in one.values() if isinstance(text, str)) for one in said]


def _sureness(frame: FrameAnswer) -> float:
    return frame.logprob if frame.logprob is not None else -math.inf
