"""Photos and clips, shown only to people of the case's own site whose role allows it."""

import re
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from triage.models import Case
from triage.services.history import record, record_first
from triage.views.access import case_at, member_page, person

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
RANGE_NOT_SATISFIABLE = 416


@require_GET
@member_page("look")
def photo_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    case = _case(request, pk)
    record("photo seen", site=case.site, actor=person(request), case=case)
    return _jpeg(case.observation.media.shown)


@require_GET
@member_page("look")
def thumbnail_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    case = _case(request, pk)
    return _small(request, case, case.observation.media.thumbnail)


@require_GET
@member_page("look")
def clip_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The playback copy. A browser asks for it piece by piece; the first piece counts as a look.

    So does any other piece to somebody who has not had the first.
    """
    case = _case(request, pk)
    clip = case.observation.media.clip
    if not clip:
        raise Http404
    wanted = None if "If-Range" in request.headers else request.headers.get("Range")
    if settings.ALARM_SENDFILE:
        response, first = _handed_over(clip, "video/mp4"), _from_the_first(wanted)
    else:
        response = _piece(_bytes(clip), wanted)
        first = response.headers.get("Content-Range", "bytes 0-").startswith("bytes 0-")
    if first:
        record("clip seen", site=case.site, actor=person(request), case=case)
    elif response.status_code != RANGE_NOT_SATISFIABLE:
        record_first("clip seen", case=case, actor=person(request))
    return _private(response)


@require_GET
@member_page("look")
def frame_view(request: HttpRequest, pk: UUID, position: int) -> HttpResponse:
    case = _case(request, pk)
    frame = get_object_or_404(case.observation.media.frames, position=position)
    record("photo seen", site=case.site, actor=person(request), case=case, frame=position)
    return _jpeg(frame.shown)


@require_GET
@member_page("look")
def frame_thumbnail_view(request: HttpRequest, pk: UUID, position: int) -> HttpResponse:
    case = _case(request, pk)
    frame = get_object_or_404(case.observation.media.frames, position=position)
    return _small(request, case, frame.thumbnail)


def _case(request: HttpRequest, pk: UUID) -> Case:
    """The case, as long as it has a picture: of an erased one nothing is served, file or not."""
    case = case_at(request, pk)
    if case.erased_at:
        raise Http404
    return case


def _small(request: HttpRequest, case: Case, file: FieldFile) -> HttpResponse:
    """A thumbnail; lists are full of them, so that one was seen is written down once a person."""
    record_first("thumbnail seen", case=case, actor=person(request))
    return _jpeg(file)


def _jpeg(file: FieldFile) -> HttpResponse:
    if settings.ALARM_SENDFILE:
        return _private(_handed_over(file, "image/jpeg"))
    return _private(HttpResponse(_bytes(file), content_type="image/jpeg"))


def _handed_over(file: FieldFile, kind: str) -> HttpResponse:
    """Word to the proxy in front, which sends the file, or the piece of it that was asked for."""
    if not file.storage.exists(str(file.name)):
        raise Http404
    response = HttpResponse(content_type=kind)
    response.headers["X-Accel-Redirect"] = settings.ALARM_SENDFILE + quote(str(file.name))
    return response


def _from_the_first(wanted: str | None) -> bool:
    """Whether a proxy would begin with the first byte; also wherever it may read it otherwise."""
    asked = RANGE.fullmatch(wanted.strip()) if wanted else None
    return asked is None or (asked[1] != "" and int(asked[1]) == 0)


def _bytes(file: FieldFile) -> bytes:
    try:
        with file.open("rb") as opened:
            return bytes(opened.read())
    except FileNotFoundError:
        raise Http404 from None


def _piece(data: bytes, wanted: str | None) -> HttpResponse:
    """The bytes that a Range header asks for (RFC 9110), or all for one that is none of ours.

    Only a single range is answered; a server may ignore the others.
    """
    size = len(data)
    asked = RANGE.fullmatch(wanted.strip()) if wanted else None
    first, last = asked.groups() if asked else ("", "")
    if (not first and not last) or (first and last and int(first) > int(last)):
        response = HttpResponse(data, content_type="video/mp4")
    else:
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last), size - 1) if first and last else size - 1
        response = _part(data, start, end)
    response.headers["Accept-Ranges"] = "bytes"
    return response


def _part(data: bytes, start: int, end: int) -> HttpResponse:
    """The bytes from `start` to `end`, both included; 416 where there are none."""
    if start > end:
        return HttpResponse(
            status=RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{len(data)}"}
        )
    response = HttpResponse(data[start : end + 1], status=206, content_type="video/mp4")
    response.headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return response


def _private(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Disposition"] = "inline"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
