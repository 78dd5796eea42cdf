"""How long a sign-in lasts: from its beginning, from what was last done, and for what matters most.

Three stamps in the session say it. Whatever a page fetches by itself is nothing that was done.
"""

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest

BEGAN, ACTIVE, PROVED = "signed_in_at", "active_at", "proved_at"
METHODS = "account_authentication_methods"  # allauth's list of how somebody has signed in
EVERY_S = 30  # between two stamps: a session is not stored anew for each click
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}

Session = Mapping[str, Any]


def begin(session: MutableMapping[str, Any]) -> None:
    """Somebody has just signed in."""
    session[BEGAN] = session[ACTIVE] = session[PROVED] = time.time()


def prove(session: MutableMapping[str, Any]) -> None:
    """Whoever is signed in has shown once more who they are."""
    session[PROVED] = time.time()


def touch(session: MutableMapping[str, Any]) -> None:
    """Something was done."""
    now = time.time()
    if BEGAN not in session:  # from before there were stamps
        session[BEGAN] = now
    if now - session.get(ACTIVE, 0) > EVERY_S:
        session[ACTIVE] = now


def is_activity(request: HttpRequest) -> bool:
    """Whether a person did this: they sent something, or opened a page.

    Fragments, pictures and reads of the API are fetched by pages that lie open, too.
    """
    if request.method not in SAFE:
        return True
    page = "text/html" in request.headers.get("Accept", "")
    return page and "HX-Request" not in request.headers


def seconds_left(session: Session, *, staff: bool) -> float:
    """Until the session ends if nobody does anything; not above 0 once it is over."""
    minutes = settings.ALARM_IDLE_MINUTES if staff else settings.ALARM_IDLE_HOME_MINUTES
    now = time.time()
    began = session.get(BEGAN, now)
    idle = session.get(ACTIVE, now) + minutes * 60
    return float(min(began + settings.SESSION_COOKIE_AGE, idle) - now)


def is_proved(session: Session) -> bool:
    """Whether it was shown lately who is signed in: by signing in, or by doing so again."""
    return float(session.get(PROVED, 0)) > time.time() - settings.ALARM_REAUTH_MINUTES * 60


def by_provider(session: Session) -> bool:
    """Whether the sign-in was at a provider, whose duty a second factor then is."""
    methods = session.get(METHODS) or []
    return any(one.get("method") == "socialaccount" for one in methods)
