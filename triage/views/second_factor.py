"""allauth's pages of second factors and of signing in again, with our templates and ways on."""

import json
from typing import Any

from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from allauth.account.views import ReauthenticateView
from allauth.core.internal.httpkit import deserialize_request
from allauth.mfa.base.views import AuthenticateView, IndexView
from allauth.mfa.base.views import ReauthenticateView as CodeView
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import resolve, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from triage.middleware import SESSION_KEY, place_of

INDEX = reverse_lazy("mfa_index")
unseen = method_decorator(never_cache, name="dispatch")


class FactorsView(IndexView):
    """One's own second factors, and how to set one up."""

    template_name = "second_factor.html"


@unseen
class CheckView(AuthenticateView):
    """The second step of a sign-in."""

    template_name = "second_factor_check.html"


@unseen
class AddTotpView(ActivateTOTPView):
    template_name = "second_factor_app.html"


class RemoveTotpView(DeactivateTOTPView):
    template_name = "second_factor_remove.html"
    success_url = INDEX


@unseen
class CodesView(ViewRecoveryCodesView):
    template_name = "second_factor_codes.html"


class NewCodesView(GenerateRecoveryCodesView):
    template_name = "second_factor_new_codes.html"


class AddKeyView(AddWebAuthnView):
    template_name = "second_factor_key.html"


class RemoveKeyView(RemoveWebAuthnView):
    template_name = "second_factor_remove.html"
    success_url = INDEX


class AgainView(ReauthenticateView):
    """Signing in again before something that matters: by password."""

    template_name = "sign_in_again.html"
    extra_context = {"by": "password"}  # noqa: RUF012 (as Django's views have it)


class AgainByCodeView(CodeView):
    template_name = "sign_in_again.html"
    extra_context = {"by": "code"}  # noqa: RUF012


class AgainByKeyView(ReauthenticateWebAuthnView):
    template_name = "sign_in_again.html"
    extra_context = {"by": "key"}  # noqa: RUF012

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | self.extra_context

    def form_invalid(self, form: Any) -> HttpResponse:
        page: HttpResponse = self.render_to_response(self.get_context_data(form=form))
        return page


@require_GET
@login_required
def again_by_provider_view(request: HttpRequest) -> HttpResponse:
    """Whoever signed in at a provider does so there again; what they sent then goes on."""
    to = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(to, {request.get_host()})
    return render(request, "sign_in_again.html", {"by": "provider", "next": to if safe else "/"})


class ProviderWay(OpenIDConnectOAuth2Adapter):
    """allauth's, but the signature of an ID token is always checked, and whose it is."""

    def _decode_id_token(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        found: dict[str, Any] = jwtkit.verify_and_decode(
            credential=id_token,
            keys_url=self.openid_config["jwks_uri"],
            issuer=self.openid_config["issuer"],
            audience=app.client_id,
            lookup_kid=jwtkit.lookup_kid_jwk,
        )
        return found


@require_POST
def to_provider_view(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _provider(OAuth2LoginView, request, provider_id)


@require_GET
def from_provider_view(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Somebody is back. allauth begins a new session; of whoever it was before that goes on.

    They stay at their site, and what they sent before they had to sign in again is done now, where
    that is what they come back to: it was checked for its CSRF token when it came.
    """
    before, who = dict(request.session), request.user.pk
    answer = _provider(OAuth2CallbackView, request, provider_id)
    if who is None or request.user.pk != who:
        return answer
    if SESSION_KEY in before:
        request.session[SESSION_KEY] = before[SESSION_KEY]
    # What the provider has just said of their roles counts for what goes on.
    request.place = place_of(request.user, request.session)  # type: ignore[attr-defined]
    sent = before.get(STATE_SESSION_KEY, {}).get("request")
    return _resumed(request, sent, answer) if sent else answer


def _resumed(request: HttpRequest, sent: str, answer: HttpResponse) -> HttpResponse:
    path = json.loads(sent)["path"]
    if answer.headers.get("Location") != path:
        return answer
    found = resolve(path)
    again = deserialize_request(sent, request)
    done: HttpResponse = found.func(again, *found.args, **found.kwargs)
    return done


def _provider(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        answer: HttpResponse = view.adapter_view(ProviderWay(request, provider_id))(request)
    except SocialApp.DoesNotExist as error:
        raise Http404 from error
    return answer
