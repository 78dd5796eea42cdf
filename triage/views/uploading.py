"""Photos and clips come in by hand."""

from dataclasses import dataclass, field

from django.conf import settings
from django.core.files.base import File
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from inference.drawings import samples
from inference.media import Limits
from inference.pipeline.domains import Domain, load_domain
from triage.errors import Refused, TriageError
from triage.models import Case
from triage.services.intake import open_case
from triage.views.access import member_page, person, site_of


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


@require_http_methods(["GET", "POST"])
@member_page("upload")
def upload_view(request: HttpRequest) -> HttpResponse:
    results = _take_in(request) if request.method == "POST" else []
    site = site_of(request)
    page = UploadPage(
        domain=load_domain(site.domain),
        samples=[(sample.name, sample.title) for sample in samples(site.domain)],
        max_mb=settings.ALARM_UPLOAD_MB,
        max_files=settings.ALARM_UPLOAD_FILES,
        max_s=Limits.max_s,
        results=results,
        subject=request.POST.get("subject", ""),
    )
    alone = request.headers.get("X-Requested-With") == "fetch"
    status = 422 if results and not any(result.case for result in results) else 200
    template = "_upload_results.html" if alone else "upload.html"
    return render(request, template, {"page": page}, status=status)


def _take_in(request: HttpRequest) -> list[UploadResult]:
    files = request.FILES.getlist("files")
    wanted = request.POST.getlist("sample")
    drawn = [sample for sample in samples(site_of(request).domain) if sample.name in wanted]
    results = [_one(request, file.name or "", file, False) for file in files]
    results += [_one(request, sample.title, sample.jpeg, True) for sample in drawn]
    return results or [UploadResult("", error=_("Choose at least one photo or clip."))]


def _one(request: HttpRequest, name: str, file: "File[bytes] | bytes", drawn: bool) -> UploadResult:
    try:
        opened = open_case(
            site=site_of(request),
            data=file if isinstance(file, bytes) else _read(file),
            actor=person(request),
            subject=request.POST.get("subject", ""),
            drawn=drawn,
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
