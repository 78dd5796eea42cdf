"""The API of a version's life: shadow, canary, roll back, and what came of them."""

from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.api.serializers import PolicyOut
from triage.api.shares import IntervalOut, RateOut
from triage.models import GuardRail, Policy
from triage.selectors.comparison import Parted, comparison, version_of, versions_of
from triage.selectors.guard import Watch
from triage.selectors.policies import policy_page
from triage.services import policies, rollout


class PublishIn(serializers.Serializer[Any]):
    """`share`: of the cases, to publish it as a canary; without it for all of them."""

    share = serializers.FloatField(min_value=0.01, max_value=0.99, required=False)


class ShadowFlipOut(serializers.Serializer[Any]):
    """A live case that the shadow would have decided otherwise; "" while its label is a secret."""

    case = serializers.UUIDField()
    before = serializers.CharField()
    to = serializers.CharField()
    score = serializers.FloatField(allow_null=True)
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    truth = serializers.CharField(allow_blank=True)


class ShadowOut(serializers.Serializer[Any]):
    """What a version in shadow would have done since `since`."""

    since = serializers.DateTimeField()
    running = serializers.BooleanField()
    cases = serializers.IntegerField()
    different = serializers.IntegerField()
    deferral = serializers.FloatField(allow_null=True)
    in_force = serializers.FloatField(allow_null=True)
    error = RateOut()
    flips = ShadowFlipOut(many=True)


class LiveOut(serializers.Serializer[Any]):
    """What came of a version's decisions."""

    cases = serializers.IntegerField()
    deferral = serializers.FloatField(allow_null=True)
    checked = serializers.IntegerField()
    override_rate = serializers.FloatField(allow_null=True)
    error = RateOut()
    open = serializers.IntegerField()


class ArmOut(serializers.Serializer[Any]):
    version = serializers.IntegerField(source="policy.version")
    share = serializers.FloatField()
    live = LiveOut()


class CanaryOut(serializers.Serializer[Any]):
    """Both sides of a canary."""

    since = serializers.DateTimeField()
    running = serializers.BooleanField()
    canary = ArmOut()
    rest = ArmOut()


class WatchOut(IntervalOut):
    """Where a published version stands with the guard rail; the bounds hold at every look."""

    limit = serializers.FloatField(source="limit.risk")
    audited = serializers.IntegerField()
    wrong = serializers.IntegerField()
    cases = serializers.IntegerField()
    deferred = serializers.IntegerField()
    band = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.FloatField(), allow_null=True))
    def get_band(self, watch: Watch) -> list[float] | None:
        return [watch.band.low, watch.band.high] if watch.band else None


class GuardRailOut(serializers.ModelSerializer[GuardRail]):
    """What the guard rail found, and what it did."""

    class Meta:
        model = GuardRail
        fields = ("cause", "act", "reason", "evidence", "created_at")


class PolicyEventOut(serializers.Serializer[Any]):
    when = serializers.DateTimeField()
    what = serializers.CharField()
    who = serializers.CharField(allow_blank=True)
    why = serializers.CharField(allow_blank=True)


class PolicyDetail(serializers.Serializer[Any]):
    """One version with all that is known of it; from a PolicyPage."""

    policy = PolicyOut()
    sentence = serializers.CharField()
    why_not_publish = serializers.CharField(source="why_not", allow_blank=True)
    shadow = ShadowOut(allow_null=True)
    canary = CanaryOut(allow_null=True)
    watch = WatchOut(allow_null=True)
    guard_rails = GuardRailOut(many=True)
    history = PolicyEventOut(many=True)


def policy_for(request: Request, pk: int) -> Policy:
    """A version of the caller's own site; any other is not found."""
    versions = Policy.objects.of(site_for(request))
    return get_object_or_404(versions.select_related("site", "calibration", "before"), pk=pk)


class PolicyView(APIView):
    """One version, with its shadow, its canary and its history."""

    acts: ClassVar = {"GET": "see_policies"}
    permission_classes = (MayAct,)

    @extend_schema(responses=PolicyDetail)
    def get(self, request: Request, pk: int) -> Response:
        page = policy_page(policy=policy_for(request, pk), user=person_for(request))
        return Response(PolicyDetail(page).data)


class CompareIn(serializers.Serializer[Any]):
    """Two versions by their numbers."""

    left = serializers.IntegerField(min_value=1)
    right = serializers.IntegerField(min_value=1)


