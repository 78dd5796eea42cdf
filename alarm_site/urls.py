from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from alarm_site.health import alive_view, ready_view
from alarm_site.metrics import metrics_view

urlpatterns = [
    path("healthz", alive_view, name="healthz"),
    path("readyz", ready_view, name="readyz"),
    path("metrics", metrics_view, name="metrics"),
    path("api/v1/", include("triage.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("", include("triage.urls")),
]
