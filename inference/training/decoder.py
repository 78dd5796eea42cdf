"""Training a member's projector and decoder on texts, with its tower frozen and precomputed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
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
from inference.training import wording
from inference.training.finetune import warm_cosine
from inference.training.photos import batches
from inference.training.tokens import MEMBER, USER

IGNORED = -100
_Pair = tuple[list[int], list[int]]


@dataclass(frozen=True)
class DecoderSettings:
    """How a decoder is trained. Times: about 35 ms a sample and core."""

    language_steps: int = 450
    language_rate: float = 2e-3
    epochs: int = 6
    batch: int = 12
    rate: float = 1e-3
    decay: float = 0.05
    emphasis: float = 6.0
    softness: float = 0.25
    auxiliary: float = 0.5
    token_dropout: float = 0.15
    reflect_every: int = 3


@dataclass(frozen=True)
class Lessons:
    """What a decoder learns from: n pictures in v versions.

    maps    float16 (n, v, c, 49, 1280) of the fine-tuned tower
    texts   the answer to give for each picture and version
    labels  (n,) true labels
    soft    (n, labels) out-of-fold label probabilities
    """

    maps: NDArray[np.float16]
    texts: Sequence[Sequence[Answer]]
    labels: NDArray[np.int64]
    soft: NDArray[np.float32]


@dataclass(frozen=True)
class Reflected:
    """A reflection to learn: a member's answer and the label to end with."""

    answer: Answer
    label: str


class Tutor:
    """Turns lessons into batches of token ids for one tokenizer and domain."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, domain: Domain) -> None:
        self.tokenizer, self.domain = tokenizer, domain
        self.wording = wording.load_wording(domain.id)
        labels = domain.label_ids
        self.label_tokens = [self._ids(label)[0] for label in labels]
        self.finding_tokens = [
            self._ids(" " + self.wording.finding_word(label))[0] for label in labels
        ]
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

    def emphasised(self, targets: torch.Tensor) -> torch.Tensor:
        """Where a target (b, t) commits to a label: the finding's first word, or a label."""
        wanted = torch.tensor([*self.finding_tokens, *self.label_tokens])
        return torch.isin(targets, wanted)


def train_language(
    model: FastVlmForConditionalGeneration,
    tutor: Tutor,
    drafts: Sequence[Reflected],
    settings: DecoderSettings,
    seed: int,
) -> None:
    """Teach the decoder how answers and reflections are written, on made-up ones, without pictures.

    Cheap, since pictures make up most of a sequence; and the same for all members.
    """
    pupil = _Pupil(model, tutor, settings)
    answers = [tutor.answer_ids(one.answer) for one in drafts]
    pairs = [tutor.reflection_ids(one) for one in drafts]
    rate, steps = settings.language_rate, settings.language_steps
    with _Training(model, pupil, rate, steps, settings, seed) as training:
        for _ in tqdm(range(steps), desc="language", leave=False, disable=None):
            chosen = [answers[one] for one in training.choose(len(answers))]
            said = [pairs[one] for one in training.choose(len(pairs))]
            training.step(pupil.language_loss(chosen) + pupil.reflection_loss(said))


