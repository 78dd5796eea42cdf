"""What an administrator sets for a site, over the API: the same verbs as on the policies page."""

import math
from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.api.serializers import PolicyOut, SourceOut
from triage.models import DeviceToken, Policy
from triage.selectors.learning import Source, source_rows
from triage.selectors.what_if import SCORES
from triage.services import calibration, learning, policies, sites


class ThresholdIn(serializers.Serializer[Any]):
    """A threshold that was found on the what-if's curve, on the score `method`.

    `calibration`: the id of the one that it was found on (of the policy in force): refused where
    that is no longer in force. Left out, it is taken for that in force.
    """

    method = serializers.ChoiceField(choices=list(SCORES))
    threshold = serializers.FloatField()
    calibration = serializers.IntegerField(required=False, allow_null=True, default=None)

    def validate_threshold(self, value: float) -> float:
        if not math.isfinite(value):
            raise serializers.ValidationError("This threshold is no number.")
        return value


class ReadingsShares(serializers.Serializer[Any]):
    """Shares, 0 to 1, of the cases to come: read before the machine's answer is seen, read by two.

    They hold for a clinic; in a household the first answer settles a case.
    """

    blind_share = serializers.FloatField(min_value=0, max_value=1)
    double_share = serializers.FloatField(min_value=0, max_value=1)


class TimeZoneIn(serializers.Serializer[Any]):
    """A name of the IANA time zone database, such as Europe/Berlin."""

    zone = serializers.CharField(max_length=64)


class LearnerIn(serializers.Serializer[Any]):
    """One of the site's cameras by its id; without it, or null, the site itself."""

    camera = serializers.IntegerField(min_value=1, required=False, allow_null=True, default=None)


class DeferEverything(APIView):
    """The emergency switch: every case goes to a person until a version is rolled back to."""

    acts: ClassVar = {"POST": "change_policies"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses={201: PolicyOut})
    def post(self, request: Request) -> Response:
        site = site_for(request)
        fresh = policies.defer_everything(site=site, domain=site.domain, actor=person_for(request))
        return _written(fresh)


class Refit(APIView):
    """Fit a calibration on all labels so far; the answer is the draft that follows from it."""

    acts: ClassVar = {"POST": "change_policies"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses={201: PolicyOut})
    def post(self, request: Request) -> Response:
        site = site_for(request)
        return _written(calibration.refit(site=site, domain=site.domain, actor=person_for(request)))


class ProposeAt(APIView):
    """A draft with exactly this threshold; it promises no error rate."""

    acts: ClassVar = {"POST": "change_policies"}
    permission_classes = (MayAct,)

    @extend_schema(request=ThresholdIn, responses={201: PolicyOut})
    def post(self, request: Request) -> Response:
        site, asked = site_for(request), ThresholdIn(data=request.data)
        asked.is_valid(raise_exception=True)
        policy = calibration.propose_at(
            site=site, domain=site.domain, actor=person_for(request), **asked.validated_data
        )
        return _written(policy)


class Readings(APIView):
    """How many of the cases to come are read blind, and how many by two people."""

    acts: ClassVar = {"GET": "see_policies", "POST": "change_policies"}
    permission_classes = (MayAct,)

    @extend_schema(responses=ReadingsShares)
    def get(self, request: Request) -> Response:
        return Response(ReadingsShares(site_for(request)).data)

    @extend_schema(request=ReadingsShares, responses=ReadingsShares)
    def post(self, request: Request) -> Response:
        asked = ReadingsShares(data=request.data)
        asked.is_valid(raise_exception=True)
        sites.set_readings(
            site=site_for(request), actor=person_for(request), **asked.validated_data
        )
        return self.get(request)


class TimeZone(APIView):
    """Whose clock the site goes by."""

    acts: ClassVar = {"POST": "set_time_zone"}
    permission_classes = (MayAct,)

    @extend_schema(request=TimeZoneIn, responses={204: None})
    def post(self, request: Request) -> Response:
        asked = TimeZoneIn(data=request.data)
        asked.is_valid(raise_exception=True)
        sites.set_time_zone(
            site=site_for(request), actor=person_for(request), **asked.validated_data
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class _OfSource(APIView):
    acts: ClassVar = {"POST": "change_policies"}
    permission_classes = (MayAct,)

    def source(self) -> Source:
        """What the body names, of the caller's own site; any other camera is not found."""
        asked = LearnerIn(data=self.request.data)
        asked.is_valid(raise_exception=True)
        site, wanted = site_for(self.request), asked.validated_data["camera"]
        camera = get_object_or_404(DeviceToken.objects.of(site), pk=wanted) if wanted else None
        return Source(site, site.domain, camera)

    def answer(self, source: Source) -> Response:
        rows = source_rows(source.site)
        return Response(SourceOut(next(row for row in rows if row.camera == source.key)).data)


class StartLearning(_OfSource):
    """Let a camera, or the site, learn again: all its cases go to a person."""

    @extend_schema(request=LearnerIn, responses=SourceOut)
    def post(self, request: Request) -> Response:
        source = self.source()
        learning.start_again(source=source, actor=person_for(request))
        return self.answer(source)


class EndLearning(_OfSource):
    """Trust a camera, or the site, before its labels show it."""

    @extend_schema(request=LearnerIn, responses=SourceOut)
    def post(self, request: Request) -> Response:
        source = self.source()
        learning.end_by_hand(source=source, actor=person_for(request))
        return self.answer(source)


def _written(policy: Policy) -> Response:
    return Response(PolicyOut(policy).data, status=status.HTTP_201_CREATED)
