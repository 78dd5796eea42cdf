"""Whose answers a site learns from, and how much each person's count."""

from collections import Counter
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser

from inference.uq.experts import (
    Agreement,
    Answered,
    agreement,
    capped_weights,
    judge_experts,
    kappa,
)
from inference.uq.thresholds import clopper_pearson_lower
from triage.choices import CaseStatus, ReviewAction
from triage.models import Case, Review, Site
from triage.selectors.gold import GoldAnswer, gold_answers
from triage.selectors.readings import READERS, independent, standing

NEWEST = 2000
# Cases read by two before their readers' error rate is taken for measured.
FEWEST_READ = 30
# Cases read by two among which a reader's answers are held against how they were settled.
NEWEST_SETTLED = 300
SURE = 0.95


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
    """Whose answers stand at a site, among the newest of its domain; most answers first."""
    newest = Review.objects.filter(
        case__site=site,
        case__domain=site.domain,
        case__repeats=None,
        action__in=(ReviewAction.ANSWER, ReviewAction.UNDO),
    ).order_by("-pk")[:NEWEST]
    by_case: dict[object, list[Review]] = {}
    for review in newest:
        by_case.setdefault(review.case_id, []).append(review)
    said = [
        Answered(str(one.case_id), str(one.reviewer_id), one.label)
        for reviews in by_case.values()
        for one in standing(reviews)
    ]
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


@dataclass(frozen=True)
class Pair:
    """Two people who have read the same cases, with Cohen's kappa."""

    names: tuple[str, str]
    cases: int
    kappa: float


@dataclass(frozen=True)
class DoubleReading:
    """How far independent readers agree; `agreement` is None before the first case read twice.

    `open`: cases drawn for two readings that still miss one; `disputed`: those that wait for a
    third person.
    """

    agreement: Agreement | None
    pairs: list[Pair]
    open: int
    disputed: int


def double_reading(site: Site) -> DoubleReading:
    """Of the newest cases of a site that two people read; adjudications do not count."""
    drawn = Case.objects.filter(site=site, readings=READERS)
    newest = drawn.filter(reviews__action=ReviewAction.ANSWER).distinct().order_by("-created_at")
    first_two = [
        independent(case.reviews.all())
        for case in newest.prefetch_related("reviews__reviewer")[:NEWEST]
    ]
    read = [answers for answers in first_two if len(answers) == READERS]
    said = [
        Answered(str(one.case_id), str(one.reviewer_id), one.label)
        for answers in read
        for one in answers
    ]
    open_ones = drawn.exclude(status__in=(CaseStatus.RESOLVED, CaseStatus.DISPUTED))
    return DoubleReading(
        agreement=agreement(said),
        pairs=_pairs(read),
        open=open_ones.count(),
        disputed=drawn.filter(status=CaseStatus.DISPUTED).count(),
    )


@dataclass(frozen=True)
class ReaderError:
    """How often a reader's answer was not the case's final label, of `readings` first two answers.

    Two who make the same mistake agree, and it is not seen: the true rate is a little higher.
    """

    rate: float
    readings: int


def reader_error(site: Site) -> ReaderError | None:
    """From the newest cases that two people read and that are settled; None below FEWEST_READ."""
    settled = Case.objects.filter(
        site=site, domain=site.domain, readings=READERS, status=CaseStatus.RESOLVED
    ).order_by("-created_at")
    wrong = readings = cases = 0
    for case in settled.prefetch_related("reviews__reviewer")[:NEWEST]:
        first_two = independent(case.reviews.all())
        if len(first_two) == READERS:
            cases += 1
            readings += READERS
            wrong += sum(one.label != case.label for one in first_two)
    return ReaderError(wrong / readings, readings) if cases >= FEWEST_READ else None


def worst_reader(site: Site) -> float | None:
    """The error rate, at least and with 95 % confidence, of whoever's readings are worst settled.

    Who reads a case that a colleague reads too is not told, and where the two differ a third person
    says what it is. Each person's readings among the newest such cases are held against the final
    label, over all and for each label by itself, where somebody else stands for that label: nobody
    is held against their own word. So are their answers to the newest gold cases, against what is
    known of these. Clopper and Pearson's lower
    bound keeps it silent as long as chance or a few slips explain it. None before the first.
    """
    settled = Case.objects.filter(
        site=site, domain=site.domain, readings=READERS, status=CaseStatus.RESOLVED
    ).order_by("-created_at")
    read: Counter[tuple[int, str]] = Counter()
    wrong: Counter[tuple[int, str]] = Counter()
    held = gold_answers(site, NEWEST_SETTLED)
    for case in settled.prefetch_related("reviews")[:NEWEST_SETTLED]:
        said = list(case.reviews.all())
        stand = {one.reviewer_id for one in standing(said) if one.label == case.label}
        for one in independent(said):
            if stand - {one.reviewer_id}:
                held.append(GoldAnswer(one.reviewer_id, one.label, case.label))
    for answer in held:
        for label in ("", answer.known):
            read[answer.reader, label] += 1
            wrong[answer.reader, label] += not answer.agrees
    over_all = sum(label == "" for _who, label in read)
    bounds = (
        # Bonferroni: half of the doubt for the people, half for people and labels.
        clopper_pearson_lower(
            wrong[who, label], n, (1 - SURE) / 2 / (len(read) - over_all if label else over_all)
        )
        for (who, label), n in read.items()
    )
    return max(bounds, default=None)


def readings_of(site: Site, user: AbstractBaseUser) -> list[tuple[Review, Review]]:
    """The two independent readings of the newest cases that this person was a reader of."""
    drawn = Case.objects.filter(site=site, readings=READERS, status=CaseStatus.RESOLVED)
    mine = drawn.filter(reviews__reviewer_id=user.pk, reviews__action=ReviewAction.ANSWER)
    pairs = [
        independent(case.reviews.all())
        for case in mine.distinct().order_by("-created_at").prefetch_related("reviews")[:NEWEST]
    ]
    return [
        (pair[0], pair[1])
        for pair in pairs
        if len(pair) == READERS and user.pk in {one.reviewer_id for one in pair}
    ]


def _pairs(read: list[list[Review]]) -> list[Pair]:
    """Most cases first."""
    labels: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for answers in read:
        one, other = sorted(answers, key=lambda row: row.reviewer.get_username())
        names = (one.reviewer.get_username(), other.reviewer.get_username())
        labels.setdefault(names, []).append((one.label, other.label))
    rows = [
        Pair(names, len(said), kappa([a for a, _ in said], [b for _, b in said]))
        for names, said in labels.items()
    ]
    return sorted(rows, key=lambda row: (-row.cases, row.names))


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
