"""Who is asked at home, when, and by which way."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from triage.choices import News
from triage.models.base import AppendOnly
from triage.models.cases import Case
from triage.models.sites import DeviceToken, Membership
from triage.models.watching import Alert
from triage.tenancy import SiteRow


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
