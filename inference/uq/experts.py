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
RESAMPLES = 500


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


@dataclass(frozen=True)
class Agreement:
    """Of `cases` that several experts answered.

    Attributes:
        same: share, 0 to 1, on which all gave one label.
        alpha: Krippendorff's, at most 1; 0 is what chance gives.
        low, high: its 95 % interval, by drawing the cases again.
    """

    cases: int
    same: float
    alpha: float
    low: float
    high: float


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


def agreement(answers: Iterable[Answered]) -> Agreement | None:
    """How far experts agree on the cases that several of them answered; None without such a case.

    An expert's last answer to a case counts. Krippendorff's alpha for nominal data (2011, with
    missing answers): 1 - observed / expected disagreement, where expected is what the same labels
    would give if they were dealt out at random. Where all labels are one, alpha is 1.
    """
    last = {(one.case, one.expert): one.label for one in answers}
    said: dict[str, list[str]] = {}
    for (case, _expert), label in sorted(last.items()):
        said.setdefault(case, []).append(label)
    units = [labels for labels in said.values() if len(labels) > 1]
    if not units:
        return None
    names = sorted({label for labels in units for label in labels})
    counts = np.array([[labels.count(name) for name in names] for labels in units], dtype=float)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(units), size=(RESAMPLES, len(units)))
    spread = np.array([_alpha(counts[rows]) for rows in draws])
    low, high = np.quantile(spread, [0.025, 0.975])
    same = float(np.mean([len(set(labels)) == 1 for labels in units]))
    return Agreement(len(units), same, _alpha(counts), float(low), float(high))


def _alpha(counts: Floats) -> float:
    """Of answers counted a case and label, (c, L)."""
    sizes = counts.sum(axis=1)
    pairs = (counts * (counts - 1)).sum(axis=1)
    observed = ((sizes * (sizes - 1) - pairs) / (sizes - 1)).sum()
    totals = counts.sum(axis=0)
    n = totals.sum()
    expected = (n * (n - 1) - (totals * (totals - 1)).sum()) / (n - 1)
    return 1.0 if expected == 0 else float(1 - observed / expected)


def kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Cohen 1960 of two experts' labels of the same n >= 1 cases: 1 is agreement, 0 is chance's.

    Where both gave one and the same label to all, there is nothing to disagree about: 1.
    """
    names = sorted({*first, *second})
    table = np.zeros((len(names), len(names)))
    for one, other in zip(first, second, strict=True):
        table[names.index(one), names.index(other)] += 1 / len(first)
    chance = float(table.sum(axis=1) @ table.sum(axis=0))
    return 1.0 if chance == 1 else float((np.trace(table) - chance) / (1 - chance))


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
