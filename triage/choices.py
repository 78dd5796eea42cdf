"""The states, roles and reasons of triage, with the words people read for them."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    CLINICIAN = "clinician", _("clinician")
    CAREGIVER = "caregiver", _("caregiver")
    ADMINISTRATOR = "administrator", _("administrator")


class SiteKind(TextChoices):
    CLINIC = "clinic", _("clinic")
    HOUSEHOLD = "household", _("household")


class CaseStatus(TextChoices):
    """The way of a case; TRANSITIONS says which steps there are.

    open -> accepted | audit | deferred      by a Decision; audit is accepted and drawn at random
    accepted | audit | deferred -> in_review by a claim; letting go goes back to where it came from
    in_review -> resolved                    by a review; an undo takes it back to in_review
    """

    OPEN = "open", _("being looked at")
    ACCEPTED = "accepted", _("accepted")
    AUDIT = "audit", _("waiting for audit")
    DEFERRED = "deferred", _("waiting for review")
    IN_REVIEW = "in_review", _("in review")
    RESOLVED = "resolved", _("resolved")


TRANSITIONS: dict[str, frozenset[str]] = {
    CaseStatus.OPEN: frozenset({CaseStatus.ACCEPTED, CaseStatus.AUDIT, CaseStatus.DEFERRED}),
    CaseStatus.ACCEPTED: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.AUDIT: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.DEFERRED: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.IN_REVIEW: frozenset(
        {CaseStatus.ACCEPTED, CaseStatus.AUDIT, CaseStatus.DEFERRED, CaseStatus.RESOLVED}
    ),
    CaseStatus.RESOLVED: frozenset({CaseStatus.IN_REVIEW}),
}
WAITING = (CaseStatus.DEFERRED, CaseStatus.AUDIT)
CLAIMABLE = (*WAITING, CaseStatus.ACCEPTED)


class Outcome(TextChoices):
    ACCEPT = "accept", _("accepted")
    DEFER = "defer", _("deferred")


class PolicyStatus(TextChoices):
    """draft -> active -> retired;  draft -> dropped;  retired -> active by a roll back."""

    DRAFT = "draft", _("draft")
    ACTIVE = "active", _("in force")
    RETIRED = "retired", _("retired")
    DROPPED = "dropped", _("dropped")


class PolicyMode(TextChoices):
    GUARANTEED = "guaranteed", _("guaranteed risk")
    COST = "cost", _("expected cost")
    PERCENTILE = "percentile", _("workload")
    DEFER_ALL = "defer_all", _("defer everything")


class ReviewAction(TextChoices):
    ANSWER = "answer", _("answered")
    UNDO = "undo", _("took the answer back")
    PASS = "pass", _("passed it on")
