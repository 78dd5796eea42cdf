"""The members that ship: they load as any checkpoint does, and look at the picture."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from inference.backends.base import Backend
from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MEMBERS_FILE, MemberSpec, read_members
from inference.drawings import draw_room, draw_wound
from inference.pipeline.domains import Domain, load_domain
from inference.pipeline.run import Trace, answer_request, read_answer, run_cases, run_member
from inference.training.patches import draw_patch
from inference.training.wording import load_wording, stated_level

FOLDER = MEMBERS_FILE.parent
SPECS = read_members()
NAMES = [spec.name for spec in SPECS]
DRAWN = 100_000  # seeds from here on were not drawn for training
DRAW: dict[str, Callable[[int, str], Image.Image]] = {"wound": draw_wound, "home": draw_room}


@pytest.fixture(scope="module", params=SPECS, ids=NAMES)
def backend(request: pytest.FixtureRequest) -> HuggingFaceBackend:
    spec: MemberSpec = request.param
    return HuggingFaceBackend(spec)


@pytest.fixture(params=["wound", "home"])
def domain(request: pytest.FixtureRequest) -> Domain:
    return load_domain(request.param)


def look(
    backend: Backend, domain: Domain, pictures: list[Image.Image]
) -> list[tuple[Trace, Trace, Trace]]:
    answered = run_cases(backend, domain, [[one] for one in pictures], seeds=[0] * len(pictures))
    return [one for one in answered if isinstance(one, tuple)]


def test_three_stages_are_answered_in_valid_json(
    backend: HuggingFaceBackend, domain: Domain
) -> None:
    for number, label in enumerate(domain.label_ids[:3]):
        picture = DRAW[domain.id](DRAWN + number, label)
        traces = run_member(backend, domain, (picture,), seed=0)
        assert all(trace.valid and not trace.repaired for trace in traces), traces
        assert traces[1].fields["label"] in traces[1].fields["reasoning"]


def test_the_prompt_decides_which_labels_there_are(backend: HuggingFaceBackend) -> None:
    picture = draw_wound(DRAWN, "Cut")
    for domain in (load_domain("wound"), load_domain("home")):
        [traces] = look(backend, domain, [picture])
        assert traces[1].fields["label"] in domain.label_ids
        assert traces[2].fields["label"] in domain.label_ids


def test_the_answer_follows_the_picture(backend: HuggingFaceBackend, domain: Domain) -> None:
    pictures = [DRAW[domain.id](DRAWN + 2, label) for label in domain.label_ids]
    answered = look(backend, domain, pictures)
    assert len({traces[1].fields["label"] for traces in answered}) >= 4
    assert len({traces[0].fields["description"] for traces in answered}) >= 5


def stated(backend: Backend, domain: Domain, attribute: str, pictures: list[Image.Image]) -> float:
    """The mean level, 0 to 2, that descriptions of these pictures state, without a reflection."""
    words = load_wording(domain.id)
    requests = [answer_request(domain, (one,), seed=0) for one in pictures]
    said = [
        read_answer(domain, request, generation)[0].fields["description"]
        for request, generation in zip(requests, backend.generate(requests), strict=True)
    ]
    return float(np.mean([stated_level(words, attribute, one) for one in said]))


def test_darker_and_more_colourful_pictures_are_described_so(
    backend: HuggingFaceBackend, domain: Domain
) -> None:
    drawn = [DRAW[domain.id](DRAWN + at, label) for at, label in enumerate(domain.label_ids)]
    for attribute, change, low, high in (
        ("darkness", ImageEnhance.Brightness, 1.5, 0.35),
        ({"wound": "redness", "home": "colour"}[domain.id], ImageEnhance.Color, 0.1, 2.5),
    ):
        levels = [
            stated(backend, domain, attribute, [change(one).enhance(much) for one in drawn])
            for much in (low, high)
        ]
        assert levels[1] >= levels[0] + 0.4, (attribute, levels)


@pytest.mark.parametrize(
    ("attribute", "small", "large"),
    [("area", (0.05, 1.5), (0.4, 1.5)), ("length", (0.15, 1.0), (0.3, 4.0))],
    ids=["larger", "as wide and four times as long"],
)
def test_larger_and_longer_patches_are_described_so(
    backend: HuggingFaceBackend,
    attribute: str,
    small: tuple[float, float],
    large: tuple[float, float],
) -> None:
    """Whatever else is drawn by chance. Longer ones of the same area are not: docs/ensemble.md."""
    levels = []
    for size, length in (small, large):
        drawn = [draw_patch(DRAWN + at, size=size, length=length, darkness=0.5) for at in range(12)]
        levels.append(stated(backend, load_domain("wound"), attribute, drawn))
    assert levels[1] >= levels[0] + 0.25, levels


def test_the_same_picture_gets_the_same_answer_alone_and_in_a_batch(
    backend: HuggingFaceBackend, domain: Domain
) -> None:
    requests = [
        answer_request(domain, (DRAW[domain.id](DRAWN + number, label),), seed=0)
        for number, label in enumerate(domain.label_ids[:3])
    ]
    together = [one.text for one in backend.generate(requests)]
    assert together == [backend.generate([one])[0].text for one in requests]


def test_the_checkpoints_are_small_and_come_with_cards() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 70e6
    for spec in SPECS:
        card = (Path(spec.model) / "README.md").read_text(encoding="utf-8")
        assert "not for clinical use" in card
        assert "licence" in card


def test_the_numbers_of_the_cards_are_those_that_were_measured(domain: Domain) -> None:
    measured = json.loads((FOLDER / "measured.json").read_text(encoding="utf-8"))[domain.id]
    assert list(measured["members"]) == NAMES
    for spec in SPECS:
        card = (Path(spec.model) / "README.md").read_text(encoding="utf-8")
        assert f"{measured['members'][spec.name]['accuracy']:.3f}" in card
        assert f"{measured['accuracy']:.3f}" in card


def test_the_calibration_rows_hold_what_a_first_calibration_needs(domain: Domain) -> None:
    text = (FOLDER / f"{domain.id}-answers.json").read_text(encoding="utf-8")
    rows = json.loads(text)
    assert len(text) < 2e6
    assert [row["index"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert row["truth"] in domain.label_ids
        assert list(row["members"]) == NAMES
        for said in row["members"].values():
            assert set(said) == {"description", "reasoning", "label", "reflected", "logprob"}
            assert said["logprob"] <= 0
