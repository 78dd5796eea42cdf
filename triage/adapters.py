"""What allauth asks of us: how people are let in, and what a provider's groups give them."""

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base.forms import AuthenticateForm, BaseAuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from triage import sessions
from triage.selectors.people import roles_of_groups
from triage.services import people

log = logging.getLogger(__name__)
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves; a sign-in of the last minutes is as good as another."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        return not sessions.is_proved(context.request.session)

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        user.backend = MODEL_BACKEND
        super().login(request, user)

    def get_reauthentication_methods(
        self, user: AbstractBaseUser | AnonymousUser
    ) -> list[dict[str, Any]]:
        """Whoever came by a provider goes there again; a password of ours they have none."""
        if sessions.by_provider(context.request.session):
            again = reverse("sign-in-again-provider")
            return [{"id": "provider", "description": "", "url": again}]
        return list(super().get_reauthentication_methods(user))

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        return refused(request, _("This account is disabled. Ask your administrator."))

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """The pages say themselves what has become of it."""


class FactorAdapter(DefaultMFAAdapter):
    """Passkeys are called what they are."""

    def generate_authenticator_name(self, user: AbstractBaseUser, type: str) -> str:
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return _("Passkey {0}").format(count + 1)


class _Guarded(BaseAuthenticateForm):
    """Codes are guessed at as slowly as passwords (same tries, same wait), and count once."""

    def clean_code(self) -> str:
        words = _("This code is not right. After several tries, wait a quarter of an hour.")
        if not AxesProxyHandler.is_allowed(context.request, self.who):
            raise ValidationError(words)
        try:
            code = str(super().clean_code())
            _use_up(self.authenticator, code)
        except ValidationError:
            user_login_failed.send(__name__, credentials=self.who, request=context.request)
            raise ValidationError(words) from None
        return code

    @property
    def who(self) -> dict[str, str]:
        return {"username": self.user.get_username()}


class SecondFactorForm(_Guarded, AuthenticateForm):
    """The second step of a sign-in."""


class AgainByCodeForm(_Guarded, ReauthenticateForm):
    """Signing in again by a code."""


@transaction.atomic
def _use_up(authenticator: Authenticator, code: str) -> None:
    """allauth remembers used codes in each process; the row is the same for all of them.

    Raises:
        ValidationError: it is one of the last three, of which none is valid for longer.
    """
    kept = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
    used = kept.data.get("used", [])
    if kept.type != Authenticator.Type.TOTP:
        return
    if code in used:
        raise ValidationError("used")
    kept.data["used"] = [code, *used][:3]
    kept.save(update_fields=["data"])


class ProviderAdapter(DefaultSocialAccountAdapter):
    """Groups of the provider are roles here, read anew at each sign-in."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Let nobody in whom no group admits; the account that they had loses its roles first.

        Raises:
            ImmediateHttpResponse: with the page that says so.
        """
        _same_person(sociallogin)
        sociallogin.email_addresses = []  # signs nobody in here, and nobody is asked for one
        roles = roles_of_groups(groups_of(sociallogin))
        if sociallogin.is_existing:
            people.follow_groups(user=sociallogin.user, roles=roles)
        if not roles:
            words = _("You are known there, but none of your groups may work here.")
            raise ImmediateHttpResponse(refused(request, f"{words} {_('Ask your administrator.')}"))

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True  # whoever has no role has been turned away by now

    def save_user(
        self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None
    ) -> AbstractBaseUser:
        user: AbstractBaseUser = super().save_user(request, sociallogin, form)
        people.follow_groups(user=user, roles=roles_of_groups(groups_of(sociallogin)))
        return user

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        log.warning("sign-in at the provider failed: %s %s", error, exception)
        messages.error(request, _("The sign-in at your organisation did not succeed. Try again."))
        raise ImmediateHttpResponse(redirect("sign-in"))


def _same_person(sociallogin: SocialLogin) -> None:
    """The userinfo must be about whom the signed token is (OpenID Connect Core 1.0, 5.3.2)."""
    said = sociallogin.account.extra_data
    info, token = said.get("userinfo"), said.get("id_token")
    if not token or (info and info.get("sub") != token.get("sub")):
        raise OAuth2Error("the userinfo is not about whom the ID token is")


def groups_of(sociallogin: SocialLogin) -> list[str]:
    """The groups that the provider says somebody is in, of the userinfo or of the ID token."""
    said = sociallogin.account.extra_data
    for part in (said.get("userinfo"), said.get("id_token"), said):
        groups = (part or {}).get(settings.ALARM_OIDC_GROUPS)
        if groups is not None:
            return [str(one) for one in groups] if isinstance(groups, list) else [str(groups)]
    return []


def refused(request: HttpRequest, reason: str) -> HttpResponse:
    return render(request, "403.html", {"reason": reason}, status=403)
