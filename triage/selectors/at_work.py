"""What answers have moved: refits, policies, cameras and audits, each told from stored rows alone.

An answer has moved something where its label was among those that it was made of: the label still
stands, and stood before. One that was changed since is left out: rather too few than one too many.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from triage.choices import CaseStatus, Outcome, ReviewAction
from triage.models import AuditEvent, Calibration, Decision, Learning, Policy, Review, Site
from triage.selectors.evidence import LABELLED
from triage.selectors.experts import readings_of
from triage.selectors.learning import NEWEST as NEWEST_OF_SOURCE
from triage.selectors.readings import standing
from triage.selectors.teams import cases_for
from triage.selectors.words import domain_at, titles_of

LABELS, REFITS, SHOWN = 10_000, 20, 60
# The verbs of a site's history by which another policy is in force.
PUT_IN_FORCE = frozenset(
    {
        "policy published",
        "canary widened",
        "policy rolled back",
        "policy rolled back by the guard rail",
        "everything deferred",
        "first policy in force",
    }
)


@dataclass(frozen=True)
class Given:
    """A label that stands and whose probability is known: what refits learn from.

    said     the machine's label;  audited: it had been accepted and was drawn for audit
    people   primary keys of those whose answer it is
    """

    case: UUID
    label: str
    said: str
    audited: bool
    ensemble: str
    camera: int | None
    source: str
    arrived_at: datetime
    decided_at: datetime
    resolved_at: datetime
    people: frozenset[int]


@dataclass(frozen=True)
class Effect:
    """Something that labels have moved. `policy` or `case` is its primary key, to follow it.

    `kind` is refit, policy, camera or audit; `detail` says whose labels, or of which cameras.
    """

    when: datetime
    kind: str
    sentence: str
    detail: str = ""
    policy: int | None = None
    case: UUID | None = None


@dataclass(frozen=True)
class AtWorkPage:
    """Answers at work: one person's, or (everyone) all of the site's.

    labels, audits, errors   how many labels, audits among them, and errors that these found
    labels_in_all, audits_in_all   of the whole site
    readings, agreed   cases read by this person and a colleague, neither knowing the other's answer
    """

    everyone: bool
    labels: int
    labels_in_all: int
    audits: int
    audits_in_all: int
    errors: int
    readings: int
    agreed: int
    refit_every: int
    effects: list[Effect]


def at_work_page(*, site: Site, user: AbstractBaseUser, everyone: bool = False) -> AtWorkPage:
    """What this person's answers, or everybody's, have moved at a site; the newest first."""
    given = labels_given(site)
    person = None if everyone else user.pk
    mine = [one for one in given if everyone or person in one.people]
    audits = [one for one in mine if one.audited]
    readings = [] if everyone else readings_of(site, user)
    return AtWorkPage(
        everyone=everyone,
        labels=len(mine),
        labels_in_all=len(given),
        audits=len(audits),
        audits_in_all=sum(one.audited for one in given),
        errors=sum(one.label != one.said for one in audits),
        readings=len(readings),
        agreed=sum(one.label == other.label for one, other in readings),
        refit_every=settings.ALARM_REFIT_EVERY,
        effects=_Teller(site, mine, everyone, user).effects() if mine else [],
    )


def labels_given(site: Site) -> list[Given]:
    """The newest labels that stand at a site and may be learned from, newest decision first."""
    rows = list(
        Decision.objects.filter(LABELLED, case__site=site, case__domain=site.domain)
        .order_by("-pk")
        .values_list(
            "case_id",
            "case__label",
            "label",
            "outcome",
            "run__ensemble",
            "case__camera_id",
            "case__camera__name",
            "case__created_at",
            "decided_at",
            "case__resolved_at",
        )[:LABELS]
    )
    people = _answerers(site, {row[0]: row[1] for row in rows})
    return [
        Given(
            case=row[0],
            label=row[1],
            said=row[2],
            audited=row[3] == Outcome.ACCEPT,
            ensemble=row[4],
            camera=row[5],
            source=row[6] or _("sent by people"),
            arrived_at=row[7],
            decided_at=row[8],
            resolved_at=row[9],
            people=people.get(row[0], frozenset()),
        )
        for row in rows
        if row[9] is not None
    ]


def _answerers(site: Site, labels: dict[UUID, str]) -> dict[UUID, frozenset[int]]:
    """case -> whose answer its label is."""
    reviews = Review.objects.filter(
        case__site=site,
        case__status=CaseStatus.RESOLVED,
        action__in=(ReviewAction.ANSWER, ReviewAction.UNDO),
    )
    by_case: dict[UUID, list[Review]] = {}
    for review in reviews.only("case_id", "reviewer_id", "action", "label").order_by("-pk"):
        if review.case_id in labels:
            by_case.setdefault(review.case_id, []).append(review)
    return {
        case: frozenset(one.reviewer_id for one in standing(some) if one.label == labels[case])
        for case, some in by_case.items()
    }


class _Teller:
    """Tells what these labels have moved at a site."""

    def __init__(
        self, site: Site, given: list[Given], everyone: bool, viewer: AbstractBaseUser
    ) -> None:
        self.site, self.given, self.everyone = site, given, everyone
        self.viewer = viewer
        self.titles = titles_of(domain_at(site))
        people = {pk for one in given for pk in one.people} if everyone else set()
        self.names = {
            one.pk: one.get_username() for one in get_user_model().objects.filter(pk__in=people)
        }

    def effects(self) -> list[Effect]:
        learned = self._refits()
        found = [
            *self._of_refits(learned),
            *self._of_policies(learned),
            *self._of_cameras(),
            *self._of_audits(),
        ]
        return sorted(found, key=lambda one: one.when, reverse=True)[:SHOWN]

    def _refits(self) -> list[tuple[Calibration, list[Given]]]:
        """The newest refits that learned from any of these labels, newest first."""
        rows = (
            Calibration.objects.filter(site=self.site, domain=self.site.domain)
            .defer("parameters", "aggregator")
            .order_by("-pk")[:REFITS]
        )
        found = [(row, self._learned_by(row)) for row in rows]
        return [(row, labels) for row, labels in found if labels]

    def _learned_by(self, calibration: Calibration) -> list[Given]:
        window = calibration.window
        first, last = (parse_datetime(window.get(end, "")) for end in ("from", "to"))
        if first is None or last is None:
            return []
        return [
            one
            for one in self.given
            if one.ensemble == calibration.ensemble
            and first <= one.decided_at <= last
            and one.resolved_at <= calibration.created_at
        ]

    def _of_refits(self, learned: list[tuple[Calibration, list[Given]]]) -> Iterator[Effect]:
        drafts: dict[int | None, Policy] = {}
        for policy in self._policies().filter(choice__refit=True).order_by("-version"):
            drafts[policy.calibration_id] = policy
        before: set[UUID] = set()
        for row, labels in reversed(learned):
            draft = drafts.get(row.pk)
            yield Effect(
                when=row.created_at,
                kind="refit",
                sentence=self._refit_sentence(row, labels, before) + _proposal(draft),
                detail=self._detail(labels),
                policy=draft.pk if draft else None,
            )
            before = {one.case for one in labels}

    def _refit_sentence(self, row: Calibration, labels: list[Given], before: set[UUID]) -> str:
        sentence = _("A refit learned from {answers}, of {labels} labels in all.").format(
            answers=self._answers(len(labels)), labels=row.window.get("labels", len(labels))
        )
        new = sum(one.case not in before for one in labels)
        if before and new:
            sentence += " " + ngettext(
                "{n} was new since the refit before.", "{n} were new since the refit before.", new
            ).format(n=new)
        return sentence

    def _of_policies(self, learned: list[tuple[Calibration, list[Given]]]) -> Iterator[Effect]:
        """From the site's history: a row keeps only when it was put in force last."""
        labels_of = {row.pk: labels for row, labels in learned}
        versions = {policy.version: policy for policy in self._policies()}
        before: Policy | None = None
        for event in self._history():
            policy = versions.get(event.details.get("policy", 0))
            labels = labels_of.get(policy.calibration_id or 0, []) if policy else []
            if policy and labels and event.verb != "everything deferred":
                yield Effect(
                    when=event.created_at,
                    kind="policy",
                    sentence=self._policy_sentence(event, policy, before, labels),
                    detail=self._detail(labels),
                    policy=policy.pk,
                )
            before = policy or before

    def _policy_sentence(
        self, event: AuditEvent, policy: Policy, before: Policy | None, labels: list[Given]
    ) -> str:
        words = (
            _("{actor} put policy {version} in force: {answers} had gone into it.")
            if event.actor
            else _("Policy {version} came into force: {answers} had gone into it.")
        )
        return words.format(
            actor=event.actor.get_username() if event.actor else "",
            version=policy.version,
            answers=self._answers(len(labels)),
        ) + _threshold_moved(policy, before)

    def _of_cameras(self) -> Iterator[Effect]:
        """Cameras, and the site itself, that labels have ended the learning of."""
        rows = Learning.objects.filter(
            site=self.site, domain=self.site.domain, ended_at__isnull=False, ended_by=None
        )
        for row in rows.exclude(evidence={}).select_related("camera"):
            labels = self._learned_of(row)
            if labels and row.ended_at:
                name = row.camera.name if row.camera else _("what people send")
                yield Effect(
                    when=row.ended_at,
                    kind="camera",
                    sentence=_(
                        "Learning ended for {name}: {answers}, of {checked} checked, have shown "
                        "that the ensemble may be trusted there."
                    ).format(name=name, answers=self._answers(len(labels)), **row.evidence),
                    detail=self._people(labels),
                )

    def _learned_of(self, row: Learning) -> list[Given]:
        """Of the labels by which it ended the newest ones."""
        ended = row.ended_at or row.started_at
        found = [
            one
            for one in self.given
            if one.camera == row.camera_id
            and one.arrived_at >= row.started_at
            and one.resolved_at <= ended
        ]
        same = [one for one in found if one.ensemble == found[0].ensemble]
        return same[: min(NEWEST_OF_SOURCE, row.evidence.get("checked", 0))]

    def _of_audits(self) -> Iterator[Effect]:
        found = cases_for(self.site, self.viewer)
        wrong = [one.case for one in self.given if one.audited and one.label != one.said]
        open_ones = set(found.filter(pk__in=wrong).values_list("pk", flat=True))
        for one in self.given:
            if one.audited and one.label != one.said:
                words = (
                    _("An audit found an error: {truth}, where {said} had been accepted.")
                    if self.everyone
                    else _("Your audit found an error: {truth}, where {said} had been accepted.")
                )
                yield Effect(
                    when=one.resolved_at,
                    kind="audit",
                    sentence=words.format(
                        truth=self.titles.get(one.label, one.label),
                        said=self.titles.get(one.said, one.said),
                    ),
                    detail=self._people([one]),
                    case=one.case if one.case in open_ones else None,
                )

    def _answers(self, n: int) -> str:
        if self.everyone:
            return ngettext("{n} answer", "{n} answers", n).format(n=n)
        return ngettext("{n} answer of yours", "{n} answers of yours", n).format(n=n)

    def _detail(self, labels: list[Given]) -> str:
        """Of which cameras the labels are, and (everyone's) whose."""
        sources = _counted(one.source for one in labels)
        return " · ".join(filter(None, (sources, self._people(labels))))

    def _people(self, labels: list[Given]) -> str:
        return _counted(self.names[pk] for one in labels for pk in one.people if pk in self.names)

    def _history(self) -> Iterable[AuditEvent]:
        events = AuditEvent.objects.filter(site=self.site, verb__in=PUT_IN_FORCE)
        events = events.exclude(details__has_key="share")  # a canary that is still one
        return events.select_related("actor").order_by("created_at", "pk")

    def _policies(self) -> QuerySet[Policy]:
        return Policy.objects.filter(site=self.site, domain=self.site.domain)


