import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.experts import (
    Answered,
    agreement,
    capped_weights,
    judge_experts,
    kappa,
    soft_labels,
)

NAMES = st.sampled_from(["ada", "ben", "cleo", "dora"])


def panel(slips: dict[str, float], cases: int = 150, seed: int = 0) -> list[Answered]:
    """Every expert answers every case, wrong as often as `slips` says; truths a, b, c in turn."""
    rng = np.random.default_rng(seed)
    said = []
    for case in range(cases):
        truth = "abc"[case % 3]
        for name, rate in slips.items():
            other = rng.choice([label for label in "abc" if label != truth])
            label = str(other) if rng.random() < rate else truth
            said.append(Answered(f"{case:03}", name, label))
    return said


def test_a_disagreement_stays_in_the_soft_label() -> None:
    said = [Answered("1", "ada", "a"), Answered("1", "ben", "b"), Answered("2", "ada", "b")]
    found = soft_labels(said, ("a", "b"))
    assert found["1"].tolist() == [0.5, 0.5]
    assert found["2"].tolist() == [0, 1]


def test_the_last_answer_of_an_expert_counts() -> None:
    said = [Answered("1", "ada", "a"), Answered("1", "ada", "b")]
    assert soft_labels(said, ("a", "b"))["1"].tolist() == [0, 1]
    assert judge_experts(said).chances[0].argmax() == judge_experts(said).labels.index("b")


def test_quality_is_found_without_knowing_the_truth() -> None:
    slips = {"ada": 0.05, "ben": 0.3, "cleo": 0.6}
    found = judge_experts(panel(slips, cases=400))
    for place, name in enumerate(found.experts):
        assert found.quality[place] == pytest.approx(1 - slips[name], abs=0.08), name


def test_a_good_expert_outweighs_two_poor_ones() -> None:
    said = panel({"ada": 0.02, "ben": 0.5, "cleo": 0.5}, cases=300)
    found = judge_experts(said)
    truth = np.array([found.labels.index("abc"[case % 3]) for case in range(300)])
    shares = soft_labels(said, found.labels)
    majority = np.array([shares[case].argmax() for case in found.cases])
    assert (found.chances.argmax(axis=1) == truth).mean() > (majority == truth).mean() + 0.05


def test_one_who_swaps_two_labels_is_found_out() -> None:
    said = panel({"ada": 0.05, "ben": 0.05, "eve": 0.0}, cases=150)
    swap = {"a": "b", "b": "a", "c": "c"}
    said = [
        Answered(one.case, one.expert, swap[one.label]) if one.expert == "eve" else one
        for one in said
    ]
    found = judge_experts(said)
    eve, a, b = found.experts.index("eve"), found.labels.index("a"), found.labels.index("b")
    assert found.confusion[eve, a, b] > 0.9
    assert found.quality[eve] < 0.5


def test_without_overlap_nothing_is_known_of_quality() -> None:
    said = [Answered(str(case), "ada" if case % 2 else "ben", "a") for case in range(10)]
    assert judge_experts(said).overlap.tolist() == [0, 0]
    assert judge_experts([*said, Answered("0", "ada", "a")]).overlap.tolist() == [1, 1]


@given(
    st.lists(
        st.builds(Answered, st.sampled_from("12345"), NAMES, st.sampled_from("abc")), min_size=1
    )
)
def test_probabilities_are_probabilities(said: list[Answered]) -> None:
    found = judge_experts(said)
    np.testing.assert_allclose(found.chances.sum(axis=1), 1)
    np.testing.assert_allclose(found.confusion.sum(axis=2), 1)
    assert ((found.quality >= 0) & (found.quality <= 1 + 1e-9)).all()


@given(st.lists(NAMES, min_size=1), st.floats(0.1, 0.9))
def test_nobody_holds_more_than_the_cap(experts: list[str], most: float) -> None:
    weights = capped_weights(experts, most, least=0.0)
    assert ((weights > 0) & (weights <= 1)).all()
    held = {name: weights[[one == name for one in experts]].sum() for name in set(experts)}
    if most * len(held) <= 1:
        assert (weights == 1).all()
    else:
        limit = most * weights.sum() * (1 + 1e-6) + 1e-9
        assert all(share <= limit for share in held.values())
    assert (capped_weights(experts, most) == np.maximum(weights, 0.25)).all()


@pytest.mark.parametrize(
    ("experts", "expected"),
    [
        ("a" * 90 + "b" * 5 + "c" * 5, {"a": 10.0, "b": 5.0, "c": 5.0}),
        ("a" * 3 + "b" * 3, {"a": 3.0, "b": 3.0}),
        ("a" * 9 + "b", {"a": 9.0, "b": 1.0}),
        ("aaaa", {"a": 4.0}),
    ],
)
def test_who_is_above_is_brought_down_to_the_cap(experts: str, expected: dict[str, float]) -> None:
    weights = capped_weights(list(experts), 0.5, least=0.0)
    held = {name: weights[[one == name for one in experts]].sum() for name in expected}
    assert held == pytest.approx(expected)


# Agreement -------------------------------------------------------------------------------------


def dealt(units: list[str]) -> list[Answered]:
    """Each text is a case; its letters are its readers' labels, "." stands for none."""
    return [
        Answered(str(case), str(reader), label)
        for case, unit in enumerate(units)
        for reader, label in enumerate(unit)
        if label != "."
    ]


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), C: four observers."""
    columns = ["1.11", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", ".555"]
    columns += ["..11", "..3."]
    found = agreement(dealt(columns))
    assert found is not None
    assert found.cases == 11
    assert found.alpha == pytest.approx(0.743, abs=0.0005)
    assert found.low < found.alpha < found.high <= 1


def test_agreement_of_all_is_one_and_of_nobody_is_none() -> None:
    found = agreement(dealt(["aa", "aa"]))
    assert found and (found.alpha, found.low, found.same) == (1.0, 1.0, 1.0)
    assert agreement(dealt(["a.", ".b"])) is None
    assert agreement([]) is None


def test_who_labels_by_chance_agrees_by_chance() -> None:
    rng = np.random.default_rng(0)
    found = agreement(dealt(["".join(rng.choice(list("abc"), 2)) for _ in range(3000)]))
    assert found is not None
    assert abs(found.alpha) < 0.05
    assert found.low < 0 < found.high


def test_kappa_of_a_textbook_table() -> None:
    """20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed .7, expected .5, kappa .4."""
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert kappa(first, second) == pytest.approx(0.4)
    assert kappa(["a", "a"], ["a", "a"]) == 1.0
