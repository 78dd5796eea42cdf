"""What a caregiver does at home, over the API: answer, pass on, and say when to be asked."""

from typing import Any, ClassVar
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.api.serializers import CaseOut
from triage.api.views import case_for
from triage.choices import Role
from triage.models import DeviceToken, Membership
from triage.services import asking, reviews
from triage.services.reviews import MAX_COMMENT


class NotSureIn(serializers.Serializer[Any]):
    comment = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=MAX_COMMENT
    )


class AnswerIn(NotSureIn):
    """One of the labels of the case."""

    label = serializers.CharField(max_length=80)  # type: ignore[assignment]


class QuietHoursIn(serializers.Serializer[Any]):
    """From when until when only critical cases are asked about; null and null end that."""

    begin = serializers.TimeField(allow_null=True)
    end = serializers.TimeField(allow_null=True)


class SnoozeIn(serializers.Serializer[Any]):
    """`camera`: its id, null for what people send; `hours`: up to 168, 0 ends it."""

    camera = serializers.IntegerField(min_value=1, required=False, allow_null=True, default=None)
    hours = serializers.FloatField(min_value=0, max_value=168)


class _AtHome(APIView):
    acts: ClassVar = {"POST": "live_here"}
    permission_classes = (MayAct,)

    def membership(self) -> Membership:
        mine = Membership.objects.of(site_for(self.request)).select_related("site")
        return get_object_or_404(mine, user=person_for(self.request), role=Role.CAREGIVER)


class Answer(_AtHome):
    """At home the first answer settles a case; nobody claims it."""

    acts: ClassVar = {"POST": "answer_at_home"}

    @extend_schema(request=AnswerIn, responses={201: CaseOut})
    def post(self, request: Request, pk: UUID) -> Response:
        case, asked = case_for(request, pk), AnswerIn(data=request.data)
        asked.is_valid(raise_exception=True)
        review = reviews.answer_at_home(case=case, user=person_for(request), **asked.validated_data)
        return Response(CaseOut(review.case).data, status=status.HTTP_201_CREATED)


class NotSure(_AtHome):
    """The caller cannot say: the next one is asked at once."""

    acts: ClassVar = {"POST": "answer_at_home"}

    @extend_schema(request=NotSureIn, responses={204: None})
    def post(self, request: Request, pk: UUID) -> Response:
        case, asked = case_for(request, pk), NotSureIn(data=request.data)
        asked.is_valid(raise_exception=True)
        asking.not_sure(case=case, user=person_for(request), **asked.validated_data)
        return _done()


class QuietHours(_AtHome):
    """When the caller is asked about critical cases alone."""

    @extend_schema(request=QuietHoursIn, responses={204: None})
    def post(self, request: Request) -> Response:
        asked = QuietHoursIn(data=request.data)
        asked.is_valid(raise_exception=True)
        asking.set_quiet_hours(membership=self.membership(), **asked.validated_data)
        return _done()


class Snooze(_AtHome):
    """Not to be asked about a camera for a while."""

    @extend_schema(request=SnoozeIn, responses={204: None})
    def post(self, request: Request) -> Response:
        asked = SnoozeIn(data=request.data)
        asked.is_valid(raise_exception=True)
        said, site, mine = asked.validated_data, site_for(request), self.membership()
        wanted = said["camera"]
        camera = get_object_or_404(DeviceToken.objects.of(site), pk=wanted) if wanted else None
        if said["hours"]:
            asking.snooze(membership=mine, camera=camera, hours=said["hours"])
        else:
            asking.end_snooze(membership=mine, camera=camera)
        return _done()


def _done() -> Response:
    return Response(status=status.HTTP_204_NO_CONTENT)
