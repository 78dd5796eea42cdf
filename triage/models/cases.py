"""Who is looked after, and what is seen of them."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from inference.models import Definition, Observation
from triage.choices import WAITING, CaseStatus
from triage.models.sites import DeviceToken, Site
from triage.tenancy import SiteRow


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
    repeats = models.ForeignKey(
        "self",
        null=True,
        db_index=False,
        on_delete=models.PROTECT,
        related_name="repeated_by",
        help_text="The settled case that it shows again: a GoldCase, which no statistic counts.",
    )
    known = models.BooleanField(
        null=True,
        help_text="Whether its label is beyond doubt: an administrator's word, None its readings'.",
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
            models.Index(
                fields=["repeats"], name="case_repeats", condition=Q(repeats__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"case {self.id.hex[:8]}"

    @property
    def number(self) -> str:
        """The short form that people say to each other."""
        return self.id.hex[:8]
