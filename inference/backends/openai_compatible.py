"""Models behind an OpenAI-compatible server (vLLM, llama.cpp, Ollama, a cloud): /chat/completions.

The requests of one call go out together, each with its own deadline. Whatever a server does, short
of a valid reply in time, becomes a BackendError.
"""

import asyncio
import base64
import io
import json
import math
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import httpx
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import (
    BackendError,
    DeadlineExceeded,
    GenerationFailed,
    ModelUnavailable,
    faults_in_words,
)
from inference.backends.registry import MemberSpec
from inference.tracing import traceparent

_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_PERMANENT = {401, 403, 404}
_TRANSIENT = {408, 409, 425, 429}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 20.0


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
    max_response_bytes  a longer reply is refused
    guided              send the JSON schema as response_format
    logprobs            ask for log-probabilities
    length_key          newer cloud models want "max_completion_tokens"
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    base_url: Annotated[str, AfterValidator(_web_address)]
    api_key_env: str = ""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    max_response_bytes: Annotated[int, Field(gt=0)] = 1_000_000
    guided: bool = True
    logprobs: bool = True
    length_key: str = "max_tokens"


class _TokenLogprob(BaseModel):
    logprob: float


class _Logprobs(BaseModel):
    content: list[_TokenLogprob] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    completion_tokens: Annotated[int, Field(ge=0, lt=2**31)] = 0


class _Reply(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class _ErrorBody(BaseModel):
    message: str


class _Complaint(BaseModel):
    error: _ErrorBody


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
        generations = asyncio.run(self._answer_all(requests))
        if on_text is not None:
            for generation in generations:
                on_text(generation.text)
        return generations

    async def _answer_all(self, requests: Sequence[Request]) -> list[Generation]:
        async with httpx.AsyncClient(
            headers=self._headers, timeout=httpx.Timeout(None), transport=self._transport
        ) as client:
            return await asyncio.gather(*(self._answer(client, one) for one in requests))

    async def _answer(self, client: httpx.AsyncClient, request: Request) -> Generation:
        started = time.monotonic()
        try:
            async with asyncio.timeout(request.deadline_s):
                reply = await self._post(client, self._body(request), traceparent(request.trace_id))
        except TimeoutError as error:
            words = f"{self.name}: no answer within {request.deadline_s:g} s"
            raise DeadlineExceeded(words) from error
        return self._read(reply, time.monotonic() - started)

    def _body(self, request: Request) -> bytes:
        try:
            pictures = [_picture(image) for image in request.images]
            body: dict[str, object] = {
                "model": self.model,
                "messages": [
                    {
                        "role": "user",
                        "content": [*pictures, {"type": "text", "text": request.prompt}],
                    }
                ],
                "temperature": request.temperature,
                "seed": request.seed,
                self.options.length_key: request.max_tokens,
            }
            if self.options.logprobs:
                body["logprobs"] = True
            if self.options.guided and request.schema is not None:
                body["response_format"] = _response_format(request.schema)
            return json.dumps(body).encode()
        except (OSError, ValueError) as error:
            raise GenerationFailed(f"{self.name}: the request cannot be made: {error}") from error

    async def _post(
        self, client: httpx.AsyncClient, body: bytes, headers: Mapping[str, str]
    ) -> bytes:
        for attempt in range(self.options.retries):
            try:
                return await self._post_once(client, body, headers)
            except _TryAgain as error:
                await asyncio.sleep(_pause(attempt, error.after_s))
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
            raise GenerationFailed(f"{self.name}: the reply is packed, which was not asked for")
        content = b""
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self.options.max_response_bytes:
                limit = f"{self.options.max_response_bytes:,} bytes"
                raise GenerationFailed(f"{self.name}: the reply is longer than {limit}")
        return content

    def _refusal(self, response: httpx.Response, content: bytes) -> BackendError:
        status = response.status_code
        words = f"{self.name}: the model server answered {status}"
        if status in _PERMANENT:
            return ModelUnavailable(words)
        if status in _TRANSIENT or status >= 500:
            return _TryAgain(words, _seconds(response.headers.get("Retry-After", "")))
        return GenerationFailed(words + _complaint(content))

    def _read(self, content: bytes, seconds: float) -> Generation:
        try:
            reply = _Reply.model_validate_json(content)
        except ValidationError as error:
            words = f"{self.name}: the reply is no chat completion: {faults_in_words(error)[:150]}"
            raise GenerationFailed(words) from error
        choice = reply.choices[0]
        if choice.message.content is None:
            raise GenerationFailed(f"{self.name}: the model gave no text")
        tokens = choice.logprobs.content if choice.logprobs and choice.logprobs.content else []
        return Generation(
            text=choice.message.content,
            tokens=reply.usage.completion_tokens if reply.usage else len(tokens),
            seconds=seconds,
            logprob=_mean([token.logprob for token in tokens]),
        )


class _TryAgain(GenerationFailed):
    """A failure that may pass soon; `after_s` is the server's own wish."""

    def __init__(self, words: str, after_s: float = 0.0) -> None:
        super().__init__(words)
        self.after_s = after_s


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
        return f": {_Complaint.model_validate_json(content).error.message[:150]!a}"
    except ValidationError:
        return ""


def _mean(logprobs: Sequence[float]) -> float | None:
    mean = math.fsum(logprobs) / len(logprobs) if logprobs else math.nan
    return mean if math.isfinite(mean) else None
