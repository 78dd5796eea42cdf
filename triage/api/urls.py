from django.urls import path

from triage.api import domains, views

urlpatterns = [
    path("observations", views.Observations.as_view(), name="api-observations"),
    path("observations/<uuid:pk>", views.ObservationReceipt.as_view(), name="api-receipt"),
    path("cases", views.Cases.as_view(), name="api-cases"),
    path("cases/next/claim", views.ClaimNext.as_view(), name="api-claim-next"),
    path("cases/<uuid:pk>", views.CaseView.as_view(), name="api-case"),
    path("cases/<uuid:pk>/reviews", views.Reviews.as_view(), name="api-reviews"),
    path("cases/<uuid:pk>/undo", views.Undo.as_view(), name="api-undo"),
    path("domains", domains.Domains.as_view(), name="api-domains"),
    path("domains/<slug:name>/versions", domains.Versions.as_view(), name="api-versions"),
    path(
        "domains/<slug:name>/versions/<int:number>",
        domains.VersionView.as_view(),
        name="api-version",
    ),
    path(
        "domains/<slug:name>/versions/<int:number>/publish",
        domains.PublishVersion.as_view(),
        name="api-publish-version",
    ),
    path(
        "domains/<slug:name>/versions/<int:number>/trials",
        domains.Trials.as_view(),
        name="api-trials",
    ),
    path("sites", domains.Sites.as_view(), name="api-sites"),
    path("policies/what-if", views.WhatIf.as_view(), name="api-what-if"),
    path("policies", views.Policies.as_view(), name="api-policies"),
    path("policies/<int:pk>/publish", views.Publish.as_view(), name="api-publish"),
]
