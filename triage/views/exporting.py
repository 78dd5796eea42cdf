"""Taking a site's cases along, for other programs."""

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from triage.choices import ExportForm
from triage.errors import Refused
from triage.models import Site
from triage.selectors.export import exported, written
from triage.services.history import record
from triage.views.access import member_page, person, site_of

TYPES = {
    ExportForm.CSV: ("text/csv; charset=utf-8", "csv"),
    ExportForm.JSONL: ("application/jsonl", "jsonl"),
    ExportForm.LABEL_STUDIO: ("application/json", "json"),
}


@require_GET
@member_page("export", proved=True)
def export_view(request: HttpRequest) -> HttpResponse:
    return export_file(  # type: ignore[return-value]
        site=site_of(request),
        user=person(request),
        form=request.GET.get("form", ExportForm.CSV),
        status=request.GET.get("status", ""),
    )


def export_file(*, site: Site, user: User, form: str, status: str) -> StreamingHttpResponse:
    """The export as a file that is written while it is read; the site's history keeps who took it.

    Raises:
        Refused: there is no such form.
    """
    if form not in ExportForm.values:
        forms = ", ".join(ExportForm.values)
        raise Refused(_("There is no form {0!r}. Choose one of: {1}.").format(form, forms), "form")
    wanted = ExportForm(form)
    record("exported", site=site, actor=user, form=form, status=status[:20])
    kind, ending = TYPES[wanted]
    response = StreamingHttpResponse(
        written(exported(site, user, status), wanted), content_type=kind
    )
    response.headers["Content-Disposition"] = f'attachment; filename="cases.{ending}"'
    response.headers["Cache-Control"] = "no-store"
    return response
