import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.uq import metrics
from inference.uq.answers import Answers
from inference.uq.ensemble import Calibration, label_free_scores
from inference.uq.thresholds import guaranteed_risk
from tests.uq.simulated import ensemble, without

ANSWERS, CORRECT = ensemble(400)
FITTED = Calibration().fit(ANSWERS, CORRECT)


def rebuilt() -> Calibration:
    return Calibration.from_dict(json.loads(json.dumps(FITTED.to_dict(), allow_nan=False)))


@pytest.mark.parametrize(
    "method",
    ["vote_entropy", "von_neumann", "cold_start", "analysis_level", "degree", "logprob"],
)
def test_a_higher_score_means_more_errors(method: str) -> None:
    assert metrics.auroc(label_free_scores(ANSWERS)[method], 1 - CORRECT) > 0.7


@given(st.permutations(range(3)))
@settings(max_examples=6)
def test_no_score_depends_on_the_members_order(order: list[int]) -> None:
    shuffled = ANSWERS.take(np.arange(20)).ordered([ANSWERS.members[i] for i in order])
    expected = FITTED.scores(ANSWERS.take(np.arange(20)))
    for method, values in FITTED.scores(shuffled).items():
        np.testing.assert_allclose(values, expected[method], atol=1e-9, err_msg=method)


def test_a_case_alone_scores_as_it_does_in_a_batch() -> None:
    together = FITTED.scores(ANSWERS)
    for method, values in FITTED.scores(ANSWERS.take(np.array([7]))).items():
        np.testing.assert_allclose(values, together[method][[7]], atol=1e-12, err_msg=method)


def test_every_decision_can_be_rebuilt_from_json() -> None:
    fresh, _ = ensemble(100, seed=9)
    before, after = FITTED.scores(fresh), rebuilt().scores(fresh)
    for method, values in before.items():
        np.testing.assert_array_equal(after[method], values)
        np.testing.assert_array_equal(
            rebuilt().error_probability(method, values), FITTED.error_probability(method, values)
        )
    assert rebuilt().to_dict() == FITTED.to_dict()


def test_the_window_may_be_left_out_of_the_json() -> None:
    data = FITTED.to_dict(window=False)
    again = Calibration.from_dict(json.loads(json.dumps(data)))
    assert again.window_ is None
    np.testing.assert_array_equal(again.scores(ANSWERS)["alarm"], FITTED.scores(ANSWERS)["alarm"])


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 0 cannot be read"):
        Calibration.from_dict(FITTED.to_dict() | {"format": 0})


def test_fitting_twice_gives_the_same() -> None:
    assert Calibration().fit(ANSWERS, CORRECT).to_dict() == FITTED.to_dict()


def test_probability_of_error_is_honest_on_new_cases() -> None:
    fresh, correct = ensemble(1500, seed=0)
    scores = FITTED.scores(fresh)
    for method in ("cold_start", "vote_entropy", "alarm"):
        probability = FITTED.error_probability(method, scores[method])
        assert metrics.ece(probability, 1 - correct) < 0.06, method


def test_window_scores_come_from_models_that_had_not_seen_the_case() -> None:
    window = FITTED.window_
    assert window is not None
    again = FITTED.scores(ANSWERS)
    np.testing.assert_array_equal(window.scores["cold_start"], again["cold_start"])
    for method in ("s1", "s2", "s3", "alarm"):
        assert not np.array_equal(window.scores[method], again[method])
    choice = guaranteed_risk(window.error_probability["cold_start"], 1 - window.correct, 0.1)
    assert choice.qualifies


def test_a_missing_member_leaves_the_combination_unknown_and_only_there() -> None:
    scores = FITTED.scores(without(ANSWERS, [3], member=1))
    assert np.isnan(scores["s1"][3])
    assert np.isnan(scores["alarm"][3])
    assert np.isfinite(scores["alarm"]).sum() == 399
    assert np.isnan(FITTED.error_probability("alarm", scores["alarm"])[3])
    assert np.isfinite(scores["cold_start"][3])


def test_a_case_without_any_answer_has_no_score_to_be_accepted_by() -> None:
    empty = ANSWERS.take(np.array([0]))
    for member in range(3):
        empty = without(empty, [0], member)
    scores = FITTED.scores(empty)
    for method in ("vote_entropy", "cold_start", "s1", "s2", "s3", "alarm", "logprob"):
        assert np.isnan(scores[method]).all(), method


def test_a_missing_text_makes_the_reasonings_more_uncertain() -> None:
    agreeing = ANSWERS.take(np.argsort(label_free_scores(ANSWERS)["von_neumann"])[:5])
    before = label_free_scores(agreeing)["von_neumann"]
    after = label_free_scores(without(agreeing, slice(None), member=0))["von_neumann"]
    assert (after > before).all()


