"""What people do about what the models said."""

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from inference.models import Definition, Observation, Run
from triage.chain import START, name_of
from triage.choices import (
    FOR_ALL,
    WAITING,
    AlertKind,
    CaseStatus,
    GlassReason,
    GuardAct,
    GuardCause,
    News,
    Outcome,
    PolicyMode,
    PolicyStatus,
    Purpose,
    ReviewAction,
    Role,
    SiteKind,
)
from triage.tenancy import OfSite, SiteRow


def default_time_zone() -> str:
    return settings.TIME_ZONE


class AppendOnly(models.Model):
    """A row that is written once: a change is a new row."""

    class Meta:
        abstract = True

    def save(self, *args: object, **kwargs: object) -> None:
        if not self._state.adding:
            raise TypeError(f"{type(self).__name__} is append-only: write a new row.")
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def delete(self, *args: object, **kwargs: object) -> tuple[int, dict[str, int]]:
        raise TypeError(f"{type(self).__name__} is append-only.")


class Organisation(models.Model):
    """Who answers for its sites: a hospital, a home-care service."""

    name = models.CharField(max_length=120, unique=True)

    def __str__(self) -> str:
        return self.name


class Site(models.Model):
    """A facility or a household: the wall that nobody sees across."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="sites")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=SiteKind)
    domain = models.CharField(max_length=40)
    definition = models.ForeignKey(
        Definition,
        null=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The version of the domain in force; None for what ships.",
    )
    two_person_rule = models.BooleanField(
        default=True, help_text="A policy is published by another person than its proposer."
    )
    time_zone = models.CharField(max_length=60, default=default_time_zone)
    blind_share = models.FloatField(
        default=0.0, help_text="Of the deferred cases: read before the machine's answer is seen."
    )
    double_share = models.FloatField(
        default=0.0, help_text="Of the cases that people get: read by two, hidden from each other."
    )
    by_team = models.BooleanField(
        default=False, help_text="Clinicians see the patients of their own care teams alone."
    )
    keep_accepted_days = models.PositiveIntegerField(
        null=True, help_text="Days after which media of accepted cases are erased; None keeps them."
    )
    keep_resolved_days = models.PositiveIntegerField(null=True)
    keep_unresolved_days = models.PositiveIntegerField(
        null=True, help_text="Of cases whose photo could not be judged and was asked for again."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organisation", "name"], name="site_name_once"),
            models.CheckConstraint(
                condition=Q(blind_share__gte=0, blind_share__lte=1), name="blind_share_is_a_share"
            ),
            models.CheckConstraint(
                condition=Q(double_share__gte=0, double_share__lte=1),
                name="double_share_is_a_share",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(SiteRow):
    """One person's role at one site."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=15, choices=Role)
    turn = models.PositiveSmallIntegerField(
        default=0, help_text="Who is asked first in a household: the lowest; then by age here."
    )
    quiet_from = models.TimeField(
        null=True, blank=True, help_text="In the site's time zone; only critical events pass."
    )
    quiet_until = models.TimeField(null=True, blank=True)
    shares_reliance = models.BooleanField(
        default=False, help_text="Administrators see how they and the machine agree by name."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "site", "role"], name="role_once_a_site"),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="quiet_hours_begin_and_end",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} at {self.site}"


class OrganisationRole(SiteRow):
    """One person's role at each site of an organisation, also at those that are yet to come."""

    WAY_TO_SITE = "organisation__sites"

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="people")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="organisation_roles"
    )
    role = models.CharField(max_length=15, choices=Role)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "organisation", "role"], name="role_once_an_organisation"
            ),
            models.CheckConstraint(
                condition=Q(role__in=FOR_ALL), name="who_is_for_all_sees_no_pictures"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.organisation}"


