"""Models behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, a cloud): /chat/completions.

The requests of one call go out together, each with its own deadline; several samples are several
requests with seeds of their own. Whatever a server does, short of a valid reply in time, becomes a
BackendError. One that fails call after call is left alone for a while (inference.backends.limits).
"""

import asyncio
import base64
import hashlib
import io
import json
import logging
import math
import os
import random
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated

import httpx
from PIL import Image
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
)

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import (
    BackendError,
    DeadlineExceeded,
    GenerationFailed,
    ModelUnavailable,
    NotAsked,
    faults_in_words,
)
from inference.backends.limits import Breaker, Turns
from inference.backends.registry import MemberSpec
from inference.tracing import traceparent

log = logging.getLogger(__name__)
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_PERMANENT = {401, 403, 404}
_REFUSED = {400, 422}
_TRANSIENT = {408, 409, 425, 429}
_EXTRAS = ("response_format", "logprobs")
"""What a server may refuse. Left out one by one, then together, until it answers."""
_LESS = ({"response_format"}, {"logprobs"}, set(_EXTRAS))
_REMEMBERED = 1000
FEWEST_PER_MINUTE = 6
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 20.0


def _often_enough(per_minute: float) -> float:
    if 0 < per_minute < FEWEST_PER_MINUTE:
        raise ValueError(
            f"is too few: with less than {FEWEST_PER_MINUTE} a stage's turn comes too late, and "
            "the stages before it would be paid for again and again; 0 sets no limit"
        )
    return per_minute


