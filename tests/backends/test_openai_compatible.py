"""A model on a server: what is sent, what is read, and every way in which a server can fail."""

import asyncio
import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx
import pytest
from PIL import Image

from inference.backends import openai_compatible
from inference.backends.base import Request
from inference.backends.errors import (
    BackendError,
    DeadlineExceeded,
    GenerationFailed,
    ModelUnavailable,
    NotAsked,
)
from inference.backends.limits import Breaker, Turns
from inference.backends.openai_compatible import OpenAICompatibleBackend
from inference.backends.registry import MemberSpec
from tests.model_server import model_server

Handler = Callable[[httpx.Request], httpx.Response]
REQUEST = Request("What is it?", seed=4, deadline_s=5)
REPLY: dict[str, Any] = {
    "choices": [
        {
            "message": {"role": "assistant", "content": '{"label": "Cut"}'},
            "logprobs": {"content": [{"token": "a", "logprob": -0.5}, {"logprob": -1.5}]},
        }
    ],
    "usage": {"completion_tokens": 11, "prompt_tokens": 300},
}


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_compatible, "FIRST_PAUSE_S", 0.001)


def member(
    handler: Handler | None = None, base_url: str = "http://model.test/v1", **options: object
) -> OpenAICompatibleBackend:
    spec = MemberSpec("far", "openai_compatible", "qwen", options={"base_url": base_url} | options)
    return OpenAICompatibleBackend(spec, httpx.MockTransport(handler) if handler else None)


def replying(content: object) -> Handler:
    return lambda _: httpx.Response(200, json=content)


class Server:
    """Remembers requests; answers with the given responses in turn, the last one for ever."""

    def __init__(self, *responses: httpx.Response | Exception) -> None:
        self.responses = list(responses)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        response = self.responses[min(len(self.seen), len(self.responses)) - 1]
        if isinstance(response, Exception):
            raise response
        return httpx.Response(
            response.status_code, headers=response.headers, content=response.read()
        )


def good() -> httpx.Response:
    return httpx.Response(200, json=REPLY)


def test_a_reply_is_read() -> None:
    heard: list[str] = []
    [generation] = member(replying(REPLY)).generate([REQUEST], heard.append)
    assert generation.text == '{"label": "Cut"}'
    assert heard == [generation.text]
    assert (generation.tokens, generation.logprob, generation.prompt_tokens) == (11, -1.0, 300)
    assert 0 <= generation.seconds < 5


def test_what_is_sent() -> None:
    server = Server(good())
    picture = Image.new("RGB", (9, 7), "red")
    schema = {"type": "object"}
    request = Request("Look.", (picture, picture), max_tokens=99, temperature=0.5, schema=schema)
    member(server, base_url="http://model.test/v1/").generate([request])
    [sent] = server.seen
    assert str(sent.url) == "http://model.test/v1/chat/completions"
    assert sent.headers["content-type"] == "application/json"
    assert "authorization" not in sent.headers
    body = json.loads(sent.content)
    [message] = body.pop("messages")
    assert body == {
        "model": "qwen",
        "temperature": 0.5,
        "seed": 0,
        "max_tokens": 99,
        "logprobs": True,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema},
        },
    }
    assert [part["type"] for part in message["content"]] == ["image_url", "image_url", "text"]
    head, _, data = message["content"][0]["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (9, 7)


def test_what_is_asked_for_can_be_turned_off_and_renamed() -> None:
    server = Server(good())
    options: dict[str, Any] = {
        "guided": False,
        "logprobs": False,
        "length_key": "max_completion_tokens",
    }
    member(server, **options).generate([Request("Look.", max_tokens=9, schema={"type": "object"})])
    body = json.loads(server.seen[0].content)
    assert body["max_completion_tokens"] == 9
    assert not {"logprobs", "response_format", "max_tokens"} & body.keys()


def test_the_key_comes_from_the_environment_and_is_never_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALARM_TEST_KEY", " s3cret\n")
    server = Server(httpx.Response(401, text="s3cret is wrong"))
    with pytest.raises(ModelUnavailable) as caught:
        member(server, api_key_env="ALARM_TEST_KEY").generate([REQUEST])
    assert server.seen[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", "two\nlines", "schlüssel"])
def test_a_missing_or_odd_key_makes_the_model_unavailable(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("ALARM_TEST_KEY", key)
    with pytest.raises(ModelUnavailable, match="ALARM_TEST_KEY holds no API key"):
        member(api_key_env="ALARM_TEST_KEY")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "model.test/v1"}, "base_url"),
        ({"base_url": "http://[::1/v1"}, "base_url"),
        ({"base_url": "http://x:99999999/v1"}, "base_url"),
        ({"retries": -1}, "retries"),
        ({"retries": "2"}, "retries"),
        ({"typo": 1}, "typo"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"far: {words}"):
        member(**options)


def test_requests_of_one_call_are_answered_in_order() -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["messages"][0]["content"][-1]["text"]
        return httpx.Response(200, json={"choices": [{"message": {"content": text}}]})

    made = member(echo).generate([Request(f"text {number}") for number in range(5)])
    assert [generation.text for generation in made] == [f"text {number}" for number in range(5)]
    assert {(generation.tokens, generation.logprob) for generation in made} == {(0, None)}


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        (None, None),
        ({"content": None}, None),
        ({"content": []}, None),
        ({"content": [{"logprob": -2}]}, -2.0),
    ],
)
def test_logprobs_may_be_missing(logprobs: object, expected: float | None) -> None:
    choice = {"message": {"content": "x"}, "logprobs": logprobs}
    [generation] = member(replying({"choices": [choice]})).generate([REQUEST])
    assert generation.logprob == expected


