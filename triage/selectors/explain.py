"""Uncertainty in words: which stage is unsure, and what the members disagree about."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from inference.pipeline.stages import Stage
from triage.models import Decision

STAGES = (Stage.COMPREHENSION, Stage.ANALYSIS, Stage.REFLECTION)
TITLES = {
    Stage.COMPREHENSION: gettext_lazy("Seeing"),
    Stage.ANALYSIS: gettext_lazy("Reasoning"),
    Stage.REFLECTION: gettext_lazy("Reflection"),
}
SENTENCES = {
    Stage.COMPREHENSION: {
        "low": gettext_lazy("The members describe the picture alike."),
        "medium": gettext_lazy("The members describe the picture somewhat differently."),
        "high": gettext_lazy("The members describe the picture differently than usual."),
    },
    Stage.ANALYSIS: {
        "low": gettext_lazy("Their reasonings fit together."),
        "medium": gettext_lazy("Their reasonings fit together only in part."),
        "high": gettext_lazy("Their reasonings pull towards different labels."),
    },
    Stage.REFLECTION: {
        "low": gettext_lazy("On reflection they would keep their labels."),
        "medium": gettext_lazy("On reflection one of them might change its label."),
        "high": gettext_lazy("On reflection they may well change their labels."),
    },
}
UNSCORED = gettext_lazy("This stage could not be scored.")


@dataclass(frozen=True)
class StageLevel:
    """One part of the three-part gauge; `level` is low, medium, high or unknown."""

    stage: str
    title: str
    level: str
    sentence: str


def stage_title(stage: str) -> str:
    return str(TITLES[Stage(stage)])


def stage_levels(decision: Decision | None) -> tuple[StageLevel, ...]:
    """The gauge of a decision; unknown everywhere before there is one."""
    levels = decision.explanation.get("levels", {}) if decision else {}
    return tuple(_stage_level(stage, levels.get(stage, "unknown")) for stage in STAGES)


def overall_level(decision: Decision | None) -> str:
    """low, medium or high; unknown where nothing could be scored."""
    return (
        decision.explanation.get("levels", {}).get("overall", "unknown") if decision else "unknown"
    )


def novelty_level(novelty: float | None) -> str:
    """low, medium or high, cut as every score: at the median and at four fifths of the familiar."""
    if novelty is None:
        return "unknown"
    return "low" if novelty <= 0.5 else "medium" if novelty <= 0.8 else "high"


def _stage_level(stage: Stage, level: str) -> StageLevel:
    words = SENTENCES[stage].get(level, UNSCORED)
    return StageLevel(stage, stage_title(stage), level, str(words))


def sentence(
    decision: Decision, labels_by_member: Mapping[str, str], titles: Mapping[str, str]
) -> str:
    """One sentence on which stage is unsure and why.

    Args:
        labels_by_member: what each member answered, label ids.
        titles: label id -> the label's title.
    """
    unsure = [level for level in stage_levels(decision) if level.level == "high"]
    opinion = _opinion(labels_by_member, titles)
    if not unsure:
        return opinion
    names = _(" and ").join(level.title.lower() for level in unsure)
    return _("Unsure at {stages}: {why} {opinion}").format(
        stages=names, why=" ".join(level.sentence for level in unsure), opinion=opinion
    )


def _opinion(labels_by_member: Mapping[str, str], titles: Mapping[str, str]) -> str:
    holders: dict[str, list[str]] = {}
    for member, label in labels_by_member.items():
        holders.setdefault(label, []).append(member)
    if not holders:
        return _("No member gave a label that could be read.")
    ranked = sorted(holders.items(), key=lambda item: (-len(item[1]), item[0]))
    if len(ranked) == 1:
        return _("All {n} members say {label}.").format(
            n=len(labels_by_member), label=titles.get(ranked[0][0], ranked[0][0])
        )
    parts = [
        _("{members} say {label}").format(
            members=_(" and ").join(members), label=titles.get(label, label)
        )
        if len(members) > 1
        else _("{member} says {label}").format(member=members[0], label=titles.get(label, label))
        for label, members in ranked
    ]
    return _("They disagree: {parts}.").format(parts="; ".join(parts))


def plain_certainty(level: str) -> str:
    """The level for a caregiver, who is shown no scores."""
    return {
        "low": _("The machine is fairly sure."),
        "medium": _("The machine is not quite sure."),
        "high": _("The machine is not sure."),
    }.get(level, _("The machine cannot tell."))