def _proposal(draft: Policy | None) -> str:
    """What a refit proposed, and what that would have done with past cases."""
    if draft is None:
        return ""
    current, proposed = (draft.replay.get(name) for name in ("current", "proposed"))
    if not current or not proposed:
        return " " + _("It proposed policy {version}.").format(version=draft.version)
    return " " + _(
        "It proposed policy {version}: {then:.0%} of past cases deferred, where it is {now:.0%}."
    ).format(version=draft.version, then=proposed["deferral"], now=current["deferral"])


def _threshold_moved(policy: Policy, before: Policy | None) -> str:
    """How the threshold moved, where both decide by the same score."""
    if policy.threshold is None:
        return " " + _("By it every case is deferred.")
    if before is None or before.threshold is None or before.method != policy.method:
        return " " + _("It accepts up to the score {threshold:.3f}.").format(
            threshold=policy.threshold
        )
    return " " + _(
        "It accepts up to the score {threshold:.3f}; policy {version} accepted up to {before:.3f}."
    ).format(threshold=policy.threshold, version=before.version, before=before.threshold)


def _counted(names: Iterable[str]) -> str:
    """Names with how often each occurs, the most frequent first: "door 14, hall 3"."""
    return ", ".join(f"{name} {n}" for name, n in Counter(names).most_common())