class SideOut(serializers.Serializer[Any]):
    policy = PolicyOut()
    sentence = serializers.CharField()
    score = serializers.CharField()
    window = serializers.CharField(allow_blank=True)
    live = LiveOut()


class PartedOut(serializers.Serializer[Any]):
    """A past case on which they part; a label only where it is no secret any more."""

    case = serializers.UUIDField()
    left = serializers.SerializerMethodField()
    right = serializers.SerializerMethodField()
    truth = serializers.CharField(allow_blank=True)

    def get_left(self, row: Parted) -> str:
        return _said(row, row.left)

    def get_right(self, row: Parted) -> str:
        return _said(row, row.right)


def _said(row: Parted, label: str) -> str:
    """What one of the two makes of it: deferred, accepted, or the label that it accepts."""
    if not label:
        return "deferred"
    return "accepted" if row.secret else f"accepted: {label}"


class ComparisonOut(serializers.Serializer[Any]):
    """Two versions side by side."""

    left = SideOut()
    right = SideOut()
    cases = serializers.IntegerField()
    parted_count = serializers.IntegerField()
    only_left = serializers.IntegerField()
    only_right = serializers.IntegerField()
    parted = PartedOut(many=True)
    why_not = serializers.CharField(allow_blank=True)


class CompareVersions(APIView):
    """Two versions side by side, and the past cases on which they part."""

    acts: ClassVar = {"GET": "see_policies"}
    permission_classes = (MayAct,)

    @extend_schema(parameters=[CompareIn], responses=ComparisonOut)
    def get(self, request: Request) -> Response:
        asked = CompareIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        site, said = site_for(request), asked.validated_data
        left, right = version_of(site, said["left"]), version_of(site, said["right"])
        if left is None or right is None:
            raise Http404
        page = comparison(versions=versions_of(site), left=left, right=right)
        return Response(ComparisonOut(page).data)


class PolicyAct(APIView):
    """Something that is done with one version."""

    acts: ClassVar = {"POST": "change_policies"}
    permission_classes = (MayAct,)

    def act(self, policy: Policy, person: User) -> Policy:
        raise NotImplementedError

    @extend_schema(request=None, responses=PolicyOut)
    def post(self, request: Request, pk: int) -> Response:
        fresh = self.act(policy_for(request, pk), person_for(request))
        return Response(PolicyOut(fresh).data)


class Publish(PolicyAct):
    """Put a draft in force, for all cases or for a share of them at first."""

    proved: ClassVar = {"POST"}

    @extend_schema(request=PublishIn, responses=PolicyOut)
    def post(self, request: Request, pk: int) -> Response:
        asked = PublishIn(data=request.data)
        asked.is_valid(raise_exception=True)
        policy, person = policy_for(request, pk), person_for(request)
        if share := asked.validated_data.get("share"):
            fresh = rollout.start_canary(policy=policy, share=share, actor=person)
        else:
            fresh = policies.publish_policy(policy=policy, actor=person)
        return Response(PolicyOut(fresh).data)


class Shadow(PolicyAct):
    """Put a draft in shadow."""

    def act(self, policy: Policy, person: User) -> Policy:
        return rollout.put_in_shadow(policy=policy, actor=person)


class EndShadow(PolicyAct):
    """Take a version out of the shadow: it is a draft again."""

    def act(self, policy: Policy, person: User) -> Policy:
        return rollout.end_shadow(policy=policy, actor=person)


class WidenCanary(PolicyAct):
    """Let a canary decide all cases, or a larger share."""

    proved: ClassVar = {"POST"}

    @extend_schema(request=PublishIn, responses=PolicyOut)
    def post(self, request: Request, pk: int) -> Response:
        asked = PublishIn(data=request.data)
        asked.is_valid(raise_exception=True)
        fresh = rollout.widen_canary(
            policy=policy_for(request, pk),
            actor=person_for(request),
            share=asked.validated_data.get("share"),
        )
        return Response(PolicyOut(fresh).data)


class EndCanary(PolicyAct):
    """End a canary: the version in force decides all cases again."""

    def act(self, policy: Policy, person: User) -> Policy:
        return rollout.end_canary(policy=policy, actor=person)


class Drop(PolicyAct):
    """Take a draft off the table; it stays in the list of versions."""

    def act(self, policy: Policy, person: User) -> Policy:
        policies.drop_policy(policy=policy, actor=person)
        policy.refresh_from_db()
        return policy


class RollBack(PolicyAct):
    """Put a retired version in force again."""

    def act(self, policy: Policy, person: User) -> Policy:
        return policies.roll_back(policy=policy, actor=person)
