"""Headers that every page carries."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

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
