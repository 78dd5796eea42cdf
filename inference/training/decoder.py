"""Training a member's projector and decoder on lessons, with its tower frozen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from transformers import FastVlmForConditionalGeneration, PreTrainedTokenizerFast

from inference.pipeline.domains import Domain
from inference.pipeline.parsing import Answer
from inference.pipeline.prompts import answer_prompt, reflection_prompt
from inference.training import measure, wording
from inference.training.arithmetic import short_numbers
from inference.training.finetune import warm_cosine
from inference.training.lessons import Lessons
from inference.training.pictures import batches
from inference.training.tokens import MEMBER, USER

IGNORED = -100
_Pair = tuple[list[int], list[int]]


@dataclass(frozen=True)
class DecoderSettings:
    """How a decoder is trained. Times: about 35 ms a lesson and core.

    passes     how often the lessons are gone through by the first member of a part
    later      the same by the others, which start from the first one's decoder
    emphasis   weight of the words that depend on the picture, against 1 of all others
    """

    language_steps: int = 2000
    language_rate: float = 2e-3
    passes: float = 2.5
    later: float = 1.0
    batch: int = 8
    rate: float = 2e-3
    decay: float = 0.05
    emphasis: float = 30.0
    auxiliary: float = 0.5
    reflect_every: int = 5


@dataclass(frozen=True)
class Reflected:
    """A reflection to learn: a member's answer and the label to end with."""

    answer: Answer
    label: str


@dataclass(frozen=True)
class Syllabus:
    """What one domain teaches a decoder: how to look, and how to reflect."""

    tutor: "Tutor"
    lessons: Lessons
    drafts: Sequence[Reflected]


class Tutor:
    """Turns answers into token ids for one tokenizer and domain; `number` is the domain's place."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, domain: Domain, number: int) -> None:
        self.tokenizer, self.domain, self.number = tokenizer, domain, number
        self.wording = wording.load_wording(domain.id)
        labels = domain.label_ids
        self.label_tokens = [self._ids(label)[0] for label in labels]
        self.finding_tokens = [
            self._ids(" " + self.wording.finding_word(label))[0] for label in labels
        ]
        self.telling_tokens = self._telling()
        if len(set(self.label_tokens)) < len(labels) or len(set(self.finding_tokens)) < len(labels):
            raise ValueError(f"{domain.id}: two labels begin with the same token")
        self.user, self.member = (tokenizer.convert_tokens_to_ids(one) for one in (USER, MEMBER))
        self.prompt = [self.user, *self._ids(answer_prompt(domain))]

    def _ids(self, text: str) -> list[int]:
        return [int(one) for one in self.tokenizer.encode(text, add_special_tokens=False)]

    def answer_ids(self, answer: Answer) -> list[int]:
        return [*self._ids(wording.answer_text(answer)), int(self.tokenizer.eos_token_id)]

    def reflection_ids(self, one: Reflected) -> tuple[list[int], list[int]]:
        """Prompt and target of a reflection."""
        prompt = [self.user, *self._ids(reflection_prompt(self.domain, one.answer)), self.member]
        target = self._ids(wording.reflection_text(self.wording, one.answer, one.label))
        return prompt, [*target, int(self.tokenizer.eos_token_id)]

    def _telling(self) -> list[int]:
        """Tokens that depend on the picture: labels, findings, how sure it is, and attributes."""
        words = [texts[0].split()[0] for texts in self.wording.reasoning.values()]
        found = {self._ids(f' "{word}')[-1] for word in words}
        for texts in self.wording.levels.values():
            found |= {self._ids(f" {word}")[0] for word in texts}
        return sorted(found)

    def emphasised(self, targets: torch.Tensor) -> torch.Tensor:
        """Where a target (b, t) says something that depends on the picture."""
        wanted = [*self.finding_tokens, *self.label_tokens, *self.telling_tokens]
        return torch.isin(targets, torch.tensor(wanted))


def train_language(
    model: FastVlmForConditionalGeneration,
    drafts: Sequence[tuple[Tutor, Sequence[Reflected]]],
    settings: DecoderSettings,
    seed: int,
) -> None:
    """Teach the decoder how answers and reflections are written, on made-up ones, without pictures.

    Cheap, since pictures make up most of a sequence; and the same for all members.
    """
    pupil = _Pupil(model, [tutor for tutor, _ in drafts], settings)
    answers = [[tutor.answer_ids(one.answer) for one in made] for tutor, made in drafts]
    pairs = [[tutor.reflection_ids(one) for one in made] for tutor, made in drafts]
    rate, steps = settings.language_rate, settings.language_steps
    with _Training(model, pupil, rate, steps, settings, seed) as training:
        for step in tqdm(range(steps), desc="language", leave=False, disable=None):
            at = step % len(drafts)
            tutor = drafts[at][0]
            chosen = [answers[at][one] for one in training.choose(len(answers[at]))]
            said = [pairs[at][one] for one in training.choose(len(pairs[at]))]
            loss = pupil.language_loss(tutor, chosen) + pupil.reflection_loss(tutor, said)
            training.step(loss)


def train_decoder(
    model: FastVlmForConditionalGeneration,
    syllabi: Sequence[Syllabus],
    settings: DecoderSettings,
    seed: int,
    *,
    passes: float,
) -> None:
    """Teach stages 1 and 2 on pictures, and with every few steps stage 3 on drafts.

    A step is about one domain. The model is changed in place and left in evaluation mode.
    """
    pupil = _Pupil(model, [one.tutor for one in syllabi], settings)
    encoded = [[one.tutor.answer_ids(said) for said in one.lessons.answers] for one in syllabi]
    pairs = [[one.tutor.reflection_ids(said) for said in one.drafts] for one in syllabi]
    steps = max(1, round(passes * sum(len(one) // settings.batch for one in encoded)))
    with _Training(model, pupil, settings.rate, steps, settings, seed) as training:
        plan = islice(_plan([len(one) for one in encoded], settings.batch, training.rng), steps)
        shown = tqdm(enumerate(plan), total=steps, desc="decoder", leave=False, disable=None)
        for step, (at, rows) in shown:
            loss = pupil.answer_loss(syllabi[at], encoded[at], rows)
            if step % settings.reflect_every == 0:
                said = [pairs[at][one] for one in training.choose(len(pairs[at]))]
                loss = loss + pupil.reflection_loss(syllabi[at].tutor, said)
            training.step(loss)


def _plan(
    sizes: Sequence[int], batch: int, rng: np.random.Generator
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Batches of one domain each, in random order, again and again."""
    while True:
        plan = [(at, rows) for at, size in enumerate(sizes) for rows in batches(size, batch, rng)]
        for place in rng.permutation(len(plan)):
            yield plan[place]


