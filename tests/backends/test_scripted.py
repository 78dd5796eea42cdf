"""The deterministic backend: what it says follows from picture, name, seed and options alone."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from PIL import Image

from inference.backends.base import Generation, Request
from inference.backends.errors import DeadlineExceeded, GenerationFailed, ModelUnavailable
from inference.backends.registry import MemberSpec
from inference.backends.scripted import ScriptedBackend, picture_hash

LABELS = ["Cut", "Burns", "Bruises", "Abrasions", "Laceration"]


def schema(*texts: str) -> dict[str, object]:
    label = {"type": "string", "enum": LABELS}
    return {"properties": {name: {"type": "string"} for name in texts} | {"label": label}}


def picture(shade: int) -> Image.Image:
    return Image.new("RGB", (4, 3), (shade, shade // 2, 0))


def ask(shade: int = 0, seed: int = 0, deadline_s: float = 5.0) -> Request:
    return Request(
        "look",
        images=(picture(shade),),
        seed=seed,
        deadline_s=deadline_s,
        schema=schema("description", "reasoning"),
    )


def reconsider(label: str, number: int = 0, deadline_s: float = 5.0) -> Request:
    prompt = f'{number} {{"label": "{label}"}} Reply with {{"label": "the label"}}'
    return Request(prompt, deadline_s=deadline_s, schema=schema("reflection"))


def member(name: str = "one", **options: object) -> ScriptedBackend:
    return ScriptedBackend(MemberSpec(name, backend="scripted", options=options))


def said(backend: ScriptedBackend, request: Request) -> dict[str, str]:
    [generation] = backend.generate([request])
    content: dict[str, str] = json.loads(generation.text)
    return content


def labels(backend: ScriptedBackend, pictures: int = 40, seed: int = 0) -> list[str]:
    return [said(backend, ask(shade, seed))["label"] for shade in range(pictures)]


def test_the_schema_is_filled_in_order_with_texts_that_own_up() -> None:
    content = said(member(), ask())
    assert list(content) == ["description", "reasoning", "label"]
    assert content["label"] in LABELS
    assert content["description"].startswith("Scripted description, no model has looked")


def test_answers_repeat_and_depend_on_picture_seed_and_name() -> None:
    assert labels(member()) == labels(member())
    assert labels(member()) != labels(member(), seed=1)
    assert labels(member("one", agreement=0)) != labels(member("two", agreement=0))
    assert set(labels(member())) == set(LABELS)


def test_a_generation_is_well_formed() -> None:
    made = member().generate([ask(1), ask(2)])
    assert len(made) == 2
    for generation in made:
        assert generation.tokens > 0
        assert generation.seconds >= 0
        assert generation.logprob is not None
        assert -1 <= generation.logprob <= 0


@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
def test_members_agree_on_the_wanted_share_of_pictures(agreement: float) -> None:
    ensemble = [member(f"m{place}", agreement=agreement, place=place) for place in range(3)]
    votes = list(zip(*(labels(it, pictures=200) for it in ensemble), strict=True))
    unanimous = sum(len(set(vote)) == 1 for vote in votes) / len(votes)
    assert unanimous == pytest.approx(agreement, abs=0.1 if 0 < agreement < 1 else 0)
    assert all(len(set(vote)) in (1, 3) for vote in votes)


def test_members_that_agree_use_the_same_words() -> None:
    one, two = (said(member(name, agreement=1.0), ask(7)) for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("flips", [0.0, 0.25, 1.0])
def test_reflection_flips_the_wanted_share(flips: float) -> None:
    backend = member(flips=flips)
    changed = [said(backend, reconsider("Burns", it))["label"] != "Burns" for it in range(200)]
    assert sum(changed) / 200 == pytest.approx(flips, abs=0.1 if 0 < flips < 1 else 0)


def test_answers_can_be_set_a_picture_for_any_and_for_reflection() -> None:
    key = picture_hash([picture(1)])
    backend = member(
        answers={key: {"label": "Cut"}, "any": {"label": "Burns"}, "reflection": "{raw"}
    )
    assert said(backend, ask(1))["label"] == "Cut"
    assert said(backend, ask(2))["label"] == "Burns"
    assert backend.generate([reconsider("Cut")])[0].text == "{raw"


def test_the_picture_hash_is_of_pixels_and_sizes() -> None:
    assert picture_hash([picture(1)]) == picture_hash([picture(1).convert("RGBA")])
    assert picture_hash([picture(1)]) != picture_hash([picture(1).resize((3, 4))])
    assert picture_hash([picture(1)]) != picture_hash([picture(2)])


def test_a_delay_is_taken_and_told_in_steps() -> None:
    heard: list[str] = []
    started = time.monotonic()
    [generation] = member(delay_s=0.08).generate([ask()], heard.append)
    assert time.monotonic() - started >= 0.08
    assert generation.seconds >= 0.08
    assert len(heard) == 8
    assert heard[-1] == generation.text
    assert all(generation.text.startswith(part) for part in heard)


@pytest.mark.parametrize("options", [{"delay_s": 9.0}, {"fail": "hang"}])
def test_no_answer_comes_after_the_deadline(options: Mapping[str, Any]) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"one: no answer within 0\.05 s") as caught:
        member(**options).generate([ask(deadline_s=0.05)])
    assert not caught.value.permanent
    assert 0.05 <= time.monotonic() - started < 2


def test_an_unavailable_model_is_permanently_so() -> None:
    with pytest.raises(ModelUnavailable) as caught:
        member(fail="unavailable").generate([ask()])
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("fail", "is_it"),
    [
        ("garbage", lambda text: "html" in text),
        ("empty", lambda text: text == ""),
        ("truncated", lambda text: text.startswith('{"desc') and not text.endswith("}")),
        ("nan", lambda text: text.endswith('"label": NaN}')),
        ("unknown_label", lambda text: json.loads(text)["label"] not in LABELS),
    ],
)
def test_faults_are_shown_in_the_wanted_generation(fail: str, is_it: object) -> None:
    assert callable(is_it)
    both = member(fail=fail)
    late = member(fail=fail, fail_on="reflection")

    def text(backend: ScriptedBackend, request: Request) -> str:
        generation: Generation = backend.generate([request])[0]
        return generation.text

    assert is_it(text(both, ask()))
    assert is_it(text(both, reconsider("Cut")).replace('{"refl', '{"desc'))
    assert not is_it(text(late, ask()))
    assert is_it(text(late, reconsider("Cut")).replace('{"refl', '{"desc'))


@pytest.mark.parametrize(
    "options",
    [
        {"agreement": 1.5},
        {"agreement": float("nan")},
        {"delay_s": -1},
        {"fail": "explode"},
        {"typo": 1},
        {"answers": {"any": 3}},
    ],
)
def test_wrong_options_are_named(options: Mapping[str, Any]) -> None:
    with pytest.raises(ModelUnavailable, match=f"one: {next(iter(options))}"):
        member(**options)


@pytest.mark.parametrize("schema", [None, {}, {"properties": {"description": {}}}])
def test_without_a_schema_it_cannot_answer(schema: Mapping[str, object] | None) -> None:
    with pytest.raises(GenerationFailed, match="schema"):
        member().generate([Request("look", schema=schema)])
