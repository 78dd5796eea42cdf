"""A member that repeats what was recorded: a study's answers go the whole way that others go.

    [members.few]
    backend = "replay"
    model = "answers.jsonl"
    domains = ["anomaly"]
    options = { name = "GPT-4o, few shots" }

The option `name` is the member's name in the file, where that is another one. It looks at
placeholders only, which say what case they stand for; any other picture is refused.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from inference.backends.base import Generation, OnText, Request
from inference.backends.errors import GenerationFailed, ModelUnavailable
from inference.backends.placeholders import is_of, number_on
from inference.backends.recordings import (
    RecordedAnswer,
    Recording,
    RecordingsError,
    read_recordings,
)
from inference.backends.registry import MemberSpec

KEPT = "No second thought was recorded: the label stays."
_SHOWN = '{"description": '


class ReplayBackend:
    """Repeats the answers of one member in the file that `model` names.

    Raises ModelUnavailable where there is no such file, or nothing of that member in it. An answer
    that was not recorded is an empty text, which nobody can parse.
    """

    def __init__(self, spec: MemberSpec) -> None:
        self.name = str(spec.options.get("name", spec.name))
        if unknown := ", ".join(sorted(spec.options.keys() - {"name"})):
            raise ModelUnavailable(f"{spec.name}: a replay knows no option {unknown}, but name")
        try:
            self.recordings = _read(Path(spec.model))
        except RecordingsError as error:
            raise ModelUnavailable(f"{spec.name}: {error}") from error
        said = [one.answers[self.name] for one in self.recordings if self.name in one.answers]
        if not said:
            raise ModelUnavailable(f"{spec.name}: {spec.model} has no member {self.name}")
        self._by_words = {_words(one.description, one.reasoning): one for one in said}

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        """One recorded answer a request. Raises GenerationFailed."""
        return [self._repeat(request, on_text) for request in requests]

    def _repeat(self, request: Request, on_text: OnText | None) -> Generation:
        said = self._seen(request) if request.images else self._shown(request.prompt)
        text = _answer(said) if request.images else _reflection(said)
        if on_text is not None:
            on_text(text)
        return Generation(text, tokens=len(text.split()), seconds=0.0, logprob=said.logprob)

    def _seen(self, request: Request) -> RecordedAnswer:
        number, check = number_on(request.images[0])
        if number >= len(self.recordings) or not is_of(check, number, self.recordings[number].id):
            raise GenerationFailed(f"{self.name}: this picture stands for no recorded case")
        return self.recordings[number].answers.get(self.name, RecordedAnswer("", "", ""))

    def _shown(self, prompt: str) -> RecordedAnswer:
        """The recorded answer that a prompt asks to think over."""
        try:
            shown, _ = json.JSONDecoder().raw_decode(prompt, prompt.index(_SHOWN))
            return self._by_words[_words(shown["description"], shown["reasoning"])]
        except (ValueError, KeyError):
            raise GenerationFailed(f"{self.name}: this answer was never recorded") from None


def _words(description: str, reasoning: str) -> tuple[str, str]:
    return description.strip(), reasoning.strip()


def _answer(said: RecordedAnswer) -> str:
    if not said.label:
        return ""
    fields = {"description": said.description, "reasoning": said.reasoning, "label": said.label}
    return json.dumps(fields)


def _reflection(said: RecordedAnswer) -> str:
    reflection = said.reflection or KEPT
    return json.dumps({"reflection": reflection, "label": said.reflected or said.label})


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[Recording, ...]:
    return read_recordings(path)
