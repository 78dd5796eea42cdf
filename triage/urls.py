from django.contrib.auth.views import LogoutView
from django.urls import path

from triage.views import entering, governing, media, reviewing, uploading

urlpatterns = [
    path("", entering.start_view, name="start"),
    path("sign-in/", entering.SignInView.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("switch-site/", entering.switch_site_view, name="switch-site"),
    path("queue/", reviewing.queue_view, name="queue"),
    path("queue/next/", reviewing.claim_next_view, name="claim-next"),
    path("household/", reviewing.household_view, name="household"),
    path("cases/", reviewing.cases_view, name="cases"),
    path("cases/<uuid:pk>/", reviewing.case_view, name="case"),
    path("cases/<uuid:pk>/panel/", reviewing.case_panel_view, name="case-panel"),
    path("cases/<uuid:pk>/photo/", media.photo_view, name="photo"),
    path("cases/<uuid:pk>/thumbnail/", media.thumbnail_view, name="thumbnail"),
    path("cases/<uuid:pk>/clip/", media.clip_view, name="clip"),
    path("cases/<uuid:pk>/frames/<int:position>/", media.frame_view, name="frame"),
    path(
        "cases/<uuid:pk>/frames/<int:position>/thumbnail/",
        media.frame_thumbnail_view,
        name="frame-thumbnail",
    ),
    path("cases/<uuid:pk>/claim/", reviewing.claim_view, name="claim"),
    path("cases/<uuid:pk>/release/", reviewing.release_view, name="release"),
    path("cases/<uuid:pk>/extend/", reviewing.extend_view, name="extend"),
    path("cases/<uuid:pk>/pass/", reviewing.pass_view, name="pass"),
    path("cases/<uuid:pk>/review/", reviewing.review_view, name="review"),
    path("cases/<uuid:pk>/undo/", reviewing.undo_view, name="undo"),
    path("upload/", uploading.upload_view, name="upload"),
    path("policies/", governing.policies_view, name="policies"),
    path("policies/refit/", governing.refit_view, name="refit"),
    path("policies/propose/", governing.propose_view, name="propose"),
    path("policies/defer-all/", governing.defer_all_view, name="defer-all"),
    path("policies/learning/end/", governing.end_learning_view, name="end-learning"),
    path("policies/learning/start/", governing.start_learning_view, name="start-learning"),
    path("policies/<int:pk>/", governing.policy_view, name="policy"),
    path("policies/<int:pk>/publish/", governing.publish_view, name="publish"),
    path("policies/<int:pk>/drop/", governing.drop_view, name="drop"),
    path("policies/<int:pk>/roll-back/", governing.roll_back_view, name="roll-back"),
    path("ensemble/", governing.ensemble_view, name="ensemble"),
]