@pytest.mark.parametrize("odd", ["-1e999", "NaN"])
def test_a_logprob_that_is_no_number_is_no_reply(odd: str) -> None:
    text = json.dumps(REPLY).replace("-1.5", odd)
    assert odd in text
    with pytest.raises(GenerationFailed, match="logprob: Input should be a finite number"):
        member(Server(httpx.Response(200, text=text))).generate([REQUEST])


@pytest.mark.parametrize(
    "failure",
    [
        *(httpx.Response(status) for status in (408, 429, 500, 502, 503)),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("half a reply"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(failure: httpx.Response | Exception) -> None:
    server = Server(failure, failure, good())
    assert member(server).generate([REQUEST])[0].text == '{"label": "Cut"}'
    assert len(server.seen) == 3


def test_the_attempts_are_counted() -> None:
    server = Server(httpx.Response(503))
    with pytest.raises(GenerationFailed, match="far: the model server answered 503"):
        member(server, retries=1).generate([REQUEST])
    assert len(server.seen) == 2


def test_a_broken_connection_is_a_failed_generation() -> None:
    with pytest.raises(GenerationFailed, match="ConnectError") as caught:
        member(Server(httpx.ConnectError("refused")), retries=0).generate([REQUEST])
    assert not caught.value.permanent


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_model_is_unavailable_at_once(status: int) -> None:
    server = Server(httpx.Response(status))
    with pytest.raises(ModelUnavailable, match=str(status)):
        member(server).generate([REQUEST])
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [302, 400, 413, 422])
def test_a_refused_request_is_not_tried_again(status: int) -> None:
    headers = {"Location": "http://elsewhere.test/"}
    server = Server(httpx.Response(status, headers=headers))
    with pytest.raises(GenerationFailed, match=str(status)):
        member(server, logprobs=False).generate([REQUEST])
    assert len(server.seen) == 1


GUIDED = Request("What is it?", seed=4, deadline_s=5, schema={"type": "object"})


def refusing(*refused: str) -> tuple[Handler, list[set[str]]]:
    """A server that takes no request with any of these fields, and what it was sent."""
    sent: list[set[str]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        fields = set(json.loads(request.content))
        sent.append(fields & {"response_format", "logprobs"})
        if fields & set(refused):
            return httpx.Response(400, json={"error": {"message": "unsupported"}})
        return httpx.Response(200, json=REPLY)

    return handle, sent


@pytest.mark.parametrize(
    ("refused", "tried"),
    [
        (["response_format"], 2),
        (["logprobs"], 3),
        (["response_format", "logprobs"], 4),
    ],
)
def test_what_a_server_refuses_is_left_out_and_not_asked_for_again(
    refused: list[str], tried: int
) -> None:
    handle, sent = refusing(*refused)
    backend = member(handle)
    assert backend.generate([GUIDED])[0].text == '{"label": "Cut"}'
    assert len(sent) == tried
    backend.generate([GUIDED])
    assert len(sent) == tried + 1
    assert sent[-1] == {"response_format", "logprobs"} - set(refused)


def test_what_a_server_took_before_is_not_left_out_when_it_refuses_something_else() -> None:
    server = Server(good(), httpx.Response(400, json={"error": {"message": "too long"}}))
    backend = member(server)
    backend.generate([GUIDED])
    with pytest.raises(GenerationFailed, match="too long"):
        backend.generate([GUIDED])
    assert len(server.seen) == 2


def test_what_is_refused_either_way_is_told_and_nothing_is_left_out() -> None:
    handle, sent = refusing("model")
    backend = member(handle)
    for _ in range(2):
        with pytest.raises(GenerationFailed, match="400: 'unsupported'"):
            backend.generate([GUIDED])
    assert sent[0] == sent[4] == {"response_format", "logprobs"}


def test_several_samples_have_seeds_of_their_own() -> None:
    server = Server(good())
    member(server).generate([Request("x", temperature=0.7, seed=seed) for seed in (3, 4, 5)])
    assert {json.loads(one.content)["seed"] for one in server.seen} == {3, 4, 5}


def test_a_reply_that_answered_another_question_is_refused() -> None:
    """A proxy that mixes up its answers, or keeps them: to the same question it may."""
    backend = member(replying(REPLY | {"id": "chatcmpl-7"}))
    for _ in range(2):
        backend.generate([REQUEST])
    with pytest.raises(GenerationFailed, match="answered another question"):
        backend.generate([Request("Another one", seed=4, deadline_s=5)])
    red, blue = (Request("x", (Image.new("RGB", (4, 4), shade),)) for shade in ("red", "blue"))
    pictures = member(replying(REPLY | {"id": "chatcmpl-7"}))
    pictures.generate([red])
    with pytest.raises(GenerationFailed, match="answered another question"):
        pictures.generate([blue])


class Clock:
    """Time goes on only when somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("inference.backends.limits.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_server_that_fails_again_and_again_is_left_alone(clock: Clock) -> None:
    server = Server(*[httpx.Response(503)] * 4, good())
    backend = member(server, retries=0, breaker=3, rest_s=10.0)
    for _ in range(3):
        with pytest.raises(GenerationFailed, match="503"):
            backend.generate([REQUEST])
    with pytest.raises(NotAsked, match="left alone for 10 s") as caught:
        backend.generate([REQUEST])
    assert (caught.value.after_s, caught.value.permanent) == (10.0, False)
    clock.now += 10
    with pytest.raises(GenerationFailed, match="503"):
        backend.generate([REQUEST])
    clock.now += 19
    with pytest.raises(NotAsked, match="left alone for 1 s"):
        backend.generate([REQUEST])
    assert len(server.seen) == 4
    clock.now += 1
    assert backend.generate([REQUEST])
    assert backend.generate([REQUEST]), "it is well again"


def test_only_failures_in_a_row_that_are_the_servers_count(clock: Clock) -> None:
    fails, refuses = httpx.Response(500), httpx.Response(400)
    responses = [fails, good(), fails, refuses, good(), fails, good()]
    backend = member(Server(*responses), retries=0, breaker=2, logprobs=False)
    for response in responses:
        with pytest.raises(GenerationFailed) if response.status_code != 200 else nullcontext():
            backend.generate([REQUEST])


def test_a_breaker_can_be_done_without_and_never_rests_for_long(clock: Clock) -> None:
    backend = member(Server(httpx.Response(500)), retries=0, breaker=0)
    for _ in range(20):
        with pytest.raises(GenerationFailed, match="500"):
            backend.generate([REQUEST])
    breaker = Breaker(1, 30.0)
    for _ in range(2000):
        breaker.note(well=False)
    assert breaker.left_s() == 300


def test_requests_begin_no_faster_than_agreed(clock: Clock) -> None:
    turns = Turns(per_minute=12)
    assert turns.take(3, within_s=20) == [0, 5, 10]
    assert turns.take(1, within_s=20) == [15]
    assert turns.take(2, within_s=20) == [], "and then none is taken"
    assert turns.take(1, within_s=20) == [20]
    clock.now += 100
    assert turns.take(1, within_s=0) == [0]
    assert Turns(per_minute=0).take(3, within_s=0) == [0, 0, 0]


def test_without_a_turn_nothing_is_asked(clock: Clock) -> None:
    server = Server(good())
    backend = member(server, per_minute=6.0)
    backend.generate([Request("x", deadline_s=10)])
    with pytest.raises(NotAsked, match="6 requests a minute leave it no turn") as caught:
        backend.generate([Request("x", deadline_s=10)])
    assert caught.value.after_s == 10
    assert len(server.seen) == 1


def test_a_limit_under_which_no_job_would_end_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="per_minute: is too few: with less than 6"):
        member(Server(), per_minute=5.9)
    assert member(Server(), per_minute=0.0)


def test_no_more_requests_are_out_than_agreed() -> None:
    out: list[int] = [0]
    most: list[int] = []

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            out[0] += 1
            most.append(out[0])
            await asyncio.sleep(0.01)
            out[0] -= 1
            return httpx.Response(200, json=REPLY)

    options = {"base_url": "http://model.test/v1", "parallel": 2}
    spec = MemberSpec("far", "openai_compatible", "qwen", options=options)
    OpenAICompatibleBackend(spec, Slow()).generate([REQUEST] * 6)
    assert (max(most), len(most)) == (2, 6)


def test_the_complaint_of_a_server_is_shown_in_plain_ascii() -> None:
    body = {"error": {"message": "no logprobs\0\nhere" + "x" * 500}}
    with pytest.raises(GenerationFailed) as caught:
        member(Server(httpx.Response(400, json=body))).generate([REQUEST])
    assert r"400: 'no logprobs\x00\nhere" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("wish", ["9", "0"])
def test_the_servers_wish_to_wait_is_kept_within_the_deadline(wish: str) -> None:
    server = Server(httpx.Response(429, headers={"Retry-After": wish}), good())
    request = Request("x", deadline_s=0.3)
    if wish == "0":
        assert member(server).generate([request])
    else:
        with pytest.raises(DeadlineExceeded):
            member(server).generate([request])
        assert len(server.seen) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_longer_wish_puts_the_job_back_and_is_no_fault(status: int) -> None:
    refusal = httpx.Response(status, headers={"Retry-After": "21"})
    server = Server(refusal, refusal, good())
    backend = member(server, breaker=1)
    for _ in range(2):
        with pytest.raises(NotAsked, match=f"{status} and wants 21 s of rest") as caught:
            backend.generate([REQUEST])
        assert caught.value.after_s == 21
    assert backend.generate([REQUEST])


def test_pauses_grow_with_jitter_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_compatible, "FIRST_PAUSE_S", 1.0)
    for attempt in range(4):
        pauses = {openai_compatible._pause(attempt, 0) for _ in range(50)}
        assert len(pauses) > 1
        assert all(2**attempt / 2 <= pause <= 2**attempt for pause in pauses)
    assert openai_compatible._pause(0, 7) == 7
    assert openai_compatible._pause(30, 0) == openai_compatible._pause(0, 9999) == 20


@pytest.mark.parametrize("odd", ["Wed, 21 Oct 2026 07:28:00 GMT", "-3", "nan", "9" * 5000, "٣"])
def test_odd_wishes_to_wait_count_as_none(odd: str) -> None:
    assert openai_compatible._seconds(odd) == 0


@pytest.mark.parametrize(
    "body",
    [
        "",
        "garbage",
        "<html>welcome</html>",
        "null",
        "[]",
        "{}",
        '{"choices": []}',
        '{"choices": [{}]}',
        '{"choices": [{"message": {"content": null}}]}',
        '{"choices": [{"message": {"content": 3}}]}',
        '{"choices": [{"message": {"content": "half',
        '{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": -1}}',
        '{"choices": [{"message": {"content": "x"}}], "usage": {"completion_tokens": 1e999}}',
        '{"a":' * 9000,
        "\0",
    ],
)
def test_a_reply_that_is_none_is_a_failed_generation(body: str) -> None:
    with pytest.raises(GenerationFailed) as caught:
        member(Server(httpx.Response(200, text=body))).generate([REQUEST])
    assert len(str(caught.value)) < 250


def test_a_picture_that_cannot_be_read_is_a_failed_generation() -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    torn = Image.open(io.BytesIO(whole.getvalue()[:600]))
    with pytest.raises(GenerationFailed, match="the request cannot be made"):
        member(replying(REPLY)).generate([Request("x", (torn,))])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with model_server() as address:
        yield address


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_a_real_server_answers(server: str) -> None:
    [generation] = member(base_url=f"{server}/good").generate([REQUEST])
    assert (generation.text, generation.prompt_tokens) == ("What is it?", 20)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("hang", DeadlineExceeded),
        ("drip", DeadlineExceeded),
        ("silence", DeadlineExceeded),
        ("error", GenerationFailed),
        ("reset", GenerationFailed),
        ("garbage", GenerationFailed),
        ("html", GenerationFailed),
        ("large", GenerationFailed),
        ("zip", GenerationFailed),
        ("torn", GenerationFailed),
        ("shut", GenerationFailed),
    ],
)
def test_a_real_server_that_fails_is_a_backend_error_in_time(
    server: str, fault: str, error: type[BackendError]
) -> None:
    request = Request("x", deadline_s=0.4 if error is DeadlineExceeded else 5)
    with within(3), pytest.raises(error):
        member(base_url=f"{server}/{fault}").generate([request])


def test_no_server_at_all(unused_tcp_port: int) -> None:
    backend = member(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1", retries=0)
    with pytest.raises(GenerationFailed, match="ConnectError"):
        backend.generate([REQUEST])
