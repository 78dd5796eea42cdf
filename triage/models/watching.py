"""What is looked at from time to time, and what it found."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from triage.choices import AlertKind
from triage.models.policies import Policy
from triage.models.sites import Site
from triage.tenancy import SiteRow


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
