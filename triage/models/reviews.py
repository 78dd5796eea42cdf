"""What experts do with a case: hold it, draft, answer."""

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from triage.choices import ReviewAction
from triage.models.base import AppendOnly
from triage.models.cases import Case
from triage.tenancy import OfSite, SiteRow


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
