"""Fine-tuning the top of a vision tower, and soft labels from linear heads on the frozen tower."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from inference.training import measure
from inference.training.photos import batches, grouped_folds
from inference.training.towers import TowerTop, channels_last, split_tower

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TowerSettings:
    """How a tower's top is fine-tuned. Times: about 4 ms a sample and core."""

    epochs: int = 18
    batch: int = 32
    rate: float = 3e-4
    head_rate: float = 3e-3
    decay: float = 0.05
    mixup: float = 0.3
    smoothing: float = 0.1
    attributes: float = 0.3
    average: float = 0.98


@dataclass(frozen=True)
class Samples:
    """What a tower or a decoder is trained on, n pictures in v versions of c views.

    maps    float16 (n, v, c, channels, 14, 14)
    labels  (n,) positions in the label set
    levels  (n, v, 6) attribute levels 0, 1, 2
    """

    maps: NDArray[np.float16]
    labels: NDArray[np.int64]
    levels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> "Samples":
        return Samples(self.maps[rows], self.labels[rows], self.levels[rows])


class Heads(nn.Module):
    """Label and attribute logits of pooled features (n, 1280)."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.labels = nn.Linear(width, labels)
        self.attributes = nn.Linear(width, len(measure.NAMES) * measure.LEVELS)

    def forward(self, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        attributes = self.attributes(pooled).view(-1, len(measure.NAMES), measure.LEVELS)
        return self.labels(pooled), attributes


@dataclass(frozen=True)
class TunedTower:
    """A fine-tuned top and the heads that were trained with it (the heads are not shipped)."""

    top: State
    heads: State


def fine_tune(
    name: str, samples: Samples, label_count: int, settings: TowerSettings, seed: int
) -> TunedTower:
    """Train the top of tower `name`; deterministic for a seed and a number of threads."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    top = channels_last(split_tower(name)[1])
    heads = Heads(1280, label_count)
    optimiser = torch.optim.AdamW(
        [
            {"params": top.parameters(), "lr": settings.rate},
            {"params": heads.parameters(), "lr": settings.head_rate},
        ],
        weight_decay=settings.decay,
    )
    steps = settings.epochs * max(1, len(samples) // settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps))
    averaged = [Average(top, settings.average), Average(heads, settings.average)]
    for _ in tqdm(range(settings.epochs), desc=f"{name} tower", leave=False, disable=None):
        for rows in batches(len(samples), settings.batch, rng):
            loss = _loss(top, heads, samples, rows, settings, rng)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(top.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            for average in averaged:
                average.update()
    return TunedTower(averaged[0].state, averaged[1].state)


def warm_cosine(step: int, steps: int, warm: float = 0.08) -> float:
    """Learning-rate factor: linear up over the first `warm` of the steps, then a half cosine."""
    start = max(1.0, warm * steps)
    if step < start:
        return (step + 1) / (start + 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - start) / max(1.0, steps - start))))


def _loss(
    top: TowerTop,
    heads: Heads,
    samples: Samples,
    rows: NDArray[np.int64],
    settings: TowerSettings,
    rng: np.random.Generator,
) -> torch.Tensor:
    versions = rng.integers(0, samples.maps.shape[1], len(rows))
    views = rng.integers(0, samples.maps.shape[2], len(rows))
    maps = torch.from_numpy(samples.maps[rows, versions, views]).float()
    labels = torch.from_numpy(samples.labels[rows])
    levels = torch.from_numpy(samples.levels[rows, versions])
    share = float(rng.beta(settings.mixup, settings.mixup)) if settings.mixup else 1.0
    other = torch.from_numpy(rng.permutation(len(rows)))
    mixed = share * maps + (1.0 - share) * maps[other]
    pooled = top(mixed.to(memory_format=torch.channels_last)).mean(dim=(2, 3))
    logits, attributes = heads(functional.dropout(pooled, 0.3))
    loss = torch.zeros(())
    whole = torch.from_numpy((views == 0).astype(np.float32))
    for weight, order in ((share, torch.arange(len(rows))), (1.0 - share, other)):
        loss = loss + weight * functional.cross_entropy(
            logits, labels[order], label_smoothing=settings.smoothing
        )
        seen = functional.cross_entropy(
            attributes.transpose(1, 2), levels[order], reduction="none"
        ).mean(dim=1)
        loss = loss + weight * settings.attributes * (seen * whole[order]).mean()
    return loss


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


@torch.inference_mode()
def top_maps(name: str, top_state: State | None, maps: NDArray[np.float16]) -> NDArray[np.float16]:
    """Maps (n, v, c, 49, 1280) at stride 32 of maps (n, v, c, channels, 14, 14)."""
    top = split_tower(name)[1]
    if top_state is not None:
        top.load_state_dict(top_state)
    top = channels_last(top)
    shape = maps.shape[:3]
    flat = maps.reshape(-1, *maps.shape[3:])
    rows = []
    for start in range(0, len(flat), 96):
        part = torch.from_numpy(flat[start : start + 96].astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            out = top(part.to(memory_format=torch.channels_last))
        rows.append(out.flatten(2).transpose(1, 2).float().numpy().astype(np.float16))
    return np.concatenate(rows).reshape(*shape, *rows[0].shape[1:])


def soft_labels(
    pooled: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    label_count: int,
    seed: int,
) -> NDArray[np.float32]:
    """Out-of-fold label probabilities (n, labels) of linear heads on pooled (n, v, 1280).

    Tell which photos are hard and what they are mistaken for. Version 0 is what is predicted;
    the others are further training examples.
    """
    folds = grouped_folds([str(one) for one in labels], groups, 4, seed)
    result = np.zeros((len(labels), label_count), dtype=np.float32)
    for fold in range(4):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(outside) == 0:
            continue
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=200))
        versions = pooled.shape[1]
        head.fit(pooled[inside].reshape(-1, pooled.shape[2]), np.repeat(labels[inside], versions))
        result[np.ix_(outside, head.classes_)] = head.predict_proba(pooled[outside, 0])
    return result
