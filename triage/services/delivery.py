"""Telling people and programs of an alert: a row a message, tried until it arrives or is given up.

A message may arrive twice, after a crash between sending and writing down; its id tells.
"""

import base64
import hashlib
import hmac
import json
import logging
import random
from datetime import datetime, timedelta
from smtplib import SMTPException
from uuid import UUID

import httpx
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from inference import dispatch
from triage.choices import News
from triage.models import Alert, Delivery, Site
from triage.selectors.alerts import ended_of, sentence_of, title_of
from triage.selectors.people import administrators_of

log = logging.getLogger(__name__)
DELIVER = "triage.tasks.deliver_news"
TRIAGE_QUEUE = "triage"
# Seconds after each failure, as Standard Webhooks advises; after the last it is given up.
BACKOFF_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000)
SENDING = timedelta(minutes=1)
TIMEOUT_S = 10
GONE = 410


class Undeliverable(Exception):
    """Trying again is of no use."""


def tell(*, alert: Alert, news: News) -> None:
    """Write down who is to be told, and point the workers at it."""
    whom: list[int | None] = [None] if settings.ALARM_WEBHOOK_URL else []
    if settings.EMAIL_HOST:
        whom += sorted(_administrators(alert.site))
    rows = [Delivery.objects.create(alert=alert, news=news, recipient_id=one) for one in whom]
    transaction.on_commit(lambda: _hint([row.pk for row in rows]), robust=True)


def hint_due() -> int:
    """Point the workers at what should have been told by now; returns how many messages."""
    due = Delivery.objects.filter(due_at__lte=timezone.now())
    return _hint(list(due.values_list("pk", flat=True)))


def deliver(*, delivery_id: int) -> bool:
    """Send one message, if it is due; whether it arrived."""
    row = _claim(delivery_id)
    if row is None:
        return False
    try:
        _send_mail(row) if row.recipient_id else _post(row)
    except Undeliverable as error:
        _write(row, error, due_at=None)
    except (httpx.HTTPError, SMTPException, OSError) as error:
        _write(row, error, due_at=_again(row.attempts))
    else:
        _write(row, "", due_at=None, delivered_at=timezone.now())
    return row.delivered_at is not None


def signature(secrets: list[bytes], message_id: UUID, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: one "v1,<base64 of HMAC-SHA256>" a secret, with spaces."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _administrators(site: Site) -> set[int]:
    """Those of the site who have an address."""
    people = administrators_of(site).exclude(email="")
    return set(people.values_list("pk", flat=True))


def _hint(ids: list[int]) -> int:
    return sum(dispatch.hint(DELIVER, one, queue=TRIAGE_QUEUE) for one in ids)


def _claim(delivery_id: int) -> Delivery | None:
    """The row, if it is due and nobody else is sending it; it is due again if this process dies."""
    now = timezone.now()
    due = Delivery.objects.filter(pk=delivery_id, due_at__lte=now)
    if not due.update(due_at=now + SENDING, attempts=F("attempts") + 1):
        return None
    return Delivery.objects.select_related("alert__site", "recipient").get(pk=delivery_id)


def _again(attempts: int) -> datetime | None:
    """When to try again after so many attempts; None is never."""
    if attempts > len(BACKOFF_S):
        return None
    pause = BACKOFF_S[attempts - 1] * (1 + 0.2 * random.random())  # noqa: S311 - only spreads load
    return timezone.now() + timedelta(seconds=pause)


def _write(row: Delivery, error: object, **fields: datetime | None) -> None:
    row.error = str(error)[:200] or type(error).__name__ if error else ""
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(update_fields=["error", *fields])
    if row.error:
        log.warning("%s was not delivered (attempt %s): %s", row, row.attempts, row.error)


def _send_mail(row: Delivery) -> None:
    alert, person = row.alert, row.recipient
    if person is None or person.pk not in _administrators(alert.site):
        raise Undeliverable("not an administrator here any more, or without an address")
    with override(settings.LANGUAGE_CODE):
        subject, text = _words(alert, News(row.news))
    to = get_user_model().objects.values_list("email", flat=True).get(pk=person.pk)
    headers = {"Message-ID": f"<{row.message_id}@alarm-triage>"}
    EmailMessage(subject, text, to=[to], headers=headers).send()


def _words(alert: Alert, news: News) -> tuple[str, str]:
    site, title = alert.site.name.replace("\n", " "), title_of(alert)
    if news == News.CLEARED:
        return (
            _("{site}, cleared: {title}").format(site=site, title=title),
            ended_of(alert) + "\n\n" + _("The page Monitoring says more.")
            if alert.with_policy
            else _("It is back within its limits. The page Monitoring says more."),
        )
    subject = _("{site}: {title}").format(site=site, title=title)
    return subject, sentence_of(alert) + "\n\n" + _("The page Monitoring says more.")


def _post(row: Delivery) -> None:
    """By Standard Webhooks; no name and nothing of a case goes out."""
    body, now = json.dumps(_payload(row)).encode(), int(timezone.now().timestamp())
    headers = {
        "content-type": "application/json",
        "webhook-id": str(row.message_id),
        "webhook-timestamp": str(now),
        "webhook-signature": signature(settings.ALARM_WEBHOOK_SECRETS, row.message_id, now, body),
    }
    if not settings.ALARM_WEBHOOK_URL:
        raise Undeliverable("the webhook was switched off")
    answer = httpx.post(
        settings.ALARM_WEBHOOK_URL, content=body, headers=headers, timeout=TIMEOUT_S
    )
    if answer.status_code == GONE:
        raise Undeliverable("410: the receiver wants no more")
    if not answer.is_success:
        raise httpx.HTTPError(f"the receiver answered {answer.status_code}")


def _payload(row: Delivery) -> dict[str, object]:
    alert = row.alert
    at = alert.ended_at if row.news == News.CLEARED and alert.ended_at else alert.raised_at
    return {
        "type": f"alert.{row.news}",
        "timestamp": at.isoformat(),
        "data": {
            "alert": alert.pk,
            "site": alert.site_id,
            "kind": alert.kind,
            "value": alert.value,
            "limit": alert.limit,
        },
    }
