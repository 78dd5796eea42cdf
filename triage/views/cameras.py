"""The administrators' page of cameras' tokens. A new token is in one answer, and nowhere else."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from triage.models import DeviceToken
from triage.selectors.cameras import camera_rows
from triage.services import tokens
from triage.views.access import member_page, person, site_of


@require_GET
@member_page("manage_tokens")
def cameras_view(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@member_page("manage_tokens")
def issue_view(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("name", "")
    token = tokens.issue_token(site=site_of(request), name=name, actor=person(request))
    return _page(request, token=token, of=name.strip())


@require_POST
@member_page("manage_tokens")
def renew_view(request: HttpRequest, pk: int) -> HttpResponse:
    camera = _camera(request, pk)
    token = tokens.renew_token(camera=camera, actor=person(request))
    return _page(request, token=token, of=camera.name)


@require_POST
@member_page("manage_tokens")
def revoke_view(request: HttpRequest, pk: int) -> HttpResponse:
    camera = _camera(request, pk)
    tokens.revoke_token(camera=camera, actor=person(request))
    messages.success(request, _("Nothing is taken from “{0}” any more.").format(camera.name))
    return redirect("cameras")


def _page(request: HttpRequest, **shown: str) -> HttpResponse:
    response = render(request, "cameras.html", {"rows": camera_rows(site_of(request)), **shown})
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _camera(request: HttpRequest, pk: int) -> DeviceToken:
    cameras = DeviceToken.objects.of(site_of(request)).select_related("site")
    return get_object_or_404(cameras, pk=pk)
