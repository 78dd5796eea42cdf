"""Each act as a link of its case's chain."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from triage.chain import START, name_of
from triage.models.base import AppendOnly
from triage.models.cases import Case
from triage.models.sites import Site
from triage.tenancy import SiteRow


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
