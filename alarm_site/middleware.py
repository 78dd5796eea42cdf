"""What every answer carries, and what is written down of every request."""

import logging
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.encoding import escape_uri_path

from alarm_site.metrics import count_request
from inference import tracing

log = logging.getLogger("alarm_site.requests")
WATCHING = {"healthz", "readyz", "metrics"}

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self'; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'{provider}; frame-ancestors 'none'"
)


def policy() -> str:
    """A form that leads to the provider is sent on there, which browsers hold to form-action."""
    parts = urlsplit(settings.ALARM_OIDC_URL)
    return POLICY.format(provider=f" {parts.scheme}://{parts.netloc}" if parts.netloc else "")


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """No inline script, nothing from elsewhere: what a model writes can never run."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy())
        response.headers.setdefault("Permissions-Policy", "geolocation=(), microphone=()")
        return response

    return middleware


def traced(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """One id for all that a request sets off, which its answer names; one line and one count of it.

    The line holds no query: what people filter by may name somebody.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        begun = time.perf_counter()
        headers = request.headers
        trace_id = tracing.taken(headers.get("traceparent", ""), headers.get("X-Request-ID", ""))
        with tracing.carried(trace_id):
            response = get_response(request)
            seconds = time.perf_counter() - begun
            route = _route(request)
            count_request(route, response.status_code, seconds)
            log.log(
                logging.DEBUG if route in WATCHING else logging.INFO,
                "%s %s %d %.0f ms",
                request.method,
                escape_uri_path(request.path),
                response.status_code,
                seconds * 1000,
            )
        response.headers["X-Request-ID"] = trace_id
        return response

    return middleware


def _route(request: HttpRequest) -> str:
    """The route's name; one for all that is none, so that nobody can make up new ones."""
    return (request.resolver_match.url_name if request.resolver_match else None) or "none"
