"""The golden vectors, to 1e-8. ALARM_GOLDEN may name another file of the same form."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.uq import metrics, thresholds
from inference.uq import scores as score
from inference.uq.aggregate import Standardiser, choose_weights, smooth_weights
from inference.uq.answers import Answers
from inference.uq.audit import accepted_error, policy_error
from inference.uq.factors import fit_factors, residual
from inference.uq.similarity import pairs, pairwise_cosine, rouge_l, similarity_matrix
from inference.uq.stages import StageScores
from inference.uq.thresholds import ThresholdChoice
from inference.uq.types import Floats, Ints

GOLDEN: dict[str, Any] = json.loads(
    Path(os.environ.get("ALARM_GOLDEN") or Path(__file__).with_name("golden.json")).read_text()
)
CASES = GOLDEN["scores"]
TOLERANCE = GOLDEN["tolerance"]


def array(values: object) -> Floats:
    return np.array(values, dtype=np.float64)


def codes(values: object) -> Ints:
    return np.nan_to_num(array(values), nan=-1).astype(np.int64)


def agree(actual: object, expected: object) -> None:
    np.testing.assert_allclose(array(actual), array(expected), rtol=0, atol=TOLERANCE)


def stage_scores() -> Floats:
    return np.column_stack([array(CASES[name]) for name in ("S1", "S2", "S3")])


def guarantee() -> tuple[Floats, Floats]:
    return array(GOLDEN["guarantee"]["score"]), array(GOLDEN["guarantee"]["err"])


def test_no_part_of_the_file_is_left_out() -> None:
    tested = {"scores", "K_too_large", "alpha", "cost", "guarantee", "metrics", "audit", "stream"}
    assert set(GOLDEN) - {"about", "tolerance"} == tested


def test_pairs_are_in_combinations_order() -> None:
    assert pairs(CASES["M"]).tolist() == CASES["pairs"]


@pytest.mark.parametrize("text", ["desc", "reas"])
def test_cosines_and_factors(text: str) -> None:
    similarities = pairwise_cosine(array(CASES[f"E_{text}"]))
    agree(similarities, CASES[f"cos_{text}"])
    factors = fit_factors(similarities, CASES["K"])
    agree(factors @ factors.T, CASES[f"projector_{text}"])


def test_s1() -> None:
    factors = fit_factors(array(CASES["cos_desc"]), CASES["K"])
    agree(score.comprehension_residual(array(CASES["E_desc"]), factors), CASES["S1"])


def test_s2() -> None:
    factors = fit_factors(array(CASES["cos_reas"]), CASES["K"])
    labels = codes(CASES["labels"])
    agree(score.analysis_residual(array(CASES["E_reas"]), labels, factors), CASES["S2"])


def test_s1_and_s2_through_the_estimator() -> None:
    labels = codes(CASES["labels"])
    names = np.where(labels < 0, "", labels.astype(str)).astype(object)
    answers = Answers(
        members=tuple(f"member {index}" for index in range(CASES["M"])),
        descriptions=array(CASES["E_desc"]),
        reasonings=array(CASES["E_reas"]),
        labels=names,
        reflected=names,
        logprobs=np.full(labels.shape, np.nan),
    )
    stages = StageScores([str(c) for c in CASES["classes"]], rank=CASES["K"]).fit(answers)
    agree(stages.predict(answers)[:, :2], stage_scores()[:, :2])


def test_standardised_and_combined() -> None:
    standardiser = Standardiser().fit(stage_scores())
    agree(standardiser.mean_, CASES["mean"])
    agree(standardiser.std_, CASES["sd_ddof1"])
    agree(standardiser.transform(stage_scores()), CASES["Z"])
    agree(array(CASES["Z"]) @ array(CASES["alpha"]), CASES["combined"])


def test_percentile_threshold_and_what_it_accepts() -> None:
    choice = thresholds.by_percentile(array(CASES["combined"]), CASES["P"])
    agree(choice.threshold, CASES["tau"])
    assert choice.accept(array(CASES["combined"])).astype(int).tolist() == CASES["accept"]


def test_too_many_factors_are_refused() -> None:
    case = GOLDEN["K_too_large"]
    assert case["expect"] == "ValueError"
    similarities = np.random.default_rng(0).random((20, case["J"]))
    with pytest.raises(ValueError, match="K >= J"):
        fit_factors(similarities, case["K"])


def test_weights_on_the_simplex() -> None:
    case = GOLDEN["alpha"]
    weights = choose_weights(array(case["Z"]), array(case["correct"]), case["P"], case["step"])
    agree(weights, case["alpha_mean_of_ties"])


def test_smoothed_weights() -> None:
    case = GOLDEN["alpha"]
    smooth = [key for key in case if "_smooth_sigma" in key]
    for key in smooth:
        name, sigma = key.split("_smooth_sigma")
        raw = array(case[f"{name}_raw"])
        agree(smooth_weights(raw, float(sigma.replace("_", "."))), case[key])
    assert len(smooth) == len([key for key in case if key.endswith("_raw")]) > 0


def test_cost() -> None:
    case = GOLDEN["cost"]
    for choice in case["cases"]:
        best = thresholds.cheapest_percentage(case["P"], case["accuracy"], choice["lam"])
        assert best == choice["best_index"], choice
    case = case["expected_cost"]
    cost = thresholds.expected_cost(
        array(case["err"]),
        array(case["accept"]) == 1,
        error_cost=case["c_err"],
        review_cost=case["c_review"],
        expert_error=case["human_err"],
    )
    agree(cost, case["value"])


def agree_choice(choice: ThresholdChoice, expected: list[float | None]) -> None:
    *numbers, coverage = expected
    agree(choice.coverage, coverage)
    assert choice.qualifies == (numbers[0] is not None)
    if choice.qualifies:
        agree([choice.threshold, choice.bound][: len(numbers)], numbers)
    else:
        assert choice.threshold == -np.inf
        assert choice.labels_needed != 0


@pytest.mark.parametrize(
    ("method", "choose"),
    [
        ("sgr", thresholds.selection_with_guaranteed_risk),
        ("ltt_fixed", thresholds.guaranteed_risk),
        ("cp_bonferroni", lambda *case: thresholds.guaranteed_risk(*case, bonferroni=True)),
        ("crc", lambda s, e, target, _: thresholds.conformal_risk(s, e, target)),
    ],
)
def test_guarantees(method: str, choose: Callable[..., ThresholdChoice]) -> None:
    for case in GOLDEN["guarantee"]["cases"]:
        agree_choice(choose(*guarantee(), case["target"], case["delta"]), case[method])


def test_clopper_pearson() -> None:
    for case in GOLDEN["guarantee"]["clopper_pearson_upper"]:
        bound = thresholds.clopper_pearson_upper(case["k"], case["n"], case["delta"])
        agree(bound, case["value"])


def test_risk_and_coverage() -> None:
    case = GOLDEN["metrics"]
    scores, wrong = array(case["score"]), array(case["err"])
    agree(metrics.rc_curve(scores, wrong), case["risk_coverage"])
    agree(metrics.aurc(scores, wrong), case["aurc"])
    for deferral, accuracy in case["acc_at_defer"].items():
        agree(metrics.kept_accuracy(scores, wrong, float(deferral)), accuracy)


def test_calibration_error() -> None:
    case = GOLDEN["metrics"]["ece"]
    agree(metrics.ece(array(case["p"]), array(case["y"]), case["bins"]), case["value"])


def test_vote_entropy() -> None:
    case = GOLDEN["metrics"]["vote_entropy"]
    agree(score.vote_entropy(codes(case["labels"])), case["value"])


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("eigv", score.eigenvalue_sum),
        ("ecc", score.eccentricity),
        ("deg", score.degree),
        ("vne", score.von_neumann_entropy),
    ],
)
def test_graph_scores(name: str, function: Callable[[Floats], Floats]) -> None:
    agree(function(similarity_matrix(array(CASES["E_desc"]))), GOLDEN["metrics"]["graph"][name])


def test_rouge() -> None:
    for case in GOLDEN["metrics"]["rouge_l"]:
        agree(rouge_l(case["a"], case["b"]), case["value"])


def test_audit() -> None:
    case = GOLDEN["audit"]
    scores, wrong = guarantee()
    assert case["accepted_rule"] == "score<=0.6"
    assert case["pi"] == "clip(0.05+0.2*score,0,1)"
    accepted, probability = scores <= 0.6, np.clip(0.05 + 0.2 * scores, 0, 1)
    audited = np.isin(np.arange(len(scores)), case["audited_index"])
    found = accepted_error(wrong, accepted, audited, probability)
    agree([found.estimate, found.low, found.high, found.audited], case["estimate_lo_hi_n"])
    other = case["counterfactual"]
    assert other["labelled"] == "deferred or audited"
    labelled = ~accepted | audited
    error = policy_error(wrong, scores, other["tau_new"], labelled, probability, accepted)
    agree(error, other["value"])


def test_stream_of_single_cases() -> None:
    case = GOLDEN["stream"]
    scores = stage_scores()[case["cases"], :2]
    standardiser = Standardiser().fit(scores)
    factors = [fit_factors(array(CASES[f"cos_{text}"]), CASES["K"]) for text in ("desc", "reas")]
    for index, expected in zip(case["cases"], case["score"], strict=True):
        s1 = residual(pairwise_cosine(array(CASES["E_desc"])[[index]]), factors[0])
        labels = codes(CASES["labels"])[[index]]
        s2 = score.analysis_residual(array(CASES["E_reas"])[[index]], labels, factors[1])
        z = standardiser.transform(np.column_stack([s1, s2]))
        agree(z @ array(case["alpha"]), [expected])
