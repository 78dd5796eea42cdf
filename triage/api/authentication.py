"""Devices sign in with a token; people with their session."""

from dataclasses import dataclass

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from triage.models import DeviceToken
from triage.services.tokens import count_call, find_token

KEYWORD = b"bearer"


@dataclass(frozen=True)
class Device:
    """Who a request with a token comes from: no person, one site, write only."""

    token: DeviceToken
    is_authenticated: bool = True
    pk: None = None


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer alarm_...`, as `manage.py token` printed it."""

    def authenticate(self, request: Request) -> tuple[Device, DeviceToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != KEYWORD:
            return None
        token = find_token(words[1].decode("ascii", "replace")) if len(words) == 2 else None
        if token is None:
            raise AuthenticationFailed(
                "This token is unknown, expired or revoked. Ask your administrator for a new one."
            )
        count_call(token)
        return Device(token), token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
