"""Recorded answers come back as they were, for the placeholder of their case and for no other."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.backends.base import Request
from inference.backends.errors import GenerationFailed, ModelUnavailable
from inference.backends.placeholders import NUMBER_BITS, is_of, number_on, placeholder
from inference.backends.registry import MemberSpec, fingerprint, read_members
from inference.backends.replay import KEPT, ReplayBackend
from inference.pipeline.domains import load_domain
from inference.pipeline.run import run_member
from inference.pipeline.stages import Stage

DOMAIN = load_domain("anomaly")
FEW = {"model": "few", "description": 'A "dog" {runs}.', "reasoning": "It \\barks ", "label": 0}
COT = {"model": "cot", "description": "A cat.", "reasoning": "It sleeps.", "label": 1}


def recorded(folder: Path, *changes: dict[str, Any]) -> Path:
    """A file of one case for each of the changes to the answer of `few`."""
    path = folder / "answers.jsonl"
    rows = [
        {"id": f"case {at}", "truth": 1, "members": [FEW | change, COT]}
        for at, change in enumerate(changes)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def member(path: Path, called: str = "few", /, **options: object) -> ReplayBackend:
    return ReplayBackend(MemberSpec(called, "replay", str(path), ("anomaly",), options=options))


def sent(picture: Image.Image, quality: int = 60, width: int = 500) -> Image.Image:
    """As it comes out of a camera's or our own compression."""
    scaled = picture.resize((width, round(picture.height * width / picture.width)))
    buffer = io.BytesIO()
    scaled.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


@given(st.integers(0, (1 << NUMBER_BITS) - 1), st.text(max_size=12))
def test_a_placeholder_outlives_compression(number: int, name: str) -> None:
    read, check = number_on(sent(placeholder(number, name)))
    assert read == number
    assert is_of(check, number, name)


def test_a_placeholder_shows_its_case_and_nothing_else() -> None:
    one, other = (np.asarray(placeholder(7, name), int) for name in ("ring_1", "ring_2"))
    assert np.abs(one - other)[200:230].any()
    with pytest.raises(ValueError, match="no number of a case"):
        placeholder(1 << NUMBER_BITS, "x")


def test_all_three_stages_are_those_that_were_recorded(tmp_path: Path) -> None:
    path = recorded(tmp_path, {}, {"reflected": 1, "reflection": "Rule 2.", "description": "Two."})
    for at, seen, label, reflection in (
        (0, FEW["description"], "normal", KEPT),
        (1, "Two.", "abnormal", "Rule 2."),
    ):
        picture = sent(placeholder(at, f"case {at}"))
        traces = {one.stage: one for one in run_member(member(path), DOMAIN, [picture], seed=0)}
        assert all(one.valid and not one.repaired for one in traces.values())
        assert traces[Stage.COMPREHENSION].fields == {"description": seen}
        assert traces[Stage.ANALYSIS].fields == {"reasoning": "It \\barks", "label": "normal"}
        assert traces[Stage.REFLECTION].fields == {"reflection": reflection, "label": label}


@pytest.mark.parametrize("label", [None, -1, ""])
def test_an_answer_that_was_not_recorded_is_none(tmp_path: Path, label: object) -> None:
    path = recorded(tmp_path, {"label": label})
    traces = run_member(member(path), DOMAIN, [placeholder(0, "case 0")], seed=0)
    assert not any(one.valid for one in traces)


@pytest.mark.parametrize(
    "picture",
    [Image.new("RGB", (640, 480), "white"), placeholder(1, "case 1"), placeholder(0, "case 1")],
    ids=["a photo", "a case too many", "another file's case"],
)
def test_any_other_picture_is_refused(tmp_path: Path, picture: Image.Image) -> None:
    backend = member(recorded(tmp_path, {}))
    with pytest.raises(GenerationFailed, match="stands for no recorded case"):
        backend.generate([Request("look", images=(picture,))])


@pytest.mark.parametrize("prompt", ["?", '{"description": "A bird.", "reasoning": "Sings."}'])
def test_what_was_never_said_is_not_thought_over(tmp_path: Path, prompt: str) -> None:
    with pytest.raises(GenerationFailed, match="never recorded"):
        member(recorded(tmp_path, {})).generate([Request(prompt)])


def test_a_member_says_why_it_cannot_answer(tmp_path: Path) -> None:
    path = recorded(tmp_path, {})
    with pytest.raises(ModelUnavailable, match="has no member many"):
        member(path, "many")
    with pytest.raises(ModelUnavailable, match=r"none\.jsonl cannot be read"):
        member(tmp_path / "none.jsonl")
    with pytest.raises(ModelUnavailable, match="knows no option temperature"):
        member(path, temperature=1)


def test_a_member_may_go_by_another_name_than_in_the_file(tmp_path: Path) -> None:
    backend = member(recorded(tmp_path, {}), "second", name="cot")
    [said] = backend.generate([Request("look", images=(placeholder(0, "case 0"),))])
    assert json.loads(said.text)["description"] == COT["description"]


def test_other_answers_are_another_member(tmp_path: Path) -> None:
    recorded(tmp_path, {})
    members = tmp_path / "members.toml"
    members.write_text(
        '[members]\nfew = { backend = "replay", model = "answers.jsonl", domains = ["anomaly"] }\n'
    )
    [spec] = read_members(members)
    assert Path(spec.model) == tmp_path / "answers.jsonl"
    before = fingerprint(spec)
    recorded(tmp_path, {"label": 1})
    assert before
    assert fingerprint(spec) != before