class _Pupil(nn.Module):
    """Losses of one model. The auxiliary heads are dropped after training."""

    def __init__(
        self,
        model: FastVlmForConditionalGeneration,
        tutors: Sequence[Tutor],
        settings: DecoderSettings,
    ) -> None:
        super().__init__()
        self.model, self.settings = model, settings
        width = model.config.text_config.hidden_size
        self.labels = nn.ModuleList(nn.Linear(width, len(one.label_tokens)) for one in tutors)
        self.attributes = nn.Linear(width, len(measure.NAMES) * measure.LEVELS)

    def answer_loss(
        self, syllabus: Syllabus, encoded: Sequence[list[int]], rows: NDArray[np.int64]
    ) -> torch.Tensor:
        """How badly the model answers these lessons."""
        lessons, tutor = syllabus.lessons, syllabus.tutor
        maps = torch.from_numpy(lessons.maps[rows]).float().flatten(1, 2)
        chances = torch.from_numpy(lessons.chances[rows])
        levels = torch.from_numpy(lessons.levels[rows])
        targets = _padded([encoded[row] for row in rows])
        with short_numbers():
            shown = self.model.model.multi_modal_projector(maps).float()
            hidden = self._read(tutor, targets, shown)
            logits = self.model.lm_head(hidden)
            guess = self.labels[tutor.number](hidden[:, 0])
            described = self.attributes(hidden[:, 0]).unflatten(1, (*levels.shape[1:], -1))
        loss = self._token_loss(tutor, logits.float(), targets, chances)
        known = functional.cross_entropy(described.float().transpose(1, 2), levels)
        aside = functional.cross_entropy(guess.float(), chances) + known
        return loss + self.settings.auxiliary * aside

    def language_loss(self, tutor: Tutor, answers: Sequence[list[int]]) -> torch.Tensor:
        """Answers without pictures: their wording, and how their parts agree."""
        targets = _padded(answers)
        with short_numbers():
            logits = self.model.lm_head(self._read(tutor, targets))
        token = functional.cross_entropy(
            logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
        )
        return self._weighted(tutor, token, targets)

    def _read(
        self, tutor: Tutor, targets: torch.Tensor, shown: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Hidden states (b, t, width) from which the targets (b, t) are predicted.

        shown  projected pictures (b, tokens, width), or none
        """
        embed = self.model.model.language_model.embed_tokens
        ask = embed(torch.tensor([[tutor.member]])).expand(len(targets), -1, -1)
        text = embed(targets[:, :-1].clamp_min(0))
        parts = [ask, text] if shown is None else [shown, ask, text]
        hidden = self._after(tutor.prompt, torch.cat(parts, dim=1))
        return hidden[:, -targets.shape[1] :]

    def _after(self, prefix: list[int], embedded: torch.Tensor) -> torch.Tensor:
        """Hidden states of `embedded` (b, t, width) after a prefix that the whole batch shares.

        The prefix is read once: half of a sequence is prompt.
        """
        reader = self.model.model.language_model
        cache = reader(input_ids=torch.tensor([prefix]), use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(embedded))
        read = reader(inputs_embeds=embedded, past_key_values=cache, use_cache=True)
        return cast(torch.Tensor, read.last_hidden_state)

    def _token_loss(
        self, tutor: Tutor, logits: torch.Tensor, targets: torch.Tensor, chances: torch.Tensor
    ) -> torch.Tensor:
        """Weighted cross entropy; where the finding begins, the target are the probabilities."""
        token = functional.cross_entropy(
            logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
        )
        findings = torch.tensor(tutor.finding_tokens)
        begins = torch.isin(targets, findings)
        begins &= begins.cumsum(dim=1) == 1
        rows, places = torch.nonzero(begins, as_tuple=True)
        said = logits[rows, places].log_softmax(dim=-1)[:, findings]
        token = token.index_put((rows, places), -(chances[rows] * said).sum(dim=1))
        return self._weighted(tutor, token, targets)

    def _weighted(self, tutor: Tutor, token: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = (targets != IGNORED).float()
        weight = weight + tutor.emphasised(targets) * (self.settings.emphasis - 1.0)
        return (token * weight).sum() / weight.sum()

    def reflection_loss(self, tutor: Tutor, pairs: Sequence[_Pair]) -> torch.Tensor:
        """Text only: the prompt is context, the reflection is learned."""
        shared = _shared_length([prompt for prompt, _ in pairs])
        whole = _padded([(prompt + target)[shared:] for prompt, target in pairs])
        targets = whole[:, 1:].clone()
        for row, (prompt, _) in enumerate(pairs):
            targets[row, : len(prompt) - shared - 1] = IGNORED
        first = min(len(prompt) for prompt, _ in pairs) - shared - 1
        embedded = self.model.model.language_model.embed_tokens(whole[:, :-1].clamp_min(0))
        with short_numbers():
            hidden = self._after(pairs[0][0][:shared], embedded)
            logits = self.model.lm_head(hidden[:, first:])
        token = functional.cross_entropy(
            logits.float().transpose(1, 2),
            targets[:, first:],
            ignore_index=IGNORED,
            reduction="none",
        )
        return self._weighted(tutor, token, targets[:, first:])


class _Training:
    """Optimiser, schedule and modes around a loop of steps."""

    def __init__(
        self,
        model: FastVlmForConditionalGeneration,
        pupil: _Pupil,
        rate: float,
        steps: int,
        settings: DecoderSettings,
        seed: int,
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.model, self.settings = model, settings
        model.model.vision_tower.requires_grad_(False)
        self.learned = [one for one in pupil.parameters() if one.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.learned, lr=rate, weight_decay=settings.decay, betas=(0.9, 0.98)
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: warm_cosine(step, steps)
        )

    def __enter__(self) -> "_Training":
        self.model.model.language_model.train()
        return self

    def __exit__(self, *_: object) -> None:
        self.model.eval()

    def choose(self, count: int) -> NDArray[np.int64]:
        """A batch of positions below `count`, drawn anew."""
        size = min(count, self.settings.batch)
        return self.rng.choice(count, size, replace=False)

    def step(self, loss: torch.Tensor) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.learned, 1.0)
        self.optimiser.step()
        self.schedule.step()


def _padded(rows: Sequence[list[int]]) -> torch.Tensor:
    """Right-padded ids (b, t); padding is IGNORED, and being last it needs no attention mask."""
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [IGNORED] * (longest - len(row)) for row in rows])


def _shared_length(rows: Sequence[list[int]]) -> int:
    """How many leading ids all rows have in common."""
    columns = zip(*rows, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
