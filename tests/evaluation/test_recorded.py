import json
from pathlib import Path
from typing import Any

import pytest

from inference.evaluation.folder import EvaluationError
from inference.evaluation.recorded import read_recorded

MEMBER = {"model": "few", "description": "A dog.", "reasoning": "It barks.", "label": 1}


def row(**changes: Any) -> dict[str, Any]:
    return {"truth": 1, "members": [MEMBER, MEMBER | {"model": "cot", "label": 0}]} | changes


def written(folder: Path, *rows: object) -> Path:
    path = folder / "answers.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows))
    return path


def test_numbers_are_sides_and_texts_are_labels(tmp_path: Path) -> None:
    found = read_recorded(written(tmp_path, row(category="Pets"), "", row(truth="fall", group="g")))
    assert found.members == ("few", "cot")
    first, second = found.cases
    assert (first.truth, first.source, second.truth, second.group) == (
        "abnormal",
        "Pets",
        "fall",
        "g",
    )
    assert [first.answers[name].label for name in found.members] == ["abnormal", "normal"]
    assert first.whole == {"few", "cot"}


def test_what_else_a_member_said_is_kept(tmp_path: Path) -> None:
    more = MEMBER | {"reflected": 0, "logprob": -0.5, "samples": [0, None, "fall"]}
    said = read_recorded(written(tmp_path, row(members=[more, MEMBER | {"model": "b"}]))).cases[0]
    assert said.answers["few"].reflected == "normal"
    assert said.answers["few"].logprob == -0.5
    assert said.answers["few"].samples == ("normal", "", "fall")
    assert said.answers["b"].reflected == ""


@pytest.mark.parametrize("gone", ["description", "reasoning", "label"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_a_member_that_left_something_out_is_not_whole(
    tmp_path: Path, gone: str, nothing: object
) -> None:
    members = [MEMBER | {gone: nothing}, MEMBER | {"model": "b"}]
    assert read_recorded(written(tmp_path, row(members=members))).cases[0].whole == {"b"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no case"),
        (["{"], "line 1: this is no JSON object"),
        (["[]"], "line 1: write an object"),
        ([row(), row(truth=None)], "line 2: truth is missing"),
        ([row(truth=7)], "7 is no label"),
        ([row(truth=0.5)], "0.5 is no label"),
        ([row(members=[MEMBER, MEMBER])], "two members have one name"),
        ([row(members=[MEMBER])], "two or more members"),
        ([row(members=[MEMBER, {"label": 1}])], "needs its name"),
        ([row(members=[MEMBER, "few"])], "needs its name"),
        ([row(members=[MEMBER | {"logprob": "low"}])], "logprob 'low' is no number"),
        ([row(), row(members=[MEMBER | {"model": "new"}])], "case 2 has a member .* new"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(
    tmp_path: Path, rows: list[object], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_recorded(written(tmp_path, *rows))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"none\.jsonl cannot be read"):
        read_recorded(tmp_path / "none.jsonl")
    (tmp_path / "image.jsonl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_recorded(tmp_path / "image.jsonl")
