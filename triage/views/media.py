"""Photos, shown only to people of the case's own site whose role allows it."""

from uuid import UUID

from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from triage.services.history import record
from triage.views.access import case_at, member_page, person


@require_GET
@member_page("see_cases")
def photo_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    case = case_at(request, pk)
    record("photo seen", site=case.site, actor=person(request), case=case)
    return _jpeg(case.observation.media.shown)


@require_GET
@member_page("see_cases")
def thumbnail_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _jpeg(case_at(request, pk).observation.media.thumbnail)


def _jpeg(file: FieldFile) -> HttpResponse:
    try:
        with file.open("rb") as opened:
            response = HttpResponse(opened.read(), content_type="image/jpeg")
    except FileNotFoundError:
        raise Http404 from None
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Disposition"] = "inline"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