class DeviceToken(SiteRow):
    """What a camera or another program signs in with: may send observations to its one site."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256; never the token.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, help_text="When it was last sent.")
    window_at = models.DateTimeField(null=True, help_text="When the minute began that is counted.")
    calls = models.PositiveIntegerField(default=0, help_text="Calls in that minute.")

    def __str__(self) -> str:
        return f"{self.name} at {self.site}"


class IdempotencyKey(models.Model):
    """A request that its sender may repeat: the same key and body are one effect, one answer."""

    sender = models.CharField(max_length=40, help_text="Whose key it is: a token or a person.")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of what was sent.")
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sender", "key"], name="a_key_once_a_sender"),
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.sender}"


class Learning(SiteRow):
    """A time in which a site, or one of its cameras, is new: all its cases go to a person.

    States:  learning (`ended_at` empty) -> trusted;  starting again is a new row

    `camera` None stands for the site itself: what people send. Trusted is only who has a row and
    whose newest row has ended. Only the end of a row is ever written to it.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="learnings")
    domain = models.CharField(max_length=40)
    camera = models.ForeignKey(
        DeviceToken, null=True, on_delete=models.CASCADE, related_name="learnings"
    )
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="None where the labels ended it.",
    )
    evidence = models.JSONField(default=dict, help_text="What the labels showed at its end.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["site", "domain"],
                condition=Q(ended_at__isnull=True, camera__isnull=True),
                name="a_site_learns_once_at_a_time",
            ),
            models.UniqueConstraint(
                fields=["camera", "domain"],
                condition=Q(ended_at__isnull=True, camera__isnull=False),
                name="a_camera_learns_once_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="learning_ends_after_it_starts",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["site", "domain", "camera"], name="learning_of")]

    def __str__(self) -> str:
        return f"{self.camera or self.site} {'has learned' if self.ended_at else 'learns'}"


class Subject(SiteRow):
    """The pseudonymous patient or resident; the name behind it is kept elsewhere."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="subjects")
    pseudonym = models.CharField(max_length=60)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["site", "pseudonym"], name="pseudonym_once_a_site"),
        ]

    def __str__(self) -> str:
        return self.pseudonym


class CareTeamMember(SiteRow):
    """Somebody looks after a subject; where the site goes `by_team`, only they see its cases."""

    WAY_TO_SITE = "subject__site"

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="team")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="care_teams"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subject", "user"], name="once_in_a_care_team"),
        ]

    def __str__(self) -> str:
        return f"{self.user} looks after {self.subject}"


class Case(SiteRow):
    """One observation's way through triage; its states stand in choices.CaseStatus.

    `version` grows with every change: a review that was begun on an older one is refused.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="cases")
    domain = models.CharField(max_length=40)
    definition = models.ForeignKey(
        Definition,
        null=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The version of the domain it was opened under: its labels and words.",
    )
    subject = models.ForeignKey(Subject, null=True, on_delete=models.SET_NULL, related_name="cases")
    observation = models.OneToOneField(Observation, on_delete=models.PROTECT, related_name="case")
    status = models.CharField(max_length=10, choices=CaseStatus, default=CaseStatus.OPEN)
    version = models.PositiveIntegerField(default=1)
    label = models.CharField(
        max_length=80, blank=True, help_text="The ensemble's while accepted, the expert's after."
    )
    due_at = models.DateTimeField(
        null=True, help_text="When a person should have seen it: sooner when severe and uncertain."
    )
    waiting_due_at = models.DateTimeField(
        null=True, help_text="`due_at` while it waits for a person, else None: the queue's order."
    )
    sha256 = models.CharField(max_length=64)
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    camera = models.ForeignKey(
        DeviceToken,
        null=True,
        on_delete=models.PROTECT,
        related_name="cases",
        help_text="What sent it; None where a person did.",
    )
    blind = models.BooleanField(
        default=False, help_text="Drawn: who reads it sees the machine's answer afterwards."
    )
    readings = models.PositiveSmallIntegerField(
        default=1, help_text="Drawn: how many people read it, each without the other's answer."
    )
    wanted = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        db_index=False,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The colleague whom somebody passed it on to: asked before all others.",
    )
    replaces = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="replaced_by",
        help_text="The case whose photo could not be judged.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(null=True, help_text="Its Erasure says by whom and why.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=CaseStatus.values), name="case_status_known"
            ),
            models.CheckConstraint(
                condition=Q(readings__in=(1, 2)), name="a_case_is_read_once_or_twice"
            ),
            models.CheckConstraint(
                condition=Q(status__in=WAITING, waiting_due_at__isnull=False)
                | (~Q(status__in=WAITING) & Q(waiting_due_at__isnull=True)),
                name="what_waits_is_in_the_queue",
            ),
            models.CheckConstraint(
                condition=~Q(status=CaseStatus.RESOLVED) | ~Q(label=""),
                name="a_resolved_case_has_a_label",
            ),
            models.UniqueConstraint(fields=["site", "sha256"], name="one_case_a_site_and_photo"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["site", "waiting_due_at", "created_at"], name="case_queue"),
            models.Index(fields=["site", "status"], name="case_state"),
            # Not of those that nobody is named for: the queue must not be read by it.
            models.Index(fields=["wanted"], name="case_wanted", condition=Q(wanted__isnull=False)),
            models.Index(fields=["site", "-created_at"], name="case_newest"),
        ]

    def __str__(self) -> str:
        return f"case {self.id.hex[:8]}"

    @property
    def number(self) -> str:
        """The short form that people say to each other."""
        return self.id.hex[:8]


