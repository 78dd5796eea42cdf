"""A request that its sender repeats: one effect, and the same answer every time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from triage.errors import Conflict, Refused
from triage.models import IdempotencyKey

MAX_KEY = 200
KEPT = timedelta(hours=24)


@dataclass(frozen=True)
class Answer:
    """An HTTP status and the JSON that goes with it."""

    status: int
    body: dict[str, Any]


def once(*, sender: str, key: str, digest: str, act: Callable[[datetime], Answer]) -> Answer:
    """Act, or give the answer that the same request got before.

    Requests that come at the same time may act more than once: `act` must itself have one effect
    however often it is done, as taking in the same bytes has. It is told when the key first came.

    Args:
        sender: whose key it is; another's keys are another's.
        digest: SHA-256 of what is asked for.

    Raises:
        Refused: the key is longer than 200 characters.
        Conflict: the key came with something else before; nothing was done.
    """
    if len(key) > MAX_KEY or not key.isprintable():
        raise Refused(_("An Idempotency-Key has at most {0} characters.").format(MAX_KEY), "key")
    row, _new = IdempotencyKey.objects.get_or_create(
        sender=sender, key=key, defaults={"digest": digest}
    )
    if row.digest != digest:
        raise Conflict(_("This Idempotency-Key came with another body before."), "key_reused")
    if row.status is None:
        done = act(row.created_at)
        unanswered = IdempotencyKey.objects.filter(pk=row.pk, status=None)
        unanswered.update(status=done.status, answer=done.body)
        row.refresh_from_db()
    assert row.status is not None and row.answer is not None
    return Answer(row.status, row.answer)


def forget_keys() -> int:
    """Keys are kept for a day; returns how many were older."""
    return IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]