def _web_address(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65535:
        raise ValueError("is no address such as http://127.0.0.1:8080/v1")
    return text


class OpenAICompatibleOptions(BaseModel):
    """The options of a member on a server.

    base_url            as far as /v1
    api_key_env         environment variable that holds the key; none is sent without it
    retries             further attempts on 408, 409, 425, 429, 5xx and broken connections
    parallel            requests that are out at a time
    per_minute          requests that may begin in a minute (6 or more), evenly spaced; 0: no limit
    breaker             calls in a row that fail before the server is left alone; 0 never does
    rest_s              seconds for which it is left alone at first
    max_response_bytes  a longer reply is refused
    guided              send the JSON schema as response_format, unless the server refuses it
    logprobs            ask for log-probabilities, unless the server refuses that
    length_key          newer cloud models want "max_completion_tokens"
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    base_url: Annotated[str, AfterValidator(_web_address)]
    api_key_env: str = ""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    parallel: Annotated[int, Field(gt=0, le=256)] = 16
    per_minute: Annotated[float, Field(ge=0), AfterValidator(_often_enough)] = 0.0
    breaker: Annotated[int, Field(ge=0)] = 5
    rest_s: Annotated[float, Field(gt=0)] = 30.0
    max_response_bytes: Annotated[int, Field(gt=0)] = 1_000_000
    guided: bool = True
    logprobs: bool = True
    length_key: str = "max_tokens"


class _TokenLogprob(BaseModel):
    logprob: FiniteFloat


class _Logprobs(BaseModel):
    content: list[_TokenLogprob] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    logprobs: _Logprobs | None = None


Count = Annotated[int, Field(ge=0, lt=2**31)]


class _Usage(BaseModel):
    completion_tokens: Count = 0
    prompt_tokens: Count = 0


class _Reply(BaseModel):
    id: str = ""
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class _ErrorBody(BaseModel):
    message: str


class _Complaint(BaseModel):
    error: _ErrorBody | None = None
    detail: str = ""


class OpenAICompatibleBackend:
    """A model on a server. Raises ModelUnavailable on wrong options or a missing key.

    `transport` replaces the network.
    """

    def __init__(self, spec: MemberSpec, transport: httpx.AsyncBaseTransport | None = None) -> None:
        try:
            self.options = OpenAICompatibleOptions.model_validate(dict(spec.options))
        except ValidationError as error:
            raise ModelUnavailable(f"{spec.name}: {faults_in_words(error)}") from error
        self.name, self.model = spec.name, spec.model
        self._url = f"{self.options.base_url.rstrip('/')}/chat/completions"
        self._headers = _HEADERS | self._authorization()
        self._transport = transport
        self._breaker = Breaker(self.options.breaker, self.options.rest_s)
        self._turns = Turns(self.options.per_minute)
        self._taken: set[str] = set()
        self._left_out: set[str] = set()
        self._replies: OrderedDict[bytes, bytes] = OrderedDict()

    def _authorization(self) -> dict[str, str]:
        variable = self.options.api_key_env
        if not variable:
            return {}
        key = os.environ.get(variable, "").strip()
        if not key or not (key.isascii() and key.isprintable()):
            raise ModelUnavailable(f"{self.name}: {variable} holds no API key")
        return {"Authorization": f"Bearer {key}"}

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        """One answer a request. Raises BackendError. The text is told once, when it is whole.

        Not to be called from within an event loop.
        """
        if left := self._breaker.left_s():
            words = f"{self.name}: its server failed too often and is left alone for {left:.0f} s"
            raise NotAsked(words, left)
        try:
            generations = asyncio.run(self._answer_all(requests, self._turns_of(requests)))
        except (_ServerFault, DeadlineExceeded):
            self._breaker.note(well=False)
            raise
        self._breaker.note(well=True)
        if on_text is not None:
            for generation in generations:
                on_text(generation.text)
        return generations

    def _turns_of(self, requests: Sequence[Request]) -> list[float]:
        """Seconds that each waits; at least half of its time is left to the server."""
        within_s = min((one.deadline_s for one in requests), default=0.0) / 2
        waits = self._turns.take(len(requests), within_s=within_s)
        if requests and not waits:
            words = f"{self.name}: {self.options.per_minute:g} requests a minute leave it no turn"
            raise NotAsked(words, self._turns.wait_s())
        return waits

    async def _answer_all(
        self, requests: Sequence[Request], waits: Sequence[float]
    ) -> list[Generation]:
        free = asyncio.Semaphore(self.options.parallel)
        async with httpx.AsyncClient(
            headers=self._headers, timeout=httpx.Timeout(None), transport=self._transport
        ) as client:
            asked = (
                self._answer(client, free, one, wait)
                for one, wait in zip(requests, waits, strict=True)
            )
            return await asyncio.gather(*asked)

    async def _answer(
        self, client: httpx.AsyncClient, free: asyncio.Semaphore, request: Request, wait_s: float
    ) -> Generation:
        try:
            async with asyncio.timeout(request.deadline_s):
                await asyncio.sleep(wait_s)
                async with free:
                    started = time.monotonic()
                    reply = await self._ask(client, request)
        except TimeoutError as error:
            words = f"{self.name}: no answer within {request.deadline_s:g} s"
            raise DeadlineExceeded(words) from error
        return self._read(request, reply, time.monotonic() - started)

    async def _ask(self, client: httpx.AsyncClient, request: Request) -> bytes:
        """The reply; what the server refuses is left out, and from then on not asked for."""
        body, headers = self._body(request), traceparent(request.trace_id)
        extras = {key for key in _EXTRAS if key in body}
        try:
            reply = await self._post(client, json.dumps(body).encode(), headers)
        except _Refused as refusal:
            if not extras - self._taken:
                raise
            return await self._ask_for_less(client, body, headers, refusal)
        self._taken |= extras
        return reply

    async def _ask_for_less(
        self,
        client: httpx.AsyncClient,
        body: dict[str, object],
        headers: Mapping[str, str],
        refusal: "_Refused",
    ) -> bytes:
        for less in _LESS:
            if not less <= body.keys():
                continue
            fewer = {key: value for key, value in body.items() if key not in less}
            try:
                reply = await self._post(client, json.dumps(fewer).encode(), headers)
            except _Refused:
                continue
            log.warning("%s: its server refuses %s", self.name, " and ".join(sorted(less)))
            self._left_out |= less
            return reply
        raise refusal

    def _body(self, request: Request) -> dict[str, object]:
        try:
            pictures = [_picture(image) for image in request.images]
        except (OSError, ValueError) as error:
            raise GenerationFailed(f"{self.name}: the request cannot be made: {error}") from error
        content = [*pictures, {"type": "text", "text": request.prompt}]
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": request.temperature,
            "seed": request.seed,
            self.options.length_key: request.max_tokens,
        }
        if self.options.logprobs:
            body["logprobs"] = True
        if self.options.guided and request.schema is not None:
            body["response_format"] = _response_format(request.schema)
        return {key: value for key, value in body.items() if key not in self._left_out}

    async def _post(
        self, client: httpx.AsyncClient, body: bytes, headers: Mapping[str, str]
    ) -> bytes:
        for attempt in range(self.options.retries):
            try:
                return await self._post_once(client, body, headers)
            except _TryAgain as error:
                turn = self._turns.take(1, within_s=math.inf)[0]
                await asyncio.sleep(max(_pause(attempt, error.after_s), turn))
        return await self._post_once(client, body, headers)

    async def _post_once(
        self, client: httpx.AsyncClient, body: bytes, headers: Mapping[str, str]
    ) -> bytes:
        try:
            async with client.stream("POST", self._url, content=body, headers=headers) as response:
                content = await self._content(response)
        except httpx.HTTPError as error:
            raise _TryAgain(f"{self.name}: {type(error).__name__} at the model server") from error
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response, content)
        return content

    async def _content(self, response: httpx.Response) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _ServerFault(f"{self.name}: the reply is packed, which was not asked for")
        content = b""
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self.options.max_response_bytes:
                limit = f"{self.options.max_response_bytes:,} bytes"
                raise _ServerFault(f"{self.name}: the reply is longer than {limit}")
        return content

    def _refusal(self, response: httpx.Response, content: bytes) -> BackendError:
        status = response.status_code
        words = f"{self.name}: the model server answered {status}"
        if status in _PERMANENT:
            return ModelUnavailable(words)
        if status in _TRANSIENT or status >= 500:
            after_s = _seconds(response.headers.get("Retry-After", ""))
            if after_s > LONGEST_PAUSE_S:
                return NotAsked(f"{words} and wants {after_s:g} s of rest", after_s)
            return _TryAgain(words, after_s)
        if status in _REFUSED:
            return _Refused(words + _complaint(content))
        return GenerationFailed(words + _complaint(content))

    def _read(self, request: Request, content: bytes, seconds: float) -> Generation:
        try:
            reply = _Reply.model_validate_json(content)
        except ValidationError as error:
            words = f"{self.name}: the reply is no chat completion: {faults_in_words(error)[:150]}"
            raise _ServerFault(words) from error
        choice = reply.choices[0]
        if choice.message.content is None:
            raise _ServerFault(f"{self.name}: the model gave no text")
        if reply.id:
            self._refuse_repeated(request, content)
        tokens = choice.logprobs.content if choice.logprobs and choice.logprobs.content else []
        return Generation(
            text=choice.message.content,
            tokens=reply.usage.completion_tokens if reply.usage else len(tokens),
            seconds=seconds,
            logprob=_mean([token.logprob for token in tokens]),
            prompt_tokens=reply.usage.prompt_tokens if reply.usage else 0,
        )

    def _refuse_repeated(self, request: Request, content: bytes) -> None:
        """A reply with an id, the same to a byte as one to another question, was made for that."""
        asked, said = _digest(request), hashlib.sha256(content).digest()
        if self._replies.setdefault(said, asked) != asked:
            raise _ServerFault(f"{self.name}: the reply is one that answered another question")
        if len(self._replies) > _REMEMBERED:
            self._replies.popitem(last=False)


class _Refused(GenerationFailed):
    """The server wants no such request."""


class _ServerFault(GenerationFailed):
    """The server is not well: enough of these in a row, and it is left alone."""


class _TryAgain(_ServerFault):
    """A failure that may pass soon; `after_s` is the server's own wish."""

    def __init__(self, words: str, after_s: float = 0.0) -> None:
        super().__init__(words)
        self.after_s = after_s


def _digest(request: Request) -> bytes:
    """Of all that an answer depends on."""
    digest = hashlib.sha256(f"{request.prompt}\0{request.seed} {request.temperature}".encode())
    for image in request.images:
        digest.update(f"{image.size}".encode() + image.convert("RGB").tobytes())
    return digest.digest()


def _pause(attempt: int, after_s: float) -> float:
    """Seconds until the next attempt: exponential with jitter, never before the server's wish."""
    jittered = FIRST_PAUSE_S * float(2**attempt) * random.uniform(0.5, 1)  # noqa: S311 (no secret)
    return min(max(jittered, after_s), LONGEST_PAUSE_S)


def _seconds(retry_after: str) -> float:
    return int(retry_after) if re.fullmatch("[0-9]{1,6}", retry_after) else 0


def _picture(image: Image.Image) -> dict[str, object]:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=92)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def _response_format(schema: Mapping[str, object]) -> dict[str, object]:
    named = {"name": "answer", "strict": True, "schema": dict(schema)}
    return {"type": "json_schema", "json_schema": named}


def _complaint(content: bytes) -> str:
    """What the server says is wrong with a request, in plain ASCII; empty if it does not say."""
    try:
        said = _Complaint.model_validate_json(content)
    except ValidationError:
        return ""
    words = said.error.message if said.error else said.detail
    return f": {words[:150]!a}" if words else ""


def _mean(logprobs: Sequence[float]) -> float | None:
    mean = math.fsum(logprobs) / len(logprobs) if logprobs else math.nan
    return mean if math.isfinite(mean) else None