class Calibration(SiteRow, AppendOnly):
    """Frozen parameters, fitted on labels: what turns answers into scores and P(error).

    `parameters` is inference.uq's Calibration as JSON; `window` says which labels it was fitted on.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="calibrations")
    domain = models.CharField(max_length=40)
    parameters = models.JSONField()
    aggregator = models.JSONField(
        null=True, help_text="inference.uq's LearnedAggregator; None with too few labels."
    )
    ensemble = models.CharField(max_length=64, help_text="Signature of the runs it was fitted on.")
    window = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"calibration {self.pk} of {self.site}"


class Policy(SiteRow):
    """An immutable version: a calibration, a score, a threshold, and how it was chosen.

    States:  draft -> active -> retired;  draft -> dropped;  retired -> active (rolled back to)
             draft -> shadow -> draft;  draft | shadow -> canary -> active | dropped

    Only how far it has come ever changes: the status, its dates, a canary's share, and which
    version was in force before it.
    """

    MUTABLE: ClassVar = frozenset(
        {
            "status",
            "published_by",
            "published_at",
            "retired_at",
            "shadow_at",
            "canary_share",
            "canary_at",
            "canary_by",
            "before",
            "guard_limit",
        }
    )

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="policies")
    domain = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=PolicyStatus, default=PolicyStatus.DRAFT)
    calibration = models.ForeignKey(Calibration, null=True, on_delete=models.PROTECT)
    method = models.CharField(max_length=40, default="cold_start")
    mode = models.CharField(max_length=12, choices=PolicyMode)
    threshold = models.FloatField(null=True, help_text="Accept at or below; None accepts nothing.")
    choice = models.JSONField(default=dict, help_text="How the threshold was chosen, with bounds.")
    fallback = models.JSONField(
        default=dict,
        help_text="Method and threshold by which the vote decides once `learned` is withdrawn.",
    )
    replay = models.JSONField(default=dict, help_text="What it would have done with past cases.")
    audit_share = models.FloatField()
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)
    shadow_at = models.DateTimeField(null=True, help_text="When it last went into shadow.")
    canary_share = models.FloatField(
        null=True, help_text="Share of the cases that it decides, or decided, as a canary."
    )
    canary_at = models.DateTimeField(null=True, help_text="When it began as a canary.")
    canary_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    before = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="What was in force when it was published: where the guard rail goes back to.",
    )
    guard_limit = models.JSONField(
        default=dict,
        help_text="What the guard rail holds it to and where that is from, as known when it was "
        "published; empty for what was published before this was kept.",
    )

    class Meta:
        ordering: ClassVar = ["-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["site", "domain", "version"], name="policy_version_once"
            ),
            models.UniqueConstraint(
                fields=["site", "domain"],
                condition=Q(status=PolicyStatus.ACTIVE),
                name="one_active_policy_a_site_and_domain",
            ),
            models.UniqueConstraint(
                fields=["site", "domain"],
                condition=Q(status=PolicyStatus.SHADOW),
                name="one_shadow_a_site_and_domain",
            ),
            models.UniqueConstraint(
                fields=["site", "domain"],
                condition=Q(status=PolicyStatus.CANARY),
                name="one_canary_a_site_and_domain",
            ),
            models.CheckConstraint(
                condition=~Q(status=PolicyStatus.CANARY)
                | Q(canary_share__isnull=False, canary_share__gt=0, canary_share__lt=1),
                name="a_canary_has_a_share",
            ),
            models.CheckConstraint(
                condition=Q(audit_share__gt=0, audit_share__lte=1), name="audit_share_is_a_share"
            ),
            models.CheckConstraint(
                condition=Q(status__in=PolicyStatus.values), name="policy_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"policy {self.version} of {self.site}"

    def save(self, *args: object, **kwargs: object) -> None:
        changed = kwargs.get("update_fields")
        if not self._state.adding and not (changed and self.MUTABLE.issuperset(changed)):  # type: ignore[arg-type]
            raise TypeError("A Policy is immutable: propose a new version.")
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class DomainVersion(SiteRow, AppendOnly):
    """What somebody of an organisation has written of a domain: labels, words, prompts, rules.

    Its organisation's sites may put it in force, each for itself; nobody else ever sees it.
    """

    WAY_TO_SITE = "organisation__sites"

    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, related_name="domain_versions"
    )
    domain = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    definition = models.ForeignKey(Definition, on_delete=models.PROTECT, related_name="+")
    note = models.CharField(max_length=300, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="None for what ships.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["domain", "-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organisation", "domain", "version"], name="domain_version_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.domain} {self.version}"


class DomainPublication(SiteRow, AppendOnly):
    """A version was put in force at a site; the newest row is what the site's `definition` says."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="domain_publications")
    version = models.ForeignKey(
        DomainVersion, on_delete=models.PROTECT, related_name="publications"
    )
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    published_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.version} at {self.site}"


