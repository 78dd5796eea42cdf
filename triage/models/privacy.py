"""What is agreed to, opened in an emergency, erased, kept for a court."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from triage.choices import GlassReason, Purpose
from triage.models.base import AppendOnly
from triage.models.cases import Case, Subject
from triage.models.sites import Site
from triage.tenancy import SiteRow


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
