"""Photos and clips come in by hand."""

from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.core.files.base import File
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from inference.drawings import samples
from inference.media import Limits
from inference.pipeline.domains import Domain
from triage.choices import SHUT_OUT
from triage.errors import Refused, TriageError
from triage.models import Case
from triage.selectors.retakes import Retake, asked_of, retake_of, retakes
from triage.selectors.words import domain_at
from triage.services.intake import open_case
from triage.views.access import member_page, person, place, site_of


@dataclass(frozen=True)
class UploadResult:
    """What became of one file: a case, or an error in words."""

    name: str
    case: Case | None = None
    created: bool = True
    error: str = ""


@dataclass(frozen=True)
class UploadPage:
    domain: Domain
    samples: list[tuple[str, str]]
    max_mb: int
    max_files: int
    max_s: int
    results: list[UploadResult] = field(default_factory=list)
    subject: str = ""
    retakes: list[Retake] = field(default_factory=list)
    again: Retake | None = None


@require_http_methods(["GET", "POST"])
@member_page("upload")
def upload_view(request: HttpRequest) -> HttpResponse:
    site, again = site_of(request), _again(request)
    results = _take_in(request, again) if request.method == "POST" else []
    page = UploadPage(
        domain=domain_at(site),
        samples=[(sample.name, sample.title) for sample in samples(site.domain)],
        max_mb=settings.ALARM_UPLOAD_MB,
        max_files=settings.ALARM_UPLOAD_FILES,
        max_s=Limits.max_s,
        results=results,
        subject=request.POST.get("subject", ""),
        retakes=[] if again or SHUT_OUT in place(request).roles else retakes(site, person(request)),
        again=again,
    )
    alone = request.headers.get("X-Requested-With") == "fetch"
    status = 422 if results and not any(result.case for result in results) else 200
    template = "_upload_results.html" if alone else "upload.html"
    return render(request, template, {"page": page}, status=status)


def _again(request: HttpRequest) -> Retake | None:
    """The case that asks for the photo which is being sent."""
    wanted = request.POST.get("again") or request.GET.get("again")
    if not wanted:
        return None
    try:
        case = asked_of(site_of(request), person(request)).filter(pk=UUID(wanted)).first()
    except ValueError:
        raise Http404 from None
    found = retake_of(case) if case else None
    if found is None:
        raise Http404
    return found


def _take_in(request: HttpRequest, again: Retake | None) -> list[UploadResult]:
    files = request.FILES.getlist("files")
    wanted = request.POST.getlist("sample")
    drawn = [sample for sample in samples(site_of(request).domain) if sample.name in wanted]
    case = again.case if again else None
    results = [_one(request, file.name or "", file, False, case) for file in files]
    results += [_one(request, sample.title, sample.jpeg, True, case) for sample in drawn]
    return results or [UploadResult("", error=_("Choose at least one photo or clip."))]


def _one(
    request: HttpRequest,
    name: str,
    file: "File[bytes] | bytes",
    drawn: bool,
    replaces: Case | None,
) -> UploadResult:
    try:
        opened = open_case(
            site=site_of(request),
            data=file if isinstance(file, bytes) else _read(file),
            actor=person(request),
            subject=request.POST.get("subject", ""),
            drawn=drawn,
            replaces=replaces,
        )
    except TriageError as error:
        return UploadResult(name, error=str(error))
    return UploadResult(name, case=opened.case, created=opened.created)


def _read(file: "File[bytes]") -> bytes:
    if (file.size or 0) > settings.ALARM_UPLOAD_MB << 20:
        raise Refused(
            _("This file is larger than {0} MB. Send a smaller photo or a shorter clip.").format(
                settings.ALARM_UPLOAD_MB
            ),
            "too_large",
        )
    return bytes(file.read())
