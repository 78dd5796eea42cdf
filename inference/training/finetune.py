"""Fine-tuning the top of a vision tower for several domains at once, and what its heads say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from inference.training import measure
from inference.training.arithmetic import short_numbers
from inference.training.pictures import batches
from inference.training.towers import Carried, TowerTop, channels_last, split_tower

State = dict[str, torch.Tensor]
FEW = 2  # versions of a picture that attribute heads make do with


@dataclass(frozen=True)
class TowerSettings:
    """How a tower's top is fine-tuned. Times: about 9 ms a sample and core.

    most  pictures of one domain in an epoch; of a larger album another choice each time
    """

    epochs: int = 10
    batch: int = 32
    most: int = 400
    rate: float = 5e-4
    head_rate: float = 3e-3
    decay: float = 0.05
    mixup: float = 0.3
    smoothing: float = 0.1
    dropout: float = 0.3
    average: float = 0.97


@dataclass(frozen=True)
class Samples:
    """What a tower is trained on, n pictures in v versions of c views.

    maps     float16 (n, v, c, channels, 14, 14)
    labels   (n,) positions in the label set, negative for none
    levels   (n, v, a) attribute levels 0, 1, 2
    measured (n, v, a) what they are levels of
    weights  (n,) how often each is chosen
    """

    maps: NDArray[np.float16]
    labels: NDArray[np.int64]
    levels: NDArray[np.int64]
    measured: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)


class Heads(nn.Module):
    """Label and attribute logits of each domain, of pooled features (n, 1280)."""

    def __init__(self, width: int, labels: Sequence[int]) -> None:
        super().__init__()
        count = len(measure.NAMES) * measure.LEVELS
        self.labels = nn.ModuleList(nn.Linear(width, one) for one in labels)
        self.attributes = nn.ModuleList(nn.Linear(width, count) for _ in labels)

    def forward(self, pooled: torch.Tensor, domain: int) -> tuple[torch.Tensor, torch.Tensor]:
        attributes = self.attributes[domain](pooled)
        shape = (len(measure.NAMES), measure.LEVELS)
        return self.labels[domain](pooled), attributes.unflatten(-1, shape)


@dataclass(frozen=True)
class TunedTower:
    """A fine-tuned top and the heads that were trained with it (the heads are not shipped)."""

    name: str
    top: State
    heads: State

    def build_heads(self) -> Heads:
        biases = [one for key, one in self.heads.items() if key.endswith("bias")]
        counts = [len(one) for one in biases[: len(biases) // 2]]
        heads = Heads(1280, counts)
        heads.load_state_dict(self.heads)
        return heads.eval()

    def directions(self) -> NDArray[np.float32]:
        """The rows (d, 1280) of all heads: the directions that are known to matter."""
        rows = [one for key, one in self.heads.items() if key.endswith("weight")]
        return np.asarray(torch.cat(rows).numpy())


def fine_tune(
    name: str,
    domains: Sequence[Sequence[Samples]],
    label_counts: Sequence[int],
    settings: TowerSettings,
    seed: int,
) -> TunedTower:
    """Train the top of tower `name`; deterministic for a seed and a number of threads.

    domains  a list a domain: its pictures first, then what only shows attributes or is drawn
    """
    rng = np.random.default_rng(seed)
    top, carried = channels_last(split_tower(name)[1]), carried_by(name, domains)
    carried.impose(top)
    torch.manual_seed(seed)  # not earlier: the first build of a tower draws random numbers
    heads = Heads(1280, label_counts)
    optimiser = torch.optim.AdamW(
        [
            {"params": top.parameters(), "lr": settings.rate},
            {"params": heads.labels.parameters(), "lr": settings.head_rate},
        ],
        weight_decay=settings.decay,
    )
    plans = [_epoch(domains, settings, rng) for _ in range(settings.epochs)]
    steps = sum(len(plan) for plan in plans)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps))
    averaged = [Average(top, settings.average), Average(heads, settings.average)]
    for plan in tqdm(plans, desc=f"{name} tower", leave=False, disable=None):
        for domain, part, rows in plan:
            loss = _loss(top, heads, domain, domains[domain][part], rows, settings, rng)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(top.parameters(), 5.0)
            optimiser.step()
            carried.impose(top)
            schedule.step()
            for average in averaged:
                average.update()
    tuned = TunedTower(name, averaged[0].state, averaged[1].state)
    _fit_attributes(tuned, carried, domains)
    return tuned


def carried_by(name: str, domains: Sequence[Sequence[Samples]]) -> Carried:
    """What the maps of the pictures at stride 16 tell of the measurements, for a top to carry.

    Ridge regression of the measurements on the mean maps of whole pictures, scaled so that the
    values at single places lie about 3, in the linear range of ReLU6.
    """
    pictures = [parts[0] for parts in domains]
    whole = np.concatenate([one.maps[:, 0, 0].astype(np.float32) for one in pictures])
    measured = np.concatenate([one.measured[:, 0] for one in pictures])
    mean, pooled = whole.mean(axis=(0, 2, 3)), whole.mean(axis=(2, 3))
    deviation = pooled.std(axis=0) + 1e-6
    scaled = (measured - measured.mean(axis=0)) / (measured.std(axis=0) + 1e-6)
    weights = Ridge(alpha=10.0).fit((pooled - mean) / deviation, scaled).coef_ / deviation
    places = np.einsum("ac,nchw->anhw", weights, whole[::4] - mean[:, None, None])
    weights = weights / (places.std(axis=(1, 2, 3)) + 1e-6)[:, None]
    return Carried(name, weights.astype(np.float32), (3.0 - weights @ mean).astype(np.float32))


@torch.no_grad()
def _fit_attributes(
    tuned: TunedTower, carried: Carried, domains: Sequence[Sequence[Samples]]
) -> None:
    """Fit the attribute heads on what the top carries; changes `tuned`.

    As the mean over all views, which is what a decoder reads most easily.
    """
    eye, last = Eye(tuned), carried.last
    for domain, parts in enumerate(domains):
        weight, bias = (tuned.heads[f"attributes.{domain}.{one}"] for one in ("weight", "bias"))
        weight.zero_()
        values, levels = [], []
        for one in parts:
            for version in range(min(FEW, one.maps.shape[1])):
                tokens = eye.tokens(np.asarray(one.maps[:, version]))
                values.append(tokens[..., last].mean(dim=(1, 2)).numpy())
                levels.append(one.levels[:, version])
        seen, known = np.concatenate(values), np.concatenate(levels)
        mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-6
        for at in range(known.shape[1]):
            fitted = LogisticRegression(C=10.0).fit((seen - mean) / deviation, known[:, at])
            rows = torch.from_numpy(at * measure.LEVELS + fitted.classes_)
            slopes = (fitted.coef_ / deviation).astype(np.float32)
            if len(slopes) == 1:  # two levels only: scikit-learn gives the second against the first
                slopes = np.concatenate([-slopes, slopes]) / 2
            offset = (
                fitted.intercept_
                if len(fitted.classes_) > 2
                else np.array([-1, 1]) * (fitted.intercept_[0] / 2)
            )
            bias[at * measure.LEVELS : (at + 1) * measure.LEVELS] = -1e4
            bias[rows] = torch.from_numpy((offset - slopes @ mean).astype(np.float32))
            weight[rows[:, None], last[None, :]] = torch.from_numpy(slopes)


def _epoch(
    domains: Sequence[Sequence[Samples]], settings: TowerSettings, rng: np.random.Generator
) -> list[tuple[int, int, NDArray[np.int64]]]:
    """The batches of an epoch, each of one part of one domain, in random order."""
    plan = []
    for domain, parts in enumerate(domains):
        for part, samples in enumerate(parts):
            if samples.labels[0] < 0:
                continue
            count = min(len(samples), settings.most)
            share = samples.weights / samples.weights.sum()
            chosen = rng.choice(len(samples), count, replace=False, p=share)
            plan += [(domain, part, chosen[rows]) for rows in batches(count, settings.batch, rng)]
    rng.shuffle(plan)
    return plan


def warm_cosine(step: int, steps: int, warm: float = 0.08) -> float:
    """Learning-rate factor: linear up over the first `warm` of the steps, then a half cosine."""
    start = max(1.0, warm * steps)
    if step < start:
        return (step + 1) / (start + 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - start) / max(1.0, steps - start))))


def _loss(
    top: TowerTop,
    heads: Heads,
    domain: int,
    samples: Samples,
    rows: NDArray[np.int64],
    settings: TowerSettings,
    rng: np.random.Generator,
) -> torch.Tensor:
    versions = rng.integers(0, samples.maps.shape[1], len(rows))
    views = rng.integers(0, samples.maps.shape[2], len(rows))
    maps = torch.from_numpy(samples.maps[rows, versions, views]).float()
    labels = torch.from_numpy(samples.labels[rows])
    share = float(rng.beta(settings.mixup, settings.mixup)) if settings.mixup else 1.0
    other = torch.from_numpy(rng.permutation(len(rows)))
    mixed = share * maps + (1.0 - share) * maps[other]
    pooled = top(mixed.to(memory_format=torch.channels_last)).mean(dim=(2, 3))
    logits = heads.labels[domain](functional.dropout(pooled, settings.dropout))
    smoothing = settings.smoothing
    own = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    others = functional.cross_entropy(logits, labels[other], label_smoothing=smoothing)
    return share * own + (1.0 - share) * others


class Average:
    """Exponential moving average of a module's parameters; buffers are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.steps = module, decay, 0
        self.state = {key: value.detach().clone() for key, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for key, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1.0 - decay)
            else:
                self.state[key].copy_(value)


