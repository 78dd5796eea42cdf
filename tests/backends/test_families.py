"""The families that people bring along go through the one backend, here tiny and random.

torchvision is not installed: where a family's processor wants it for videos, it does without.
"""

from pathlib import Path

import pytest
from PIL import Image

from inference.backends.base import Request
from inference.backends.errors import ModelUnavailable
from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import MemberSpec
from tests.tiny_models import FAMILIES, smolvlm


@pytest.fixture(scope="module", params=FAMILIES)
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> HuggingFaceBackend:
    import torch
    from transformers.models.smolvlm import processing_smolvlm

    torch.manual_seed(0)
    folder = FAMILIES[request.param](tmp_path_factory.mktemp("family"))
    with pytest.MonkeyPatch.context() as patch:
        # It would write the lengths of videos out in words.
        patch.setattr(processing_smolvlm, "num2words", str)
        return HuggingFaceBackend(MemberSpec("tiny", model=str(folder)))


def shown(*colours: str, prompt: str = "look") -> Request:
    pictures = tuple(Image.new("RGB", (40, 30), colour) for colour in colours)
    return Request(prompt, pictures, max_tokens=10)


def test_it_answers_about_pictures_and_texts_alike_alone_and_in_a_batch(
    backend: HuggingFaceBackend,
) -> None:
    requests = [shown("red"), shown("blue", prompt="look closely, now"), shown(), shown("green")]
    together = backend.generate(requests)
    for request, said in zip(requests, together, strict=True):
        [alone] = backend.generate([request])
        assert (said.text, said.tokens) == (alone.text, alone.tokens)
        assert said.logprob == pytest.approx(alone.logprob, abs=1e-3)
        assert said.prompt_tokens == alone.prompt_tokens


def test_what_it_sees_matters_and_costs_tokens(backend: HuggingFaceBackend) -> None:
    red, blue, two, none = (
        backend.generate([one])[0]
        for one in (shown("red"), shown("blue"), shown("red", "blue"), shown())
    )
    assert red.logprob != blue.logprob
    assert two.prompt_tokens - red.prompt_tokens == red.prompt_tokens - none.prompt_tokens > 0


def test_what_cannot_be_done_without_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.smolvlm import processing_smolvlm

    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    with pytest.raises(ModelUnavailable, match="not installed: Package `num2words` is required"):
        HuggingFaceBackend(MemberSpec("tiny", model=str(smolvlm(tmp_path))))
