from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uq.answers import Answers, MemberAnswer, encode, label_set, vote
from inference.uq.types import Floats


def ballot(
    votes: Sequence[Sequence[str | None]], logprobs: Sequence[Sequence[float]] | None = None
) -> Answers:
    labels = np.array(votes, dtype=object)
    shape = labels.shape
    texts = np.zeros((*shape, 2))
    names = tuple("abcdef"[: shape[1]])
    known = np.full(shape, np.nan) if logprobs is None else np.array(logprobs)
    return Answers(names, texts, texts, labels, labels, known)


def test_majority_wins() -> None:
    labels, shares = vote(ballot([["cut", "burn", "burn"], ["cut", "cut", "cut"]]))
    assert labels.tolist() == ["burn", "cut"]
    np.testing.assert_allclose(shares, [2 / 3, 1])


def test_ties_go_to_the_surer_voters_then_to_the_alphabet() -> None:
    tied = [["cut", "burn", "stab"]] * 3
    surer = [[-0.5, -0.2, -0.9], [-0.1, np.nan, -0.9], [np.nan, np.nan, np.nan]]
    assert vote(ballot(tied, surer))[0].tolist() == ["burn", "cut", "burn"]


def test_missing_labels_are_no_votes() -> None:
    labels, shares = vote(ballot([[None, "", "cut"], ["", None, ""]]))
    assert labels.tolist() == ["cut", ""]
    assert shares.tolist() == [1, 0]


@given(
    st.lists(st.sampled_from(["cut", "burn", "stab", ""]), min_size=4, max_size=4),
    st.permutations(range(4)),
)
def test_vote_is_blind_to_the_members_order(labels: list[str], order: list[int]) -> None:
    logprobs = [-0.1, -0.2, -0.4, -0.8]
    first = vote(ballot([labels], [logprobs]))
    second = vote(ballot([[labels[i] for i in order]], [[logprobs[i] for i in order]]))
    assert first[0][0] == second[0][0]
    assert first[1][0] == second[1][0]


def embed(texts: Sequence[str]) -> Floats:
    return np.array([[len(text), 1.0] if text else [np.nan, np.nan] for text in texts])


def test_collect_puts_each_answer_in_its_place() -> None:
    cases = [
        {"a": MemberAnswer("long text", "why", "cut", "burn", -0.3)},
        {"b": MemberAnswer("x", "", "cut"), "a": MemberAnswer()},
    ]
    answers = Answers.collect(["a", "b"], cases, embed)
    assert answers.labels.tolist() == [["cut", ""], ["", "cut"]]
    assert answers.reflected.tolist() == [["burn", ""], ["", ""]]
    np.testing.assert_array_equal(answers.descriptions[:, :, 0], [[9, np.nan], [np.nan, 1]])
    np.testing.assert_array_equal(answers.reasonings[:, :, 0], [[3, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(answers.logprobs, [[-0.3, np.nan], [np.nan, np.nan]])


def test_each_text_is_embedded_once() -> None:
    asked: list[str] = []

    def remember(texts: Sequence[str]) -> Floats:
        asked.extend(texts)
        return embed(texts)

    case = {"a": MemberAnswer("same", "same", "cut"), "b": MemberAnswer("same", "other", "cut")}
    Answers.collect(["a", "b"], [case, case], remember)
    assert sorted(asked) == ["other", "same"]


def test_nothing_to_collect_is_refused() -> None:
    with pytest.raises(ValueError, match="no cases"):
        Answers.collect(["a", "b"], [], embed)


def test_members_are_reordered_by_name_and_strangers_refused() -> None:
    answers = ballot([["cut", "burn", "stab"]])
    assert answers.ordered(["c", "a", "b"]).labels.tolist() == [["stab", "cut", "burn"]]
    with pytest.raises(ValueError, match="were expected"):
        answers.ordered(["a", "b", "z"])


@pytest.mark.parametrize("members", [("a",), ("a", "a")])
def test_an_ensemble_needs_two_different_members(members: tuple[str, ...]) -> None:
    texts, labels = np.zeros((1, len(members), 2)), np.full((1, len(members)), "cut")
    with pytest.raises(ValueError, match="two or more different members"):
        Answers(members, texts, texts, labels, labels, np.zeros((1, len(members))))


@pytest.mark.parametrize("field", ["descriptions", "labels", "logprobs"])
def test_shapes_that_disagree_are_refused(field: str) -> None:
    fields = {
        name: getattr(ballot([["cut", "burn"]] * 3), name)
        for name in ("descriptions", "reasonings", "labels", "reflected", "logprobs")
    }
    fields[field] = fields[field][:, :1]
    with pytest.raises(ValueError, match=r"has shape .* expected \(3, 2\)"):
        Answers(("a", "b"), **fields)


def test_codes_tell_missing_from_strange() -> None:
    labels = np.array([["cut", "", "ghost"], ["burn", "ghost", "phantom"]], dtype=object)
    assert encode(labels, ("burn", "cut")).tolist() == [[1, -1, 2], [0, 2, 3]]
    assert label_set(labels) == ("burn", "cut", "ghost", "phantom")