def test_it_learns_in_spite_of_gaps() -> None:
    answers = without(without(ANSWERS, np.arange(0, 60), 0), np.arange(60, 120), 2)
    model = Calibration().fit(answers, CORRECT)
    fresh = model.scores(ensemble(50, seed=0)[0])
    assert np.isfinite(fresh["alarm"]).all()


def test_five_members_and_more_factors() -> None:
    answers, correct = ensemble(200, members=5)
    model = Calibration(rank=4).fit(answers, correct)
    scores = model.scores(without(answers, [0], member=2))
    assert np.isfinite(scores["alarm"]).all()


@pytest.mark.parametrize(("members", "rank"), [(3, 3), (2, 1), (3, 0)])
def test_as_many_factors_as_pairs_are_refused(members: int, rank: int) -> None:
    with pytest.raises(ValueError, match="K must satisfy"):
        Calibration(rank=rank).fit(*ensemble(50, members=members))


def test_without_labels_it_scores_but_claims_no_probability() -> None:
    model = Calibration().fit(ANSWERS)
    scores = model.scores(ANSWERS)
    np.testing.assert_allclose(model.alarm_.alpha_, 1 / 3)
    assert np.isfinite(scores["alarm"]).all()
    assert np.isnan(model.error_probability("alarm", scores["alarm"])).all()
    assert model.window_ is not None
    assert model.window_.error_probability == {}


def test_few_labels_among_many_cases() -> None:
    some = np.full(400, np.nan)
    some[:60] = CORRECT[:60]
    model = Calibration().fit(ANSWERS, some)
    scores = model.scores(ANSWERS)
    probability = model.error_probability("cold_start", scores["cold_start"])
    assert metrics.auroc(probability, 1 - CORRECT) > 0.7


def test_labels_never_reach_the_label_free_scores() -> None:
    flipped = Calibration().fit(ANSWERS, 1 - CORRECT)
    for method, values in label_free_scores(ANSWERS).items():
        np.testing.assert_array_equal(flipped.scores(ANSWERS)[method], values)


def test_levels_split_the_calibration_in_halves_and_fifths() -> None:
    window = FITTED.window_
    assert window is not None
    levels = FITTED.levels(window.scores)["cold_start"]
    counts = [(levels == name).mean() for name in ("low", "medium", "high")]
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.2], atol=0.01)


def test_levels_of_an_unknown_score_are_unknown() -> None:
    scores = FITTED.scores(without(ANSWERS, [3], member=1))
    stages = FITTED.stage_levels(scores)
    assert list(stages) == ["comprehension", "analysis", "reflection"]
    assert stages["comprehension"][3] == "unknown"
    assert FITTED.least_sure_stage(scores)[3] == ""


def test_the_least_sure_stage_is_the_one_that_stands_out() -> None:
    middle = FITTED.alarm_.standardiser_.mean_
    spread = FITTED.alarm_.standardiser_.std_
    scores = {m: np.full(3, middle[i]) for i, m in enumerate(("s1", "s2", "s3"))}
    for case, method in enumerate(("s1", "s2", "s3")):
        scores[method][case] += 3 * spread[case]
    assert FITTED.least_sure_stage(scores).tolist() == ["comprehension", "analysis", "reflection"]


def test_a_score_that_no_case_has_leaves_plain_json() -> None:
    answers, correct = ensemble(60)
    silent = replace(answers, logprobs=np.full_like(answers.logprobs, np.nan))
    fitted = Calibration().fit(silent, correct)
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again.levels({"logprob": np.array([0.1, np.nan])})["logprob"].tolist() == [
        "high",
        "unknown",
    ]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 cases"):
        Calibration().fit(ANSWERS.take(np.arange(9)))
    with pytest.raises(ValueError, match="400 cases, but"):
        Calibration().fit(ANSWERS, CORRECT[:5])
    with pytest.raises(ValueError, match="must be 1, 0 or NaN"):
        Calibration().fit(ANSWERS, np.full(400, 0.5))
    with pytest.raises(ValueError, match="above zero"):
        Calibration().fit(ANSWERS, CORRECT, np.zeros(400))
    with pytest.raises(ValueError, match="no score is called 'luck'"):
        FITTED.error_probability("luck", np.zeros(1))
    strangers = Answers(
        ("x", "y", "z"),
        ANSWERS.descriptions,
        ANSWERS.reasonings,
        ANSWERS.labels,
        ANSWERS.reflected,
        ANSWERS.logprobs,
    )
    with pytest.raises(ValueError, match="were expected"):
        FITTED.scores(strangers)