class Trial(SiteRow):
    """A version of a domain is tried on past cases of a site. Only its end is ever written to it.

    `cases` are the ids of the cases in the order in which they are asked about, newest first.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="trials")
    version = models.ForeignKey(DomainVersion, on_delete=models.PROTECT, related_name="trials")
    cases = models.JSONField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["site"],
                condition=Q(ended_at__isnull=True),
                name="one_trial_at_a_time_a_site",
            ),
        ]

    def __str__(self) -> str:
        return f"trial of {self.version} at {self.site}"


class TrialRun(SiteRow, AppendOnly):
    """What the members said of one past case when they were asked by the version on trial."""

    WAY_TO_SITE = "case__site"

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="runs")
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="trial_runs")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="trial_run")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trial", "case"], name="tried_once_a_case"),
        ]

    def __str__(self) -> str:
        return f"{self.case} in {self.trial}"


class Withdrawal(SiteRow, AppendOnly):
    """A learned aggregator stopped beating the vote: from here on the vote decides, by fallback."""

    WAY_TO_SITE = "policy__site"

    policy = models.OneToOneField(Policy, on_delete=models.CASCADE, related_name="withdrawal")
    reason = models.TextField(blank=True, help_text="In words, of old rows: now evidence says why.")
    evidence = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"withdrawal from {self.policy}"


class GuardRail(SiteRow, AppendOnly):
    """What the guard rail found of a published version, and what it did about it."""

    WAY_TO_SITE = "policy__site"

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="guard_rails")
    cause = models.CharField(max_length=5, choices=GuardCause)
    act = models.CharField(max_length=12, choices=GuardAct)
    reason = models.TextField(blank=True, help_text="In words, of old rows: now evidence says why.")
    evidence = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["policy", "cause"], name="guard_acts_once_a_cause"),
        ]

    def __str__(self) -> str:
        return f"guard rail: {self.act} {self.policy}"


class Decision(SiteRow, AppendOnly):
    """A policy applied to a run.

    `label_probability` is the probability with which an expert was going to label this case: 1
    for a deferred one, the audit share for an accepted one. Audit estimates are weighted by it. It
    is that of the policy that decided, also where a canary's draw chose which one did.
    """

    WAY_TO_SITE = "case__site"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="decisions")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="decision")
    policy = models.ForeignKey(Policy, null=True, on_delete=models.PROTECT)
    outcome = models.CharField(max_length=6, choices=Outcome)
    label = models.CharField(max_length=80, blank=True)
    method = models.CharField(max_length=40, blank=True)
    score = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    reasons = models.JSONField(default=list, help_text="Codes; triage.reasons has the words.")
    explanation = models.JSONField(default=dict, help_text="Levels a stage and P(error).")
    learned_label = models.CharField(
        max_length=80, blank=True, help_text="What the learned aggregator said, deciding or not."
    )
    learned_error = models.FloatField(null=True, help_text="The P(error) that it stated.")
    label_probability = models.FloatField()
    audited = models.BooleanField(default=False)
    drawn_share = models.FloatField(
        null=True,
        help_text="While a canary ran: the probability with which this policy was drawn to decide.",
    )
    decided_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(label_probability__gt=0, label_probability__lte=1),
                name="label_probability_is_a_probability",
            ),
            models.CheckConstraint(
                condition=Q(outcome=Outcome.DEFER)
                | Q(score__isnull=False, threshold__isnull=False, score__lte=F("threshold")),
                name="accept_only_at_or_below_the_threshold",
            ),
            models.CheckConstraint(
                condition=Q(drawn_share__isnull=True) | Q(drawn_share__gt=0, drawn_share__lt=1),
                name="drawn_share_is_a_share",
            ),
        ]
        # Holds all that a week's totals need: they are counted without reading a row.
        indexes: ClassVar = [
            models.Index(fields=["policy", "decided_at", "outcome"], name="decision_totals"),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} {self.case}"


class ShadowDecision(SiteRow, AppendOnly):
    """What a version in shadow would have said beside a Decision; it decides nothing."""

    WAY_TO_SITE = "policy__site"

    decision = models.OneToOneField(Decision, on_delete=models.CASCADE, related_name="shadow")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="shadow_decisions")
    outcome = models.CharField(max_length=6, choices=Outcome)
    label = models.CharField(max_length=80, blank=True)
    score = models.FloatField(null=True)
    reasons = models.JSONField(default=list, help_text="Codes; triage.reasons has the words.")

    def __str__(self) -> str:
        return f"{self.policy} would {self.outcome} {self.decision.case}"


class LeaseQuerySet(models.QuerySet["Lease"]):
    def running(self) -> "LeaseQuerySet":
        """Neither ended nor expired."""
        return self.filter(ended_at=None, expires_at__gt=timezone.now())


LeaseManager = OfSite.from_queryset(LeaseQuerySet)


class Lease(SiteRow):
    """A reviewer's expiring hold on a case."""

    WAY_TO_SITE = "case__site"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="leases")
    holder = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="leases"
    )
    token = models.UUIDField(default=uuid.uuid4, unique=True)
    taken_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = LeaseManager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["case"], condition=Q(ended_at__isnull=True), name="one_open_lease_a_case"
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("taken_at")), name="lease_ends_after_it_starts"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["expires_at"],
                condition=Q(ended_at__gte=F("expires_at")),
                name="lease_ran_out",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.holder} holds {self.case}"


