from django.urls import path

from triage.api import members, views

urlpatterns = [
    path("observations", views.Observations.as_view(), name="api-observations"),
    path("observations/<uuid:pk>", views.ObservationReceipt.as_view(), name="api-receipt"),
    path("cases", views.Cases.as_view(), name="api-cases"),
    path("cases/next/claim", views.ClaimNext.as_view(), name="api-claim-next"),
    path("cases/<uuid:pk>", views.CaseView.as_view(), name="api-case"),
    path("cases/<uuid:pk>/reviews", views.Reviews.as_view(), name="api-reviews"),
    path("cases/<uuid:pk>/undo", views.Undo.as_view(), name="api-undo"),
    path("policies/what-if", views.WhatIf.as_view(), name="api-what-if"),
    path("policies", views.Policies.as_view(), name="api-policies"),
    path("policies/<int:pk>/publish", views.Publish.as_view(), name="api-publish"),
    path("answers/at-work", views.AtWork.as_view(), name="api-at-work"),
    path("ensemble", views.Ensemble.as_view(), name="api-ensemble"),
    path("ensemble/members", members.Members.as_view(), name="api-members"),
    path("ensemble/members/<int:pk>/try", members.TryMember.as_view(), name="api-try-member"),
    path(
        "ensemble/members/<int:pk>/take-in",
        members.TakeInMember.as_view(),
        name="api-take-in-member",
    ),
    path(
        "ensemble/members/<int:pk>/retire",
        members.RetireMember.as_view(),
        name="api-retire-member",
    ),
    path("ensemble/check", views.CheckMember.as_view(), name="api-check-member"),
    path("sources", views.Sources.as_view(), name="api-sources"),
]