def train_decoder(
    model: FastVlmForConditionalGeneration,
    tutor: Tutor,
    lessons: Lessons,
    drafts: Sequence[Reflected],
    settings: DecoderSettings,
    seed: int,
    *,
    fixed_projector: bool,
) -> None:
    """Teach stages 1 and 2 on pictures, and with every few steps stage 3 on drafts.

    The model is changed in place and left in evaluation mode.
    """
    pupil = _Pupil(model, tutor, settings, fixed=fixed_projector)
    encoded = [[tutor.answer_ids(one) for one in row] for row in lessons.texts]
    pairs = [tutor.reflection_ids(one) for one in drafts]
    steps = settings.epochs * max(1, len(encoded) // settings.batch)
    with _Training(model, pupil, settings.rate, steps, settings, seed) as training:
        for _ in tqdm(range(settings.epochs), desc="decoder", leave=False, disable=None):
            for at, rows in enumerate(batches(len(encoded), settings.batch, training.rng)):
                loss = pupil.answer_loss(lessons, encoded, rows, training.rng)
                if at % settings.reflect_every == 0:
                    said = [pairs[one] for one in training.choose(len(pairs))]
                    loss = loss + pupil.reflection_loss(said)
                training.step(loss)


class _Pupil(nn.Module):
    """Losses of one model. The auxiliary label head is dropped after training."""

    def __init__(
        self,
        model: FastVlmForConditionalGeneration,
        tutor: Tutor,
        settings: DecoderSettings,
        *,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.tutor, self.settings, self.fixed = model, tutor, settings, fixed
        width = model.config.text_config.hidden_size
        self.auxiliary = nn.Linear(width, len(tutor.label_tokens))

    def answer_loss(
        self,
        lessons: Lessons,
        encoded: Sequence[Sequence[list[int]]],
        rows: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> torch.Tensor:
        versions = rng.integers(0, lessons.maps.shape[1], len(rows))
        maps = torch.from_numpy(lessons.maps[rows, versions]).float().flatten(1, 2)
        soft, labels = torch.from_numpy(lessons.soft[rows]), torch.from_numpy(lessons.labels[rows])
        mixed = self._softened(labels, soft)
        keep = torch.rand(maps.shape[:2]) >= self.settings.token_dropout
        maps = maps * keep[..., None] / (1.0 if self.fixed else 1.0 - self.settings.token_dropout)
        targets = _padded([encoded[row][one] for row, one in zip(rows, versions, strict=True)])
        with torch.autocast("cpu", torch.bfloat16):
            shown = self.model.model.multi_modal_projector(maps).float()
            hidden = self._read([shown], targets)
            logits = self.model.lm_head(hidden)
            guess = self.auxiliary(hidden[:, 0])
        loss = self._token_loss(logits.float(), targets, mixed)
        return loss + self.settings.auxiliary * functional.cross_entropy(guess.float(), mixed)

    def language_loss(self, answers: Sequence[list[int]]) -> torch.Tensor:
        """Answers without pictures: their wording, and how their parts agree."""
        targets = _padded(answers)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model.lm_head(self._read([], targets))
        token = functional.cross_entropy(
            logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
        )
        return self._weighted(token, targets)

    def _read(self, shown: list[torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        """Hidden states (b, t, width) from which the targets (b, t) are predicted.

        shown  none, or one block (b, tokens, width) of projected pictures
        """
        embed = self.model.model.language_model.embed_tokens
        ask = embed(torch.tensor([[self.tutor.member]])).expand(len(targets), -1, -1)
        text = embed(targets[:, :-1].clamp_min(0))
        hidden = self._after(self.tutor.prompt, torch.cat([*shown, ask, text], dim=1))
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

    def _softened(self, labels: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
        share = self.settings.softness
        hard = functional.one_hot(labels, soft.shape[1]).float()
        return (1.0 - share) * hard + share * soft

    def _token_loss(
        self, logits: torch.Tensor, targets: torch.Tensor, mixed: torch.Tensor
    ) -> torch.Tensor:
        """Weighted cross entropy; where the finding begins, the target is the soft label."""
        token = functional.cross_entropy(
            logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
        )
        findings = torch.tensor(self.tutor.finding_tokens)
        begins = torch.isin(targets, findings)
        begins &= begins.cumsum(dim=1) == 1
        rows, places = torch.nonzero(begins, as_tuple=True)
        chances = logits[rows, places].log_softmax(dim=-1)[:, findings]
        token = token.index_put((rows, places), -(mixed[rows] * chances).sum(dim=1))
        return self._weighted(token, targets)

    def _weighted(self, token: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = (targets != IGNORED).float()
        weight = weight + self.tutor.emphasised(targets) * (self.settings.emphasis - 1.0)
        return (token * weight).sum() / weight.sum()

    def reflection_loss(self, pairs: Sequence[_Pair]) -> torch.Tensor:
        """Text only: the prompt is context, the reflection is learned."""
        shared = _shared_length([prompt for prompt, _ in pairs])
        whole = _padded([(prompt + target)[shared:] for prompt, target in pairs])
        targets = whole[:, 1:].clone()
        for row, (prompt, _) in enumerate(pairs):
            targets[row, : len(prompt) - shared - 1] = IGNORED
        first = min(len(prompt) for prompt, _ in pairs) - shared - 1
        embedded = self.model.model.language_model.embed_tokens(whole[:, :-1].clamp_min(0))
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self._after(pairs[0][0][:shared], embedded)
            logits = self.model.lm_head(hidden[:, first:])
        token = functional.cross_entropy(
            logits.float().transpose(1, 2),
            targets[:, first:],
            ignore_index=IGNORED,
            reduction="none",
        )
        return self._weighted(token, targets[:, first:])


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
        model.model.multi_modal_projector.linear_1.requires_grad_(not pupil.fixed)
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
