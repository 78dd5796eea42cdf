"""What a decoder is taught: to say in words what the heads on its own tower make of a picture.

Labels learned by heart would make it sure of everything. The heads' own probabilities, brought to
the share of right answers that they have out of fold, make it say how sure one can be; and pictures
mixed of two, of which a tower cannot be sure, show it what doubt looks like. What is wrong of the
heads is then wrong of the words; but words that follow from what is seen are learned far better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from inference.pipeline.parsing import Answer
from inference.training import wording
from inference.training.finetune import Eye, Samples
from inference.training.wording import Wording

WARMEST = 4.0


@dataclass(frozen=True)
class LessonSettings:
    """How lessons are drawn.

    count    lessons of a domain
    mixed    share of lessons about two pictures laid over each other
    drawn    share of lessons about drawings
    caution  how much worse an event missed is than a false alarm, where a domain has normal labels
    """

    count: int = 1600
    mixed: float = 0.6
    drawn: float = 0.15
    caution: float = 1.5


@dataclass(frozen=True)
class Lessons:
    """n lessons of one domain.

    maps     float16 (n, c, 49, 1280) of the fine-tuned tower
    answers  the answer to give to each
    levels   (n, a) attribute levels as the heads see them and the answers state them
    chances  (n, labels) probabilities, for the place where the answer commits itself to a label
    """

    maps: NDArray[np.float16]
    answers: Sequence[Answer]
    levels: NDArray[np.int64]
    chances: NDArray[np.float32]


@dataclass(frozen=True)
class Belief:
    """How the heads' log-probabilities become the probabilities that a member is taught to state.

    temperature  that makes them as sure as right, out of fold
    odds         (labels,) factors: abnormal labels are believed before there is an even chance
    """

    temperature: float
    odds: NDArray[np.float32]

    def chances(self, log_chances: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (n, labels) that sum to one, of log-probabilities (n, labels)."""
        weighed = softmax(log_chances / self.temperature, axis=1) * self.odds
        return np.asarray(weighed / weighed.sum(axis=1, keepdims=True), dtype=np.float32)


def draw_lessons(
    eye: Eye,
    domain: int,
    parts: Sequence[Samples],
    words: Wording,
    label_ids: Sequence[str],
    belief: Belief,
    settings: LessonSettings,
    seed: int,
) -> Lessons:
    """Lessons about pictures (the first of `parts`) and drawings (the others)."""
    rng = np.random.default_rng(seed)
    maps, answers, stated, chances = [], [], [], []
    for samples, count in _shares(settings, parts):
        for start in range(0, count, 64):
            tokens = eye.tokens(_mixtures(samples, min(64, count - start), settings.mixed, rng))
            log_chances, levels = (one.numpy() for one in eye.look(tokens, domain))
            believed = belief.chances(log_chances)
            stated.append(levels)
            maps.append(tokens.to(torch.float16).numpy())
            chances.append(believed)
            answers += [
                wording.answer_fields(words, label_ids, int(one.argmax()), level, one, rng)
                for one, level in zip(believed, levels.tolist(), strict=True)
            ]
    return Lessons(np.concatenate(maps), answers, np.concatenate(stated), np.concatenate(chances))


def _shares(settings: LessonSettings, parts: Sequence[Samples]) -> list[tuple[Samples, int]]:
    pictures, *drawn = [one for one in parts if len(one)]
    each = round(settings.count * settings.drawn / max(1, len(drawn)))
    return [(pictures, settings.count - each * len(drawn)), *((one, each) for one in drawn)]


def _mixtures(
    samples: Samples, count: int, mixed: float, rng: np.random.Generator
) -> NDArray[np.float16]:
    """Maps (count, c, channels, 14, 14) of pictures, a share of them two laid over each other."""
    share = samples.weights / samples.weights.sum()
    first, second = rng.choice(len(samples), (2, count), p=share)
    versions = rng.integers(0, samples.maps.shape[1], (2, count))
    amount = np.where(rng.random(count) < mixed, rng.uniform(0.5, 1.0, count), 1.0)
    amount = amount.astype(np.float32)[:, None, None, None, None]
    maps = amount * samples.maps[first, versions[0]].astype(np.float32)
    maps += (1.0 - amount) * samples.maps[second, versions[1]].astype(np.float32)
    return np.asarray(maps.astype(np.float16))


def fit_temperature(log_chances: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that makes out-of-fold log-probabilities (n, labels) as sure as right.

    Guo et al. 2017; 1 without any.
    """
    if len(labels) == 0:
        return 1.0

    def loss(logarithm: float) -> float:
        scaled = log_chances / np.exp(logarithm)
        scaled = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(-np.log(WARMEST), np.log(WARMEST)), method="bounded")
    return float(np.exp(found.x))
