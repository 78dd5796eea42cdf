"""Web push (RFC 8030, 8291, 8292): a short text to the browsers of whoever is asked."""

import json
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.urls import reverse
from django.utils import translation
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from requests import RequestException, Session

from triage.choices import WAITING, CaseStatus, Role
from triage.errors import Refused
from triage.models import Ask, Case, Membership, PushSubscription
from triage.selectors.asking import is_critical
from triage.selectors.consents import has_ended
from triage.selectors.household import asks_of, in_plain_words

log = logging.getLogger(__name__)
GONE = (404, 410)
MOST_BROWSERS = 10
TIMEOUT_S = 5
LIFE_S = 3600


def make_key() -> None:
    """The installation's own key, made once; without it no browser can subscribe."""
    from py_vapid import Vapid  # on first use: with pywebpush 0.7 s of a start

    if settings.VAPID_KEY.exists():
        return
    key = Vapid()
    key.generate_keys()
    settings.VAPID_KEY.touch(mode=0o600)
    key.save_key(str(settings.VAPID_KEY))


def public_key() -> str:
    """What a browser subscribes with: the key's uncompressed point in base64url; "" without one."""
    from py_vapid import Vapid
    from py_vapid.utils import b64urlencode

    if not settings.VAPID_KEY.exists():
        return ""
    numbers = Vapid.from_file(str(settings.VAPID_KEY)).public_key.public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    return str(b64urlencode(point))


def subscribe(*, user: AbstractBaseUser, endpoint: str, p256dh: str, auth: str) -> None:
    """Remember a browser; it belongs to whoever subscribed last, and a person's oldest give way.

    Raises:
        Refused: the address is of no push service that may be used, or the keys are none.
    """
    if not _may_send_to(endpoint):
        raise Refused(
            _("This browser's push service is not one that may be used here."), "endpoint"
        )
    if not (0 < len(p256dh) <= 120 and 0 < len(auth) <= 40 and len(endpoint) <= 500):
        raise Refused(_("The browser's keys cannot be read."), "keys")
    kept_with = {"user_id": user.pk, "p256dh": p256dh, "auth": auth, "language": get_language()}
    PushSubscription.objects.update_or_create(endpoint=endpoint, defaults=kept_with)
    newest = PushSubscription.objects.filter(user_id=user.pk).order_by("-created_at", "-pk")
    kept = list(newest.values_list("pk", flat=True)[:MOST_BROWSERS])
    PushSubscription.objects.filter(user_id=user.pk).exclude(pk__in=kept).delete()


def unsubscribe(*, user: AbstractBaseUser, endpoint: str) -> None:
    PushSubscription.objects.filter(user_id=user.pk, endpoint=endpoint).delete()


def push_ask(*, ask: Ask) -> int:
    """Tell the browsers of whoever is asked, unless it is settled; returns how many were told."""
    case = ask.case
    if case.status == CaseStatus.RESOLVED or has_ended(case.site):
        return 0
    urgency = "high" if is_critical(case) else "normal"
    return _push(ask.person, case, lambda: asks_of(case, ask.person), urgency=urgency)


def push_call(*, case: Case) -> int:
    """Tell all of a household at once that nobody answers, unless somebody has by now."""
    if case.status not in WAITING or has_ended(case.site):
        return 0
    here = Membership.objects.filter(site=case.site, role=Role.CAREGIVER, user__is_active=True)
    return sum(
        _push(
            one.user,
            case,
            lambda: _("Nobody has answered yet: {0}").format(asks_of(case, one.user)),  # noqa: B023
            urgency="high",
        )
        for one in here.select_related("user")
    )


def push_settled(*, case: Case) -> int:
    """Replace the question on the phones of all who were asked by who has answered what."""
    last = case.reviews.last()
    if case.status != CaseStatus.RESOLVED or last is None or has_ended(case.site):
        return 0
    who = last.reviewer.get_username()
    asked = {ask.person for ask in case.asks.select_related("person")} - {last.reviewer}
    return sum(
        _push(person, case, lambda: f"{who}: {in_plain_words(case)}", urgency="low")
        for person in asked
    )


def _push(person: AbstractBaseUser, case: Case, text_of: Callable[[], str], *, urgency: str) -> int:
    """Each browser in its language, as long as the person is a caregiver of the case's site."""
    message = {
        "title": case.site.name,
        "tag": str(case.pk),
        "url": reverse("case", args=[case.pk]),
        "quiet": urgency == "low",
    }
    here = Membership.objects.filter(site=case.site, role=Role.CAREGIVER, user__is_active=True)
    if not here.filter(user_id=person.pk).exists():
        return 0
    told = 0
    for subscription in PushSubscription.objects.filter(user_id=person.pk):
        with translation.override(subscription.language):
            told += _send(subscription, {**message, "text": text_of()}, urgency)
    return told


def _send(subscription: PushSubscription, message: dict[str, object], urgency: str) -> bool:
    """A browser that is gone is forgotten; other failures are logged, for the page shows it too."""
    from pywebpush import WebPushException, webpush

    if not _may_send_to(subscription.endpoint):
        return False
    if not settings.VAPID_KEY.exists():
        log.warning("not pushed to %s: %s is missing", subscription, settings.VAPID_KEY)
        return False
    with Session() as session:
        session.max_redirects = 0
        try:
            webpush(
                {
                    "endpoint": subscription.endpoint,
                    "keys": {"p256dh": subscription.p256dh, "auth": subscription.auth},
                },
                json.dumps(message),
                vapid_private_key=str(settings.VAPID_KEY),
                vapid_claims={"sub": settings.ALARM_PUSH_CONTACT},
                timeout=TIMEOUT_S,
                ttl=LIFE_S,
                headers={"Urgency": urgency},
                requests_session=session,
            )
        except WebPushException as error:
            if error.response is not None and error.response.status_code in GONE:
                subscription.delete()
            log.warning("not pushed to %s: %s", subscription, error.message)
            return False
        except (RequestException, ValueError) as error:
            log.warning("not pushed to %s: %s", subscription, error)
            return False
    return True


def _may_send_to(endpoint: str) -> bool:
    """Only known push services, so that no address of one's own network can be named."""
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        return False
    known = any(host == name or host.endswith(f".{name}") for name in settings.ALARM_PUSH_HOSTS)
    local = host in ("localhost", "127.0.0.1")
    return known and (local or (parts.scheme == "https" and port in (None, 443)))
