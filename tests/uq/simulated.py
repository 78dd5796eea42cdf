"""Ensembles whose errors and texts follow a known rule."""

import numpy as np

from inference.uq.answers import Answers, vote
from inference.uq.types import Floats, Objects

LABELS = np.array(["burn", "cut", "bruise", "stab"], dtype=object)


def ensemble(n: int, *, members: int = 3, width: int = 8, seed: int = 0) -> tuple[Answers, Floats]:
    """`n` answered cases and whether the vote is right (n,): harder cases differ more."""
    rng = np.random.default_rng(seed)
    meanings = rng.normal(size=(len(LABELS), width))
    truth, difficulty = rng.integers(len(LABELS), size=n), rng.beta(1, 3, size=n)
    slips = rng.random((n, members)) < difficulty[:, None]
    codes = np.where(slips, rng.integers(len(LABELS), size=(n, members)), truth[:, None])
    flips = rng.random((n, members)) < 0.5 * difficulty[:, None]
    reflected = np.where(flips, truth[:, None], codes)
    noise = (0.2 + difficulty)[:, None, None]
    texts = [meanings[codes] + noise * rng.normal(size=(n, members, width)) for _ in range(2)]
    answers = Answers(
        members=tuple(f"m{index}" for index in range(members)),
        descriptions=texts[0],
        reasonings=texts[1],
        labels=LABELS[codes],
        reflected=LABELS[reflected],
        logprobs=-difficulty[:, None] * rng.random((n, members)) - 0.01,
    )
    labels, _ = vote(answers)
    return answers, (labels == LABELS[truth]).astype(np.float64)


def telling(n: int, *, seed: int = 0, shifted: bool = False) -> tuple[Answers, Objects]:
    """`n` cases and their truth (n,): members are right two times in three, but their texts tell.

    Every description holds a word of its true label. Where the world has `shifted`, those words
    mean the next label, all texts speak of something else too, and the votes are as good as before.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(len(LABELS), size=n)
    slips = rng.random((n, 3)) < 1 / 3
    codes = np.where(slips, rng.integers(len(LABELS), size=(n, 3)), truth[:, None])
    said = (truth + shifted) % len(LABELS)
    words = np.array(["redred", "lineline", "bluegrey", "holehole"], dtype=object)
    place = "garden at night" if shifted else "kitchen by day"
    descriptions = np.array([[f"there is {words[one]} in the {place}"] * 3 for one in said])
    reasonings = np.array([[f"it seems to be {LABELS[one]}" for one in row] for row in codes])
    meanings = np.random.default_rng(99).normal(size=(2 * len(LABELS), 8))
    vectors = [
        meanings[rows + shifted * len(LABELS)] + 0.3 * rng.normal(size=(n, 3, 8))
        for rows in (np.repeat(said[:, None], 3, axis=1), codes)
    ]
    answers = Answers(
        members=("m0", "m1", "m2"),
        descriptions=vectors[0],
        reasonings=vectors[1],
        labels=LABELS[codes],
        reflected=LABELS[codes],
        logprobs=np.full((n, 3), np.nan),
        description_texts=descriptions.astype(object),
        reasoning_texts=reasonings.astype(object),
    )
    return answers, LABELS[truth]


def without(answers: Answers, rows: object, member: int) -> Answers:
    """The same answers, but that member said nothing in these cases."""
    fields = {
        name: getattr(answers, name).copy()
        for name in ("descriptions", "reasonings", "labels", "reflected", "logprobs")
    }
    for name in ("descriptions", "reasonings", "logprobs"):
        fields[name][rows, member] = np.nan
    for name in ("labels", "reflected"):
        fields[name][rows, member] = ""
    return Answers(answers.members, **fields)
