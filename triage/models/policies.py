"""What decides: calibrations, policies, and what stopped one."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from triage.choices import GuardAct, GuardCause, PolicyMode, PolicyStatus
from triage.models.base import AppendOnly
from triage.models.sites import Site
from triage.tenancy import SiteRow


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
