"""Exact factors against per-rating SGD, and one case scored against the literal definitions.

    python -m benchmarks.uq_factors

Prints medians and ratios. Synthetic answers of the size of the paper's smart-home study: 1,203
cases, five members, so 10 pairs.
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from inference.uq.answers import Answers, encode, label_set
from inference.uq.ensemble import Calibration
from inference.uq.factors import fit_factors
from inference.uq.similarity import pairs, pairwise_cosine
from inference.uq.types import Floats, Numbers

CASES, MEMBERS, WIDTH, RANK, EPOCHS = 1203, 5, 384, 5, 100


def answers(members: int) -> Answers:
    """Texts around one of seven meanings a label, with noise; correct where members agree."""
    rng = np.random.default_rng(0)
    meanings = rng.normal(size=(7, WIDTH))
    codes = rng.integers(0, 7, CASES)[:, None] + (rng.random((CASES, members)) < 0.2)
    names = np.array([f"label {code}" for code in range(8)], dtype=object)
    noise = rng.normal(size=(2, CASES, members, WIDTH))
    descriptions, reasonings = (meanings[codes % 7] + noise).astype(np.float32)
    return Answers(
        tuple(f"m{index}" for index in range(members)),
        descriptions,
        reasonings,
        names[codes],
        names[np.where(rng.random(codes.shape) < 0.1, 0, codes)],
        -rng.random(codes.shape),
    )


def sgd_factors(similarities: Floats, rank: int, epochs: int = EPOCHS) -> Floats:
    """Matrix factorisation as it is usually written: one update a rating, in random order."""
    rng = np.random.default_rng(0)
    rows, columns = similarities.shape
    left, right = rng.normal(0, 0.1, (rows, rank)), rng.normal(0, 0.1, (columns, rank))
    ratings = [(row, column) for row in range(rows) for column in range(columns)]
    for _ in range(epochs):
        rng.shuffle(ratings)
        for row, column in ratings:
            error = similarities[row, column] - left[row] @ right[column]
            step = error * right[column] - 0.001 * left[row]
            right[column] += 0.01 * (error * left[row] - 0.001 * right[column])
            left[row] += 0.01 * step
    return right


def literal_scores(case: Answers, model: Calibration) -> tuple[float, float]:
    """S1 and S2 of one case word for word: impute embeddings, least squares for every residual."""
    stages = model.stages_
    codes = encode(case.labels, label_set(case.labels))[0]
    s1 = _literal_residual(case.descriptions[0], stages.description_factors_)
    s2 = -_literal_residual(case.reasonings[0], stages.reasoning_factors_)
    for code in np.unique(codes):
        voters = codes == code
        mean = case.reasonings[0][voters].mean(axis=0)
        imputed = np.where(voters[:, None], case.reasonings[0], mean)
        s2 += voters.mean() * _literal_residual(imputed, stages.reasoning_factors_)
    return s1, s2


def _literal_residual(texts: Numbers, factors: Floats) -> float:
    cosines = [
        float(texts[a] @ texts[b] / np.linalg.norm(texts[a]) / np.linalg.norm(texts[b]))
        for a, b in pairs(len(texts))
    ]
    weights = np.linalg.lstsq(factors, np.array(cosines), rcond=None)[0]
    return float(((np.array(cosines) - factors @ weights) ** 2).mean())


def timed(work: Callable[[], object], times: int) -> float:
    """Median seconds."""
    measured = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        measured.append(time.perf_counter() - started)
    return median(measured)


def unexplained(similarities: Floats, factors: Floats) -> float:
    basis = np.linalg.qr(factors)[0]
    return float(((similarities - similarities @ basis @ basis.T) ** 2).mean())


def main() -> None:
    five, three = answers(MEMBERS), answers(3)
    similarities = pairwise_cosine(five.descriptions)
    exact = timed(lambda: fit_factors(similarities, RANK), 200)
    slow = timed(lambda: sgd_factors(similarities, RANK), 1)
    print(f"factors of {CASES} x {len(pairs(MEMBERS))}, K = {RANK}")
    print(f"  exact (eigenvectors of the Gram matrix)  {exact * 1e3:10.3f} ms")
    print(f"  per-rating SGD, {EPOCHS} epochs              {slow * 1e3:10.3f} ms")
    print(f"  ratio                                    {slow / exact:10.0f} x")
    best = unexplained(similarities, fit_factors(similarities, RANK))
    left = unexplained(similarities, sgd_factors(similarities, RANK, epochs=10))
    print(f"  unexplained: exact {best:.5f}, SGD after 10 epochs {left:.5f}")

    model = Calibration().fit(three)
    case = three.take(np.array([3]))
    alone = timed(lambda: model.stages_.predict(case), 500)
    every = timed(lambda: model.scores(case), 500)
    together = timed(lambda: model.stages_.predict(three), 20) / CASES
    literal = timed(lambda: literal_scores(case, model), 500)
    print("a case of three members, embeddings given")
    print(f"  S1, S2, S3, one case                     {alone * 1e3:10.3f} ms")
    print(f"  all {len(model.cuts_)} scores, one case                  {every * 1e3:10.3f} ms")
    print(f"  S1, S2, S3, of {CASES:,} together            {together * 1e3:10.3f} ms")
    print(f"  S1, S2 by the letter of the definitions  {literal * 1e3:10.3f} ms")
    print(f"  ratio of the last two                    {literal / together:10.0f} x")

    started = time.perf_counter()
    Calibration().fit(three, np.random.default_rng(1).integers(0, 2, CASES).astype(np.float64))
    print(f"calibration refitted on {CASES} labelled cases: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
