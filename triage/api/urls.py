from django.urls import path

from triage.api import proposing, rollout, views

urlpatterns = [
    path("observations", views.Observations.as_view(), name="api-observations"),
    path("observations/<uuid:pk>", views.ObservationReceipt.as_view(), name="api-receipt"),
    path("cases", views.Cases.as_view(), name="api-cases"),
    path("cases/next/claim", views.ClaimNext.as_view(), name="api-claim-next"),
    path("cases/<uuid:pk>", views.CaseView.as_view(), name="api-case"),
    path("cases/<uuid:pk>/reviews", views.Reviews.as_view(), name="api-reviews"),
    path("cases/<uuid:pk>/undo", views.Undo.as_view(), name="api-undo"),
    path("policies/what-if", views.WhatIf.as_view(), name="api-what-if"),
    path("policies/propose", proposing.Propose.as_view(), name="api-propose"),
    path("policies/costs", proposing.CostsView.as_view(), name="api-costs"),
    path("policies/compare", rollout.CompareVersions.as_view(), name="api-compare-versions"),
    path("policies", views.Policies.as_view(), name="api-policies"),
    path("policies/<int:pk>", rollout.PolicyView.as_view(), name="api-policy"),
    path("policies/<int:pk>/publish", rollout.Publish.as_view(), name="api-publish"),
    path("policies/<int:pk>/shadow", rollout.Shadow.as_view(), name="api-shadow"),
    path("policies/<int:pk>/shadow/end", rollout.EndShadow.as_view(), name="api-end-shadow"),
    path("policies/<int:pk>/canary/widen", rollout.WidenCanary.as_view(), name="api-widen-canary"),
    path("policies/<int:pk>/canary/end", rollout.EndCanary.as_view(), name="api-end-canary"),
    path("policies/<int:pk>/roll-back", rollout.RollBack.as_view(), name="api-roll-back"),
]
