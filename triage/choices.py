"""The states, roles and reasons of triage, with the words people read for them."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    CLINICIAN = "clinician", _("clinician")
    CAREGIVER = "caregiver", _("caregiver")
    ADMINISTRATOR = "administrator", _("administrator")
    AUDITOR = "auditor", _("auditor")


STAFF = frozenset({Role.CLINICIAN, Role.ADMINISTRATOR, Role.AUDITOR})
# What somebody can be for a whole organisation: neither sees a picture.
FOR_ALL = (Role.ADMINISTRATOR, Role.AUDITOR)
# What a caregiver is at a household whose consent has ended: no role that anybody can be given.
SHUT_OUT = "shut out"
SHUT_OUT_TITLE = _("shut out")


class SiteKind(TextChoices):
    CLINIC = "clinic", _("clinic")
    HOUSEHOLD = "household", _("household")


class CaseStatus(TextChoices):
    """The way of a case; TRANSITIONS says which steps there are.

    open -> accepted | audit | deferred      by a Decision; audit is accepted and drawn at random
    accepted | audit | deferred -> in_review by a claim; letting go goes back to where it came from
    in_review -> resolved                    by a review; an undo takes it back to in_review
    in_review -> disputed -> in_review       two readings differ: a third person adjudicates
    in_review -> retake -> in_review         it cannot be judged: a new photo is asked for
    """

    OPEN = "open", _("being looked at")
    ACCEPTED = "accepted", _("accepted")
    AUDIT = "audit", _("waiting for audit")
    DEFERRED = "deferred", _("waiting for review")
    IN_REVIEW = "in_review", _("in review")
    DISPUTED = "disputed", _("waiting for adjudication")
    RETAKE = "retake", _("new photo asked for")
    RESOLVED = "resolved", _("resolved")


TRANSITIONS: dict[str, frozenset[str]] = {
    CaseStatus.OPEN: frozenset({CaseStatus.ACCEPTED, CaseStatus.AUDIT, CaseStatus.DEFERRED}),
    CaseStatus.ACCEPTED: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.AUDIT: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.DEFERRED: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.DISPUTED: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.RETAKE: frozenset({CaseStatus.IN_REVIEW}),
    CaseStatus.IN_REVIEW: frozenset(CaseStatus) - {CaseStatus.OPEN, CaseStatus.IN_REVIEW},
    CaseStatus.RESOLVED: frozenset({CaseStatus.IN_REVIEW}),
}
WAITING = (CaseStatus.DEFERRED, CaseStatus.AUDIT, CaseStatus.DISPUTED)
ALL_WAITING = "waiting"  # all of these, where a list is asked for one status
# Who has answered these, or nobody is going to: what the machine said is no secret any more.
SETTLED = (CaseStatus.ACCEPTED, CaseStatus.RESOLVED)
CLAIMABLE = (*WAITING, CaseStatus.ACCEPTED, CaseStatus.RETAKE)


class Outcome(TextChoices):
    ACCEPT = "accept", _("accepted")
    DEFER = "defer", _("deferred")


class PolicyStatus(TextChoices):
    """draft -> active -> retired;  draft -> dropped;  retired -> active by a roll back.

    draft -> shadow -> draft           says of live cases what it would have decided
    draft | shadow -> canary -> active decides a share of the cases, then all;  canary -> dropped
    """

    DRAFT = "draft", _("draft")
    SHADOW = "shadow", _("in shadow")
    CANARY = "canary", _("canary")
    ACTIVE = "active", _("in force")
    RETIRED = "retired", _("retired")
    DROPPED = "dropped", _("dropped")


class PolicyMode(TextChoices):
    GUARANTEED = "guaranteed", _("guaranteed risk")
    COST = "cost", _("expected cost")
    PERCENTILE = "percentile", _("workload")
    BY_HAND = "by_hand", _("set by hand")
    DEFER_ALL = "defer_all", _("defer everything")


class GuardCause(TextChoices):
    """What the guard rail found of a version after its publication."""

    ERROR = "error", _("too many of the accepted are wrong")
    ACCEPTS_MORE = "more", _("more is accepted than its replay said")
    DEFERS_MORE = "less", _("more is deferred than its replay said")


class GuardAct(TextChoices):
    """What the guard rail did about it: never anything that accepts more."""

    ROLLED_BACK = "rolled_back", _("rolled back to the version before")
    DEFERRED_ALL = "deferred_all", _("everything deferred")
    TOLD = "told", _("told, nothing changed")


class VersionState(TextChoices):
    """How a version of a domain stands at a site: its own publications say so."""

    DRAFT = "draft", _("draft")
    IN_FORCE = "active", _("in force")
    RETIRED = "retired", _("retired")
    SHIPPED = "shipped", _("as shipped")


class ReviewAction(TextChoices):
    ANSWER = "answer", _("answered")
    UNDO = "undo", _("took the answer back")
    PASS = "pass", _("passed it on")
    SKIP = "skip", _("skipped it")
    RETAKE = "retake", _("asked for a new photo")


class Purpose(TextChoices):
    """What the people of a household are asked to consent to, each by itself."""

    WATCH = "watch", _("Pictures of this home may be sent here and judged.")
    LEARN = "learn", _("What people answer here may teach the machine that judges here.")
    SHOW = "show", _("The caregivers here may see the pictures of this home and answer about them.")


class AlertKind(TextChoices):
    """What an alert is about; triage.selectors.alerts says when it is raised and cleared."""

    ERROR = "error", _("wrong among the accepted")
    WAIT = "wait", _("oldest deferred case")
    DEFERRAL = "deferral", _("share deferred")
    DRIFT = "drift", _("drift")
    OVERRIDE = "override", _("overridden by people")
    READER = "reader", _("somebody's answers")
    CONSENT = "consent", _("a household's consent")
    TEAM = "team", _("care teams")
    UNANSWERED = "unanswered", _("critical and unanswered")


class News(TextChoices):
    """What is told of an alert, once each."""

    RAISED = "raised", _("raised")
    CLEARED = "cleared", _("cleared")


class GlassReason(TextChoices):
    """Why somebody opens a case that they need not see."""

    EMERGENCY = "emergency", _("Somebody needs help now")
    COVER = "cover", _("I stand in for those who look after it")
    QUESTION = "question", _("The person concerned asks about it")
    FAULT = "fault", _("A fault or an incident is looked into")


class SkipReason(TextChoices):
    """Why somebody leaves a case for later; the others are still offered it."""

    TIME = "time", _("No time for it now")
    AGAIN = "again", _("I want to look again later")
    STRAIN = "strain", _("I would rather not look at this one now")


class ExportForm(TextChoices):
    CSV = "csv", _("Table (CSV)")
    JSONL = "jsonl", _("Lines (JSONL)")
    LABEL_STUDIO = "label-studio", _("Label Studio")


class RetakeReason(TextChoices):
    """Why a photo cannot be judged, in words that tell its sender what to do."""

    DARK = "dark", _("Too dark: take it by a window or with a lamp.")
    BLURRED = "blurred", _("Blurred: hold still and tap the spot before you take it.")
    FAR = "far", _("Too far away: go closer, to about 20 cm.")
    CUT_OFF = "cut_off", _("Not all of it is in the picture: step back a little.")
    GLARE = "glare", _("Light is reflected: take it from another side, without flash.")
    COVERED = "covered", _("Something covers it: take off what covers it, if that is safe.")
    OTHER_THING = "other", _("It shows something else: take what is to be judged.")
