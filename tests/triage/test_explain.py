"""Uncertainty in words."""

import pytest

from triage.models import Decision
from triage.reasons import in_words
from triage.selectors.explain import overall_level, sentence, stage_levels

TITLES = {"Burns": "Burn", "Cut": "Cut"}


def decision(**levels: str) -> Decision:
    return Decision(explanation={"levels": levels})


def test_agreement_is_said() -> None:
    votes = dict.fromkeys(("alpha", "beta", "gamma"), "Burns")
    assert sentence(decision(), votes, TITLES) == "All 3 members say Burn."


def test_who_disagrees_about_what_is_said() -> None:
    votes = {"alpha": "Burns", "beta": "Cut", "gamma": "Burns"}
    said = sentence(decision(analysis="high"), votes, TITLES)
    assert said == (
        "Unsure at reasoning: Their reasonings pull towards different labels. "
        "They disagree: alpha and gamma say Burn; beta says Cut."
    )


def test_two_unsure_stages_are_both_named() -> None:
    said = sentence(decision(comprehension="high", reflection="high"), {"alpha": "Cut"}, TITLES)
    assert said.startswith("Unsure at seeing and reflection:")


def test_silence_is_said() -> None:
    assert sentence(decision(), {}, TITLES) == "No member gave a label that could be read."


def test_the_gauge_has_three_parts_whatever_is_known() -> None:
    assert [part.level for part in stage_levels(None)] == ["unknown"] * 3
    parts = stage_levels(decision(comprehension="low", analysis="medium", reflection="high"))
    assert [part.level for part in parts] == ["low", "medium", "high"]
    assert len({part.sentence for part in parts}) == 3
    assert overall_level(decision(overall="high")) == "high"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("above_threshold", "The ensemble is less sure than the policy allows."),
        ("failed:lite0", "Member lite0 could not answer."),
        (
            "unparsable:one:analysis",
            "Member one gave no readable answer at the stage analysis.",
        ),
        ("quorum:2:3", "Only 2 of at least 3 members answered in full."),
        ("failed", "failed"),
        ("something new", "something new"),
    ],
)
def test_reasons_are_sentences_and_never_break_a_page(code: str, words: str) -> None:
    assert in_words(code) == words
