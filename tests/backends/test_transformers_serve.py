"""A member on a real server: `transformers serve` with a model that ships."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import httpx
import pytest
from PIL import Image

from inference.backends.errors import GenerationFailed, ModelUnavailable
from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.backends.registry import MEMBERS_FILE, MemberSpec
from inference.drawings import draw_wound
from inference.pipeline.domains import load_domain
from inference.pipeline.run import answer_request, run_member

pytestmark = pytest.mark.slow
MODEL = str(MEMBERS_FILE.parent / "lite0")
WOUND = load_domain("wound")


@pytest.fixture(scope="module")
def address(unused_tcp_port_factory: object) -> Iterator[str]:
    port = unused_tcp_port_factory()  # type: ignore[operator]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", MODEL]
    command += ["--device", "cpu", "--dtype", "float32", "--port", str(port)]
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            yield _ready(
                process, f"http://localhost:{port}", Path(f"/proc/self/fd/{said.fileno()}")
            )
        finally:
            process.terminate()
            process.wait(20)


def _ready(process: subprocess.Popen[bytes], address: str, said: Path) -> str:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(f"{address}/health")
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return f"{address}/v1"
    pytest.fail(f"transformers serve does not start: {said.read_text()[-2000:]}")


def member(address: str, **options: object) -> OpenAICompatibleBackend:
    spec = MemberSpec("far", "openai_compatible", MODEL, options={"base_url": address} | options)
    return OpenAICompatibleBackend(spec)


def as_sent(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return Image.open(buffer).convert("RGB")


def test_a_model_says_behind_a_server_what_it_says_without_one(address: str) -> None:
    pictures = [draw_wound(at, label) for at, label in enumerate(WOUND.label_ids[:3])]
    far = [answer_request(WOUND, [one], seed=1) for one in pictures]
    near = [answer_request(WOUND, [as_sent(one)], seed=1) for one in pictures]
    expected = HuggingFaceBackend(MemberSpec("near", model=MODEL)).generate(near)
    answered = member(address).generate(far)
    assert [one.text.strip() for one in answered] == [one.text for one in expected]
    assert [one.prompt_tokens for one in answered] == [one.prompt_tokens for one in expected]
    assert len({one.text for one in answered}) > 1
    assert all(one.tokens > 0 and one.logprob is None for one in answered)


def test_it_goes_through_the_three_stages(address: str) -> None:
    traces = run_member(member(address), WOUND, [draw_wound(1, "Burns")], seed=1)
    assert [bool(trace.raw_text) or trace.error for trace in traces]
    assert traces[1].prompt_tokens > 100


def test_what_it_refuses_is_told_in_its_words(address: str) -> None:
    request = answer_request(WOUND, [], seed=1)
    with pytest.raises(
        GenerationFailed, match=r'422: "Unexpected fields in the request: .*nonsense'
    ):
        member(address, length_key="nonsense").generate([request])
    with pytest.raises(ModelUnavailable, match="404"):
        member(address.removesuffix("/v1") + "/v2").generate([request])