class Draft(SiteRow):
    """An answer that somebody has begun: seen by its writer alone, and gone with the answer."""

    WAY_TO_SITE = "case__site"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="drafts")
    writer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="drafts"
    )
    label = models.CharField(max_length=80, blank=True)
    comment = models.TextField(blank=True, max_length=2000)
    written_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["case", "writer"], name="one_draft_a_case_and_writer"),
        ]

    def __str__(self) -> str:
        return f"draft of {self.writer}"


class Review(SiteRow, AppendOnly):
    """What somebody did with a case that they held; an answer counts until it is taken back."""

    WAY_TO_SITE = "case__site"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="reviews", db_index=False)
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    action = models.CharField(max_length=6, choices=ReviewAction, default=ReviewAction.ANSWER)
    label = models.CharField(max_length=80, blank=True)
    reason = models.CharField(max_length=10, blank=True, help_text="Of a skip or a retake.")
    blind = models.BooleanField(
        default=False, help_text="Answered before the machine's answer was seen."
    )
    comment = models.TextField(blank=True, max_length=2000)
    seconds = models.FloatField(null=True, help_text="From the claim to the answer.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["created_at", "pk"]
        indexes: ClassVar = [
            models.Index(fields=["case", "reviewer"], name="review_of_by"),
            models.Index(fields=["created_at"], name="review_newest"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(action=ReviewAction.ANSWER) | ~Q(label=""),
                name="an_answer_has_a_label",
            ),
            models.CheckConstraint(
                condition=~Q(action=ReviewAction.RETAKE) | ~Q(reason=""),
                name="a_retake_has_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} {self.action} {self.label}"


class Ask(SiteRow, AppendOnly):
    """Somebody of a household is asked about a case; the newest row is whose turn it is."""

    WAY_TO_SITE = "case__site"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="asks")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="asks"
    )
    asked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["asked_at", "pk"]

    def __str__(self) -> str:
        return f"{self.person} is asked about {self.case}"


class Snooze(SiteRow):
    """Somebody does not want to be asked about a camera for a while; None is what people send."""

    WAY_TO_SITE = "membership__site"

    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="snoozes")
    camera = models.ForeignKey(DeviceToken, null=True, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.membership} is not asked about {self.camera or 'photos'} until {self.until}"


