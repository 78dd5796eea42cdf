"""The members that ship: they load as any checkpoint does, and look at the picture."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MEMBERS_FILE, MemberSpec, read_members
from inference.drawings import draw_wound
from inference.pipeline.domains import load_domain
from inference.pipeline.run import Trace, answer_request, run_member

WOUND = load_domain("wound")
SPECS = [spec for spec in read_members() if "wound" in spec.domains]
NAMES = [spec.name for spec in SPECS]
DRAWN = 100_000  # seeds from here on were not drawn for training


@pytest.fixture(scope="module", params=SPECS, ids=NAMES)
def backend(request: pytest.FixtureRequest) -> HuggingFaceBackend:
    spec: MemberSpec = request.param
    return HuggingFaceBackend(spec)


def look(backend: HuggingFaceBackend, picture: Image.Image) -> tuple[Trace, Trace, Trace]:
    return run_member(backend, WOUND, (picture,), seed=0)


def test_three_stages_are_answered_in_valid_json(backend: HuggingFaceBackend) -> None:
    for number, label in enumerate(WOUND.label_ids):
        traces = look(backend, draw_wound(DRAWN + number, label))
        assert all(trace.valid and not trace.repaired for trace in traces), traces
        assert traces[1].fields["label"] in traces[1].fields["reasoning"]


def test_the_answer_follows_the_picture(backend: HuggingFaceBackend) -> None:
    drawn = {label: look(backend, draw_wound(DRAWN, label)) for label in WOUND.label_ids}
    labels = {traces[1].fields["label"] for traces in drawn.values()}
    assert len(labels) >= 4
    assert len({traces[0].fields["description"] for traces in drawn.values()}) >= 5


def test_some_darker_pictures_are_described_in_other_words(backend: HuggingFaceBackend) -> None:
    changed = 0
    for label in WOUND.label_ids:
        picture = draw_wound(DRAWN + 1, label)
        darker = ImageEnhance.Brightness(picture).enhance(0.4)
        plain, dark = (look(backend, one)[0].fields["description"] for one in (picture, darker))
        changed += plain != dark
    assert changed


def test_the_same_picture_gets_the_same_answer_alone_and_in_a_batch(
    backend: HuggingFaceBackend,
) -> None:
    requests = [
        answer_request(WOUND, (draw_wound(DRAWN + number, label),), seed=0)
        for number, label in enumerate(WOUND.label_ids[:3])
    ]
    together = [one.text for one in backend.generate(requests)]
    assert together == [backend.generate([one])[0].text for one in requests]


def test_the_checkpoints_are_small_and_come_with_cards() -> None:
    folder = MEMBERS_FILE.parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 60e6
    for spec in SPECS:
        card = (Path(spec.model) / "README.md").read_text(encoding="utf-8")
        assert "not for clinical use" in card
        assert "licence" in card


def test_the_numbers_of_the_cards_are_those_that_were_measured() -> None:
    measured = json.loads((MEMBERS_FILE.parent / "measured.json").read_text(encoding="utf-8"))
    assert list(measured["members"]) == NAMES
    for spec in SPECS:
        card = (Path(spec.model) / "README.md").read_text(encoding="utf-8")
        assert f"{measured['members'][spec.name]['accuracy']:.3f}" in card
        assert f"{measured['vote']['accuracy']:.3f}" in card


def test_the_calibration_rows_hold_what_a_first_calibration_needs() -> None:
    text = (MEMBERS_FILE.parent / "wound-answers.json").read_text(encoding="utf-8")
    rows = json.loads(text)
    assert len(text) < 1e6
    assert [row["index"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert row["truth"] in WOUND.label_ids
        assert list(row["members"]) == NAMES
        for said in row["members"].values():
            assert set(said) == {"description", "reasoning", "label", "reflected", "logprob"}
            assert said["logprob"] <= 0
