"""What several experts say of the same cases: soft labels, and how far each can be relied on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from inference.uq.types import Floats, Ints

ROUNDS = 50
SMOOTHING = 1.0  # answers that each reviewer is taken to have given to each label beforehand
MOST_INFLUENCE = 0.5
LEAST_WEIGHT = 0.25
CAPPINGS = 100


@dataclass(frozen=True)
class Answered:
    """One expert's label of one case."""

    case: str
    expert: str
    label: str


@dataclass(frozen=True)
class Experts:
    """What `judge_experts` found of c cases, e experts and L labels.

    Attributes:
        cases, experts, labels: their names, in the order of the arrays.
        chances: (c, L) the labels' chances a case, rows summing to 1: the soft labels.
        confusion: (e, L, L) P(expert says column | truth is row).
        quality: (e,) in [0, 1], P(right) of each expert if labels occur as they did here.
        overlap: (e,) how many of an expert's cases others labelled too: without any, `quality`
            rests on nothing.
    """

    cases: tuple[str, ...]
    experts: tuple[str, ...]
    labels: tuple[str, ...]
    chances: Floats
    confusion: Floats
    quality: Floats
    overlap: Ints


def soft_labels(answers: Iterable[Answered], labels: Sequence[str]) -> dict[str, Floats]:
    """case -> shares (L,) of the labels that experts gave it; a disagreement marks a hard case.

    An expert's last answer to a case counts.
    """
    said: dict[str, dict[str, str]] = {}
    for one in answers:
        said.setdefault(one.case, {})[one.expert] = one.label
    return {case: _shares(tuple(by.values()), labels) for case, by in said.items()}


def judge_experts(answers: Iterable[Answered]) -> Experts:
    """Dawid & Skene 1979 by expectation maximisation; deterministic.

    Each expert has a confusion matrix, smoothed towards being right as often as not. Starts from
    the soft labels. Where every case has one answer, that answer is all there is to know.
    """
    last = {(one.case, one.expert): one.label for one in answers}
    cases = tuple(sorted({case for case, _ in last}))
    experts = tuple(sorted({expert for _, expert in last}))
    labels = tuple(sorted(set(last.values())))
    given = np.zeros((len(cases), len(experts), len(labels)))
    for (case, expert), label in last.items():
        given[cases.index(case), experts.index(expert), labels.index(label)] = 1.0
    chances = given.sum(axis=1) / given.sum(axis=(1, 2))[:, None]
    confusion = _confusion(given, chances)
    for _ in range(ROUNDS):
        before = chances
        chances = _chances(given, confusion, chances.mean(axis=0))
        confusion = _confusion(given, chances)
        if np.abs(chances - before).max() < 1e-6:
            break
    several = given.sum(axis=(1, 2)) > 1
    right = np.einsum("ell->el", confusion) @ chances.mean(axis=0)
    overlap = given[several].sum(axis=(0, 2)).astype(np.int64)
    return Experts(cases, experts, labels, chances, confusion, right, overlap)


def capped_weights(
    experts: Sequence[str], most: float = MOST_INFLUENCE, least: float = LEAST_WEIGHT
) -> Floats:
    """A weight (n,) in (0, 1] for each label so that no expert holds more than `most` of the whole.

    Who stays below keeps weight 1; who is above is brought down to that share, but no label below
    `least`: one colleague with a single answer must not void the work of years. With so few experts
    that somebody has to hold `most`, nobody is brought down.
    """
    names, places, counts = np.unique(
        np.array(experts, dtype=object), return_inverse=True, return_counts=True
    )
    if most * len(names) <= 1:
        return np.ones(len(experts))
    held = counts.astype(np.float64)
    for _ in range(CAPPINGS):
        held = np.minimum(held, max(most * held.sum(), float(counts.min())))
    weights: Floats = np.maximum(held / counts, least)[places]
    return weights


def _shares(said: Sequence[str], labels: Sequence[str]) -> Floats:
    return np.array([said.count(label) / len(said) for label in labels], dtype=np.float64)


def _confusion(given: Floats, chances: Floats) -> Floats:
    labels = given.shape[2]
    prior = SMOOTHING * (np.eye(labels) + 1.0 / labels)
    counts = np.einsum("ct,cel->etl", chances, given) + prior
    confusion: Floats = counts / counts.sum(axis=2, keepdims=True)
    return confusion


def _chances(given: Floats, confusion: Floats, prior: Floats) -> Floats:
    logs = np.einsum("cel,etl->ct", given, np.log(confusion)) + np.log(np.maximum(prior, 1e-12))
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    normed: Floats = chances / chances.sum(axis=1, keepdims=True)
    return normed
