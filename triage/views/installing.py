"""What makes the pages an app on a phone: its manifest, and the worker that shows messages."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

SIZES = (192, 512)


@require_GET
def manifest_view(request: HttpRequest) -> HttpResponse:
    """Web App Manifest (W3C)."""
    icons = [
        {"src": static(f"icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png"}
        for size in SIZES
    ]
    manifest = {
        "name": "ALARM Triage",
        "short_name": "ALARM",
        "description": _("Asks a person when the machine is not sure."),
        "id": "/",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#f6f6f6",
        "theme_color": "#1c1c1c",
        "icons": icons,
    }
    return JsonResponse(manifest, content_type="application/manifest+json")


@require_GET
def worker_view(request: HttpRequest) -> HttpResponse:
    """The service worker; at the root, for a worker may only look after what lies below it."""
    script = (settings.BASE_DIR / "static" / "js" / "worker.js").read_bytes()
    response = HttpResponse(script, content_type="text/javascript")
    response.headers["Cache-Control"] = "no-cache"
    return response