class Consent(SiteRow, AppendOnly):
    """Somebody said yes or no to a Purpose for a household; the newest row of it counts.

    A renewal is a new row, and so is a withdrawal. `until` None ends only by one.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="consents")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    purpose = models.CharField(max_length=10, choices=Purpose)
    given = models.BooleanField()
    said_at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True, help_text="When a yes ends by itself.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(given=True, until__gt=F("said_at")),
                name="only_a_yes_ends_and_later",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["site", "purpose", "-said_at"], name="consent_of")
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {'given' if self.given else 'withdrawn'} at {self.site}"


class GlassBreak(SiteRow, AppendOnly):
    """Somebody opened a case that they need not see: with a reason, for a while, to be looked at.

    States:  to be looked at (`reviewed_at` empty) -> looked at, by another administrator

    Only what was found of it is ever written to a row.
    """

    WAY_TO_SITE = "case__site"

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="glass_breaks")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=10, choices=GlassReason)
    words = models.CharField(max_length=500, blank=True, help_text="Blank once the case is erased.")
    broken_at = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField()
    justified = models.BooleanField(null=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-broken_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(until__gt=F("broken_at")), name="broken_glass_is_mended"
            ),
            models.CheckConstraint(
                condition=Q(reviewed_at=None, reviewed_by=None, justified=None)
                | Q(reviewed_at__isnull=False, reviewed_by__isnull=False, justified__isnull=False),
                name="a_look_at_broken_glass_finds_something",
            ),
            models.CheckConstraint(
                condition=Q(reviewed_by=None) | ~Q(reviewed_by=F("person")),
                name="nobody_looks_at_their_own_broken_glass",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} opened {self.case}"


class Erasure(SiteRow, AppendOnly):
    """A case's tombstone: its media and all words about them are gone; their hash stays.

    `by` is None where retention erased it. Only `files_gone_at` is ever written to it: a file that
    cannot be deleted is tried again by the sweep, while nobody is served it any more.
    """

    WAY_TO_SITE = "case__site"

    case = models.OneToOneField(Case, on_delete=models.PROTECT, related_name="erasure")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(max_length=200)
    erased_at = models.DateTimeField(default=timezone.now)
    files_gone_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-erased_at", "-pk"]

    def __str__(self) -> str:
        return f"erasure of {self.case}"


class LegalHold(SiteRow):
    """Nothing of a case, or of a subject's cases, is erased until the hold is lifted."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="holds")
    case = models.ForeignKey(Case, null=True, on_delete=models.CASCADE, related_name="holds")
    subject = models.ForeignKey(Subject, null=True, on_delete=models.CASCADE, related_name="holds")
    reason = models.CharField(max_length=200)
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField(default=timezone.now)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True)
    lifted_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["-set_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(case__isnull=True, subject__isnull=False)
                | Q(case__isnull=False, subject__isnull=True),
                name="a_hold_is_on_a_case_or_a_subject",
            ),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True) | Q(lifted_by__isnull=False),
                name="a_hold_is_lifted_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"hold on {self.case or self.subject}"


