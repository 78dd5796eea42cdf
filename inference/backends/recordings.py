"""Recorded answers: one JSON object a line, each a case with its truth and every member's answer.

    {"id": "ring_00002", "truth": 1, "category": "Wildlife", "members": [
      {"model": "few", "description": "...", "reasoning": "...", "label": 1}, ...]}

`truth` and `label` are texts, or 0 and 1 for normal and abnormal; null is missing. A member may
have `reflected`, the label after reflection, `reflection`, the words of it, `logprob`, its mean
log-probability a token, and `samples`, labels of further answers. `category` and `group` may be
left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SIDES = {0: "normal", 1: "abnormal"}


class RecordingsError(ValueError):
    """The file cannot be read; the message says what to mend, and where."""


@dataclass(frozen=True)
class RecordedAnswer:
    """What one member said; "" is missing."""

    description: str
    reasoning: str
    label: str
    reflected: str = ""
    reflection: str = ""
    logprob: float | None = None
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recording:
    """One case as it was recorded: its true label, and each member's answer by its name."""

    id: str
    truth: str
    answers: Mapping[str, RecordedAnswer]
    category: str = ""
    group: str = ""


def read_recordings(path: Path) -> tuple[Recording, ...]:
    """The cases of a file, in its order, with the members of the first. Raises RecordingsError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingsError(f"{path} cannot be read as text in UTF-8: {error}.") from error
    cases = tuple(
        _recording(f"{path}, line {at}", line) for at, line in enumerate(lines, 1) if line.strip()
    )
    if not cases:
        raise RecordingsError(f"{path} holds no case: write one JSON object a line.")
    members = set(cases[0].answers)
    if len(members) < 2:
        raise RecordingsError(f"{path}: an ensemble needs two or more members with other names.")
    for at, case in enumerate(cases, 1):
        if other := ", ".join(sorted(set(case.answers) - members)):
            raise RecordingsError(
                f"{path}: case {at} has a member that the first has not: {other}."
            )
    return cases


def _recording(where: str, line: str) -> Recording:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RecordingsError(f"{where}: this is no JSON object ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("members"), list):
        raise RecordingsError(f"{where}: write an object with truth and a list of members.")
    truth = _label(where, row.get("truth"))
    if not truth:
        raise RecordingsError(f"{where}: truth is missing, and nothing can be judged without it.")
    answers = {_name(where, one): _answer(where, one) for one in row["members"]}
    if len(answers) < len(row["members"]):
        raise RecordingsError(f"{where}: two members have one name in `model`.")
    return Recording(
        id=str(row.get("id") or ""),
        truth=truth,
        answers=answers,
        category=str(row.get("category") or ""),
        group=str(row.get("group") or ""),
    )


def _name(where: str, member: Any) -> str:
    if not isinstance(member, dict) or not member.get("model"):
        raise RecordingsError(f"{where}: each member needs its name in `model`.")
    return str(member["model"])


def _answer(where: str, member: Mapping[str, Any]) -> RecordedAnswer:
    logprob = member.get("logprob")
    if logprob is not None and not isinstance(logprob, int | float):
        raise RecordingsError(f"{where}: logprob {logprob!r} is no number.")
    return RecordedAnswer(
        description=str(member.get("description") or ""),
        reasoning=str(member.get("reasoning") or ""),
        label=_label(where, member.get("label")),
        reflected=_label(where, member.get("reflected")),
        reflection=str(member.get("reflection") or ""),
        logprob=logprob,
        samples=tuple(_label(where, one) for one in member.get("samples") or ()),
    )


def _label(where: str, value: Any) -> str:
    """0 and 1 are sides, -1 and null are missing."""
    if value is None or value == "" or value == -1:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and value in _SIDES:
        return _SIDES[int(value)]
    raise RecordingsError(f"{where}: {value!r} is no label: write a text, 0 or 1.")
