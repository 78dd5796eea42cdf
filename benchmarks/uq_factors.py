"""Exact factors against per-rating SGD, one case scored against the literal definitions, and a
refit of everything on many cases.

    python -m benchmarks.uq_factors [--refit CASES]

Prints medians and ratios. Synthetic answers of the size of the paper's smart-home study: 1,203
cases, five members, so 10 pairs; the refit is of three members and 100,000 cases unless said.
"""

import argparse
import resource
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from inference.uq.aggregator import LearnedAggregator
from inference.uq.answers import Answers, encode, label_set, vote
from inference.uq.ensemble import Calibration
from inference.uq.factors import fit_factors
from inference.uq.similarity import pairs, pairwise_cosine
from inference.uq.types import Floats, Ints, Numbers, Objects

CASES, MEMBERS, WIDTH, RANK, EPOCHS = 1203, 5, 384, 5, 100


def answers(members: int, cases: int = CASES) -> Answers:
    """Texts around one of seven meanings a label, with noise; correct where members agree."""
    rng = np.random.default_rng(0)
    meanings = rng.normal(size=(7, WIDTH)).astype(np.float32)
    codes = rng.integers(0, 7, cases)[:, None] + (rng.random((cases, members)) < 0.2)
    names = np.array([f"label {code}" for code in range(8)], dtype=object)
    descriptions, reasonings = (_around(meanings, codes % 7, rng) for _ in range(2))
    return Answers(
        tuple(f"m{index}" for index in range(members)),
        descriptions,
        reasonings,
        names[codes],
        names[np.where(rng.random(codes.shape) < 0.1, 0, codes)],
        -rng.random(codes.shape),
        _texts(codes.shape, rng),
        _texts(codes.shape, rng),
    )


def _around(meanings: Numbers, codes: Ints, rng: np.random.Generator) -> Numbers:
    """Embeddings (n, M, d) in float32, made in pieces."""
    out = np.empty((*codes.shape, WIDTH), dtype=np.float32)
    for start in range(0, len(codes), 5000):
        part = codes[start : start + 5000]
        noise = rng.standard_normal((*part.shape, WIDTH), dtype=np.float32)
        out[start : start + 5000] = meanings[part] + noise
    return out


def _texts(shape: tuple[int, ...], rng: np.random.Generator) -> Objects:
    """Texts of 60 words out of 3,000, some far more common than others."""
    words = np.array([f"word{index}" for index in range(3000)])
    pool = [" ".join(words[(rng.zipf(1.3, 60) - 1) % len(words)]) for _ in range(5000)]
    return np.array(pool, dtype=object)[rng.integers(len(pool), size=shape)]


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refit", type=int, default=100_000, metavar="CASES")
    cases = parser.parse_args().refit
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

    learned = LearnedAggregator().fit(three, three.labels[:, 0])
    opinion = timed(lambda: learned.predict(case), 500)
    print(f"  the learned aggregator's label and P(error)  {opinion * 1e3:7.3f} ms")
    refit(cases)


def refit(cases: int) -> None:
    """Fit all that is learned from labels, every case labelled."""
    many = answers(3, cases)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    truth = many.labels[:, 0]
    started = time.perf_counter()
    correct = (vote(many)[0] == truth).astype(np.float64)
    correct[: cases // 10] = 1 - correct[: cases // 10]  # some are wrong
    Calibration().fit(many, correct)
    scored = time.perf_counter()
    LearnedAggregator().fit(many, truth)
    ended = time.perf_counter()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"everything refitted on {cases:,} labelled cases of three members")
    print(f"  scores, combination and P(error)         {scored - started:10.1f} s")
    print(f"  learned aggregator                       {ended - scored:10.1f} s")
    print(f"  memory at most                           {most:10.2f} GB, {held:.2f} before")


if __name__ == "__main__":
    main()
