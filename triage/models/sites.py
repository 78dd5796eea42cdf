"""Who is where: organisations, sites, people's roles, the devices that send."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from inference.models import Definition
from triage.choices import FOR_ALL, Role, SiteKind
from triage.tenancy import SiteRow


def default_time_zone() -> str:
    return settings.TIME_ZONE


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
