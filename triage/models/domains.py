"""The versions of a domain, and their trials on past cases."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from inference.models import Definition, Run
from triage.models.base import AppendOnly
from triage.models.cases import Case
from triage.models.sites import Organisation, Site
from triage.tenancy import SiteRow


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