class PushSubscription(models.Model):
    """A browser that wants to be told (W3C Push API): where to send, and keys to encrypt with."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="push_subscriptions"
    )
    endpoint = models.URLField(max_length=500, unique=True)
    p256dh = models.CharField(max_length=120)
    auth = models.CharField(max_length=40)
    language = models.CharField(
        max_length=10, default="en", help_text="Of the page it subscribed on: it is told in it."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"a browser of {self.user}"


class Checkup(SiteRow):
    """What was found at the last look at a site; one row a site, written over each time."""

    site = models.OneToOneField(Site, on_delete=models.CASCADE, related_name="checkup")
    looked_at = models.DateTimeField()
    found = models.JSONField(default=dict, help_text="triage.selectors.checkup reads it.")

    def __str__(self) -> str:
        return f"checkup of {self.site}"


class Alert(SiteRow):
    """Something is no longer going well at a site; only its end is ever written to a row.

    States:  standing (`ended_at` empty) -> cleared;  raised again is a new row
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="alerts")
    policy = models.ForeignKey(
        Policy,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The version that it is about, where it is about one: it ends with it.",
    )
    with_policy = models.BooleanField(
        default=False, help_text="It ended because another version came in force."
    )
    kind = models.CharField(max_length=10, choices=AlertKind)
    value = models.FloatField(help_text="What was measured when it was raised.")
    limit = models.FloatField(help_text="Above which it was raised.")
    raised_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-raised_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["site", "kind"],
                condition=Q(ended_at__isnull=True),
                name="an_alert_stands_once",
            ),
            models.CheckConstraint(condition=Q(kind__in=AlertKind.values), name="alert_kind_known"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("raised_at")),
                name="alert_ends_after_it_was_raised",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["site", "-raised_at"], name="alert_newest")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.site} since {self.raised_at:%Y-%m-%d %H:%M}"


class Delivery(SiteRow):
    """One message about an alert: by mail to `recipient`, or (None) to the webhook.

    States:  due (`due_at` set) -> delivered;  due -> due, later, after a failure;  due -> given up
    """

    WAY_TO_SITE = "alert__site"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    news = models.CharField(max_length=10, choices=News)
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+"
    )
    message_id = models.UUIDField(default=uuid.uuid4, unique=True, help_text="Of all attempts.")
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, default=timezone.now)
    delivered_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True, help_text="Of the last attempt.")

    class Meta:
        verbose_name_plural = "deliveries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["alert", "news", "recipient"], name="one_mail_a_person_and_news"
            ),
            models.UniqueConstraint(
                fields=["alert", "news"],
                condition=Q(recipient__isnull=True),
                name="one_webhook_a_news",
            ),
            models.CheckConstraint(
                condition=Q(due_at__isnull=True) | Q(delivered_at__isnull=True),
                name="what_is_delivered_is_not_due",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="delivery_due")
        ]

    def __str__(self) -> str:
        return f"{self.news} of {self.alert}"


class AuditEvent(SiteRow, AppendOnly):
    """Who did what, when: one line of a site's history. `case` is set where it concerns one.

    Lines of one case, and those of a site that concern none, are a chain (triage.chain): each
    holds its `position` in it, from 1, and the hash of the line before.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="events")
    case = models.ForeignKey(Case, null=True, on_delete=models.CASCADE, related_name="events")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    verb = models.CharField(max_length=40)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    position = models.PositiveIntegerField()
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["created_at", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["case", "position"],
                condition=Q(case__isnull=False),
                name="one_event_a_place_of_a_case",
            ),
            models.UniqueConstraint(
                fields=["site", "position"],
                condition=Q(case__isnull=True),
                name="one_event_a_place_of_a_site",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["site", "-created_at", "-id"], name="history")]

    def __str__(self) -> str:
        return f"{self.verb} {self.created_at:%Y-%m-%d %H:%M}"


class ChainHead(SiteRow):
    """How long a chain of AuditEvents is and how it ends, signed with ALARM_AUDIT_KEY."""

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="chains")
    case = models.OneToOneField(Case, null=True, on_delete=models.CASCADE, related_name="chain")
    length = models.PositiveIntegerField(default=0)
    hash = models.CharField(max_length=64, default=START)
    signature = models.CharField(max_length=64)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["site"], condition=Q(case__isnull=True), name="one_chain_of_a_site"
            ),
        ]

    def __str__(self) -> str:
        return f"{name_of(self.site_id, self.case_id)} to {self.length}"