class Eye:
    """A fine-tuned tower's top with its heads, for looking only."""

    def __init__(self, tower: TunedTower) -> None:
        top = split_tower(tower.name)[1]
        top.load_state_dict(tower.top)
        self.top, self.heads = channels_last(top), tower.build_heads()

    @torch.inference_mode()
    def tokens(self, maps: NDArray[np.float16]) -> torch.Tensor:
        """Visual tokens (n, c, 49, 1280) of maps (n, c, channels, 14, 14) at stride 16."""
        flat = maps.reshape(-1, *maps.shape[2:])
        rows = []
        for start in range(0, len(flat), 96):
            part = torch.from_numpy(flat[start : start + 96].astype(np.float32))
            with short_numbers():
                out = self.top(part.to(memory_format=torch.channels_last))
            rows.append(out.flatten(2).transpose(1, 2).float())
        return cast(torch.Tensor, torch.cat(rows).unflatten(0, maps.shape[:2]))

    @torch.inference_mode()
    def look(self, tokens: torch.Tensor, domain: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Label log-probabilities (n, labels) and attribute levels (n, a) of tokens.

        The probabilities are the mean over the views; attributes are read from all views together.
        """
        seen = tokens.mean(dim=2)
        chances = self.heads(seen, domain)[0].softmax(dim=-1).mean(dim=1)
        attributes = self.heads(seen.mean(dim=1), domain)[1]
        return chances.clamp_min(1e-6).log(), attributes.argmax(dim=-1)
