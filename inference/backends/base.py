"""What every backend takes and gives. A backend knows nothing of domains, stages or labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

OnText = Callable[[str], None]
"""Called with the text so far, for live progress; used with a single request only."""


@dataclass(frozen=True)
class Request:
    """One generation to make.

    prompt       the full user text; a chat template, if any, is applied by the backend
    images       RGB pictures, in order; empty for a text-only request
    max_tokens   upper bound of generated tokens, > 0
    temperature  >= 0; 0 is greedy
    seed         makes sampling repeatable where the backend can
    deadline_s   seconds that it may take, > 0; past it DeadlineExceeded is raised
    schema       JSON schema of the answer, for servers that can guide their output
    trace_id     of what it is made for, see inference.tracing; empty is none
    """

    prompt: str
    images: tuple[Image.Image, ...] = ()
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    deadline_s: float = 60.0
    schema: Mapping[str, object] | None = None
    trace_id: str = ""


@dataclass(frozen=True)
class Generation:
    """One generated text.

    tokens         generated tokens, >= 0
    seconds        wall-clock time, >= 0
    logprob        mean log-probability a generated token, <= 0; None where unknown
    prompt_tokens  tokens that went in, those of pictures among them, >= 0; 0 where unknown
    """

    text: str
    tokens: int
    seconds: float
    logprob: float | None
    prompt_tokens: int = 0


class Backend(Protocol):
    """A model that answers requests."""

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        """Answer each request, in order. Raises BackendError and nothing else."""
        ...
