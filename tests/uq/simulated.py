"""Ensembles whose errors and texts follow a known rule."""

import numpy as np

from inference.uq.answers import Answers, vote
from inference.uq.types import Floats

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
