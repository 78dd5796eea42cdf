"""Whose answers a site learns from, and how much each person's count."""

from collections import Counter
from dataclasses import dataclass

from django.contrib.auth import get_user_model

from inference.uq.experts import Answered, capped_weights, judge_experts
from triage.choices import ReviewAction
from triage.models import Review, Site

NEWEST = 2000


@dataclass(frozen=True)
class ExpertRow:
    """One person's answers among the newest of a site.

    Attributes:
        share: of all answers, 0 to 1.
        weight: how much each of them counts in a refit, in (0, 1].
        quality: P(right) by Dawid-Skene; None where nobody else has answered the same cases.
        overlap: how many of the answers others gave as well.
    """

    name: str
    answers: int
    share: float
    weight: float
    quality: float | None
    overlap: int


def expert_rows(site: Site) -> list[ExpertRow]:
    """Who has answered at a site, most answers first."""
    rows = (
        Review.objects.filter(case__site=site, action=ReviewAction.ANSWER)
        .order_by("-pk")
        .values_list("case_id", "reviewer_id", "label")[:NEWEST]
    )
    said = [Answered(str(case), str(expert), label) for case, expert, label in reversed(rows)]
    if not said:
        return []
    counts = Counter(one.expert for one in said)
    weights = dict(zip(_names(said), capped_weights(_names(said)).tolist(), strict=True))
    judged = _judged(said)
    people = get_user_model().objects.in_bulk([int(expert) for expert in counts])
    return [
        ExpertRow(
            name=people[int(expert)].get_username(),
            answers=count,
            share=count / len(said),
            weight=weights[expert],
            quality=judged.get(expert, (None, 0))[0],
            overlap=judged.get(expert, (None, 0))[1],
        )
        for expert, count in counts.most_common()
    ]


def _names(said: list[Answered]) -> list[str]:
    return [one.expert for one in said]


def _judged(said: list[Answered]) -> dict[str, tuple[float, int]]:
    """expert -> quality and overlap, of those whose cases others answered as well."""
    experts_of: dict[str, set[str]] = {}
    for one in said:
        experts_of.setdefault(one.case, set()).add(one.expert)
    shared = [one for one in said if len(experts_of[one.case]) > 1]
    if not shared:
        return {}
    found = judge_experts(shared)
    rows = zip(found.experts, found.quality.tolist(), found.overlap.tolist(), strict=True)
    return {expert: (quality, overlap) for expert, quality, overlap in rows}
