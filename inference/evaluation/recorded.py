"""Recorded answers: one JSON object a line, each a case with its truth and every member's answer.

    {"id": "ring_00002", "truth": 1, "category": "Wildlife", "members": [
      {"model": "few", "description": "...", "reasoning": "...", "label": 1}, ...]}

`truth` and `label` are texts, or 0 and 1 for normal and abnormal; null is missing. A member may
have `reflected`, the label after reflection, `logprob`, its mean log-probability a token, and
`samples`, labels of further answers. `category` and `group` may be left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.evaluation.asking import AskedCase
from inference.evaluation.folder import ABNORMAL, NORMAL, EvaluationError
from inference.uq.answers import MemberAnswer

_NUMBERED = {0: NORMAL, 1: ABNORMAL}


@dataclass(frozen=True)
class Recorded:
    """The cases of a file in its order, and the members in the order of the first case."""

    members: tuple[str, ...]
    cases: tuple[AskedCase, ...]


def read_recorded(path: Path) -> Recorded:
    """The recorded answers of a file. Raises EvaluationError that says what to mend, and where."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read as text in UTF-8: {error}.") from error
    cases = [_case(f"{path}, line {at}", line) for at, line in enumerate(lines, 1) if line.strip()]
    if not cases:
        raise EvaluationError(f"{path} holds no case: write one JSON object a line.")
    members = tuple(cases[0].answers)
    if len(members) < 2:
        raise EvaluationError(f"{path}: an ensemble needs two or more members with other names.")
    for at, case in enumerate(cases, 1):
        if not set(case.answers) <= set(members):
            other = ", ".join(sorted(set(case.answers) - set(members)))
            raise EvaluationError(
                f"{path}: case {at} has a member that the first has not: {other}."
            )
    return Recorded(members, tuple(cases))


def _case(where: str, line: str) -> AskedCase:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise EvaluationError(f"{where}: this is no JSON object ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("members"), list):
        raise EvaluationError(f"{where}: write an object with truth and a list of members.")
    truth = _label(where, row.get("truth"))
    if not truth:
        raise EvaluationError(f"{where}: truth is missing, and nothing can be judged without it.")
    answers = {_name(where, one): _answer(where, one) for one in row["members"]}
    if len(answers) < len(row["members"]):
        raise EvaluationError(f"{where}: two members have one name in `model`.")
    return AskedCase(
        truth=truth,
        answers=answers,
        whole=frozenset(name for name, said in answers.items() if _is_whole(said)),
        readable=True,
        group=str(row.get("group") or ""),
        source=str(row.get("category") or ""),
    )


def _name(where: str, member: Any) -> str:
    if not isinstance(member, dict) or not member.get("model"):
        raise EvaluationError(f"{where}: each member needs its name in `model`.")
    return str(member["model"])


def _answer(where: str, member: Mapping[str, Any]) -> MemberAnswer:
    logprob = member.get("logprob")
    if logprob is not None and not isinstance(logprob, int | float):
        raise EvaluationError(f"{where}: logprob {logprob!r} is no number.")
    return MemberAnswer(
        description=str(member.get("description") or ""),
        reasoning=str(member.get("reasoning") or ""),
        label=_label(where, member.get("label")),
        reflected=_label(where, member.get("reflected")),
        logprob=logprob,
        samples=tuple(_label(where, one) for one in member.get("samples") or ()),
    )


def _label(where: str, value: Any) -> str:
    """0 and 1 are sides, -1 and null are missing."""
    if value is None or value == "" or value == -1:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and value in _NUMBERED:
        return _NUMBERED[int(value)]
    raise EvaluationError(f"{where}: {value!r} is no label: write a text, 0 or 1.")


def _is_whole(said: MemberAnswer) -> bool:
    return bool(said.description and said.reasoning and said.label)
