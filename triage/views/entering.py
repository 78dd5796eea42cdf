"""Signing in, choosing a site, and where one lands."""

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.http import require_GET, require_POST

from triage.choices import Role, SiteKind
from triage.middleware import SESSION_KEY
from triage.selectors.people import places_of
from triage.services.demo import demo_accounts
from triage.views.access import person, place

MAX_NAME = 150  # of a User's name


class SignInForm(AuthenticationForm):
    """One sentence for a wrong name, a wrong password, a disabled account and too many tries."""

    error_messages = {  # noqa: RUF012 (as Django's forms have it)
        "invalid_login": _lazy(
            "This name and password do not belong together. After several tries, wait a quarter "
            "of an hour or ask your administrator."
        ),
    }

    def clean(self) -> dict[str, Any]:
        """A name that nobody can have is not kept as a try: it would not fit."""
        if len(self.cleaned_data.get("username", "")) > MAX_NAME:
            raise self.get_invalid_login_error()
        return super().clean()


class SignInView(LoginView):
    """By name and password, then by a second factor where there is one.

    The demonstration's accounts stand beside it where there are any.
    """

    template_name = "sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        login = Login(user=user, redirect_url=self.get_success_url())
        known: HttpResponse = perform_password_login(
            self.request, {"username": user.get_username()}, login
        )
        return known

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        provider = settings.ALARM_OIDC_NAME if settings.ALARM_OIDC_URL else ""
        beside = {"demo_accounts": demo_accounts(), "provider": provider}
        return super().get_context_data(**kwargs) | beside


@require_GET
@login_required
def start_view(request: HttpRequest) -> HttpResponse:
    """Everybody's own first page."""
    here = place(request)
    if here.site is None:
        reason = _("You do not belong to any site yet. Ask your administrator.")
        return render(request, "403.html", {"reason": reason}, status=403)
    if Role.ADMINISTRATOR in here.roles:
        return redirect("policies")
    if here.roles == {Role.AUDITOR}:
        return redirect("audit")
    return redirect("household" if here.site.kind == SiteKind.HOUSEHOLD else "queue")


@require_POST
@login_required
def switch_site_view(request: HttpRequest) -> HttpResponse:
    """Work at another of one's own sites from now on."""
    wanted = request.POST.get("site", "")
    mine = {site.pk for site, _role in places_of(person(request).pk)}
    if not wanted.isdigit() or int(wanted) not in mine:
        raise Http404
    request.session[SESSION_KEY] = int(wanted)
    return redirect("start")
