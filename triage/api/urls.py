from django.urls import path

from triage.api import auditing, cameras, keeping, views

urlpatterns = [
    path("observations", views.Observations.as_view(), name="api-observations"),
    path("observations/<uuid:pk>", views.ObservationReceipt.as_view(), name="api-receipt"),
    path("cases", views.Cases.as_view(), name="api-cases"),
    path("cases/export", views.Export.as_view(), name="api-export"),
    path("cases/next/claim", views.ClaimNext.as_view(), name="api-claim-next"),
    path("cases/<uuid:pk>", views.CaseView.as_view(), name="api-case"),
    path("cases/<uuid:pk>/reviews", views.Reviews.as_view(), name="api-reviews"),
    path("cases/<uuid:pk>/undo", views.Undo.as_view(), name="api-undo"),
    path("leases", views.Leases.as_view(), name="api-leases"),
    path("leases/<int:pk>/end", views.EndLease.as_view(), name="api-end-lease"),
    path("audit", auditing.Audit.as_view(), name="api-audit"),
    path("audit/verify", auditing.AuditVerify.as_view(), name="api-audit-verify"),
    path("audit/export", auditing.AuditExport.as_view(), name="api-audit-export"),
    path("audit/cases/<uuid:pk>", auditing.AuditCase.as_view(), name="api-audit-case"),
    path("cameras", cameras.Cameras.as_view(), name="api-cameras"),
    path("cameras/<int:pk>/renew", cameras.RenewCamera.as_view(), name="api-camera-renew"),
    path("cameras/<int:pk>/revoke", cameras.RevokeCamera.as_view(), name="api-camera-revoke"),
    path("retention", keeping.Retention.as_view(), name="api-retention"),
    path("retention/erase", keeping.Erase.as_view(), name="api-erase"),
    path("retention/holds", keeping.Holds.as_view(), name="api-holds"),
    path("retention/holds/<int:pk>/lift", keeping.Lift.as_view(), name="api-lift"),
    path("policies/what-if", views.WhatIf.as_view(), name="api-what-if"),
    path("policies", views.Policies.as_view(), name="api-policies"),
    path("policies/<int:pk>/publish", views.Publish.as_view(), name="api-publish"),
]
