"""Retention, erasure and legal holds by API: the same verbs as on the administrators' page."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.models import LegalHold, Subject
from triage.selectors.retention import retention_page
from triage.services import erasing
from triage.services.intake import MAX_PSEUDONYM


class DaysIn(serializers.Serializer[Any]):
    """Days by class; null keeps for good, and a class that is left out stays as it is."""

    accepted = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    resolved = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    unresolved = serializers.IntegerField(min_value=1, required=False, allow_null=True)


class ReasonIn(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=erasing.MAX_REASON)


class TargetIn(ReasonIn):
    """A case by its number (8 hexadecimal digits), or a subject by its pseudonym."""

    kind = serializers.ChoiceField(choices=["case", "subject"])
    name = serializers.CharField(max_length=MAX_PSEUDONYM)


class KeepOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    days = serializers.IntegerField(allow_null=True)
    cases = serializers.IntegerField()


class HoldOut(serializers.ModelSerializer[LegalHold]):
    """A legal hold; `lifted_at` is null as long as it keeps anything."""

    class Meta:
        model = LegalHold
        fields = ("id", "case", "subject", "reason", "set_at", "lifted_at", "lifted_reason")


class ErasureOut(serializers.Serializer[Any]):
    case = serializers.CharField(source="number")
    who = serializers.CharField()
    reason = serializers.CharField()
    erased_at = serializers.DateTimeField(source="erasure.erased_at")
    pending = serializers.BooleanField()


class RetentionOut(serializers.Serializer[Any]):
    classes = KeepOut(many=True)
    holds = HoldOut(many=True)
    erasures = ErasureOut(many=True)


class ErasedOut(serializers.Serializer[Any]):
    """How many cases were erased, and how many still wait for a person and were not."""

    erased = serializers.IntegerField()
    waiting = serializers.IntegerField()


class Retention(APIView):
    """How long media are kept, what is on hold, and what was erased."""

    acts: ClassVar = {"GET": "erase", "PATCH": "erase"}
    proved: ClassVar = {"PATCH"}
    permission_classes = (MayAct,)

    @extend_schema(responses=RetentionOut)
    def get(self, request: Request) -> Response:
        return Response(RetentionOut(retention_page(site_for(request))).data)

    @extend_schema(request=DaysIn, responses=RetentionOut)
    def patch(self, request: Request) -> Response:
        form = DaysIn(data=request.data)
        form.is_valid(raise_exception=True)
        erasing.set_retention(
            site=site_for(request), actor=person_for(request), days=dict(form.validated_data)
        )
        return self.get(request)


class Erase(APIView):
    """Erase the media of a case, or of all cases of a subject, for good."""

    acts: ClassVar = {"POST": "erase"}
    proved: ClassVar = {"POST"}
    permission_classes = (MayAct,)

    @extend_schema(request=TargetIn, responses=ErasedOut)
    def post(self, request: Request) -> Response:
        target, reason = _asked(request)
        actor = person_for(request)
        if isinstance(target, Subject):
            done = erasing.erase_subject(subject=target, actor=actor, reason=reason)
        else:
            erasing.erase_case(case=target, actor=actor, reason=reason)
            done = erasing.SubjectErased(1, 0)
        return Response(ErasedOut(done).data)


class Holds(APIView):
    """Keep a case, or all cases of a subject, from being erased."""

    acts: ClassVar = {"POST": "erase"}
    proved: ClassVar = {"POST"}
    permission_classes = (MayAct,)

    @extend_schema(request=TargetIn, responses={201: HoldOut})
    def post(self, request: Request) -> Response:
        target, reason = _asked(request)
        held = erasing.hold(target=target, actor=person_for(request), reason=reason)
        return Response(HoldOut(held).data, status=status.HTTP_201_CREATED)


class Lift(APIView):
    """End a legal hold."""

    acts: ClassVar = {"POST": "erase"}
    proved: ClassVar = {"POST"}
    permission_classes = (MayAct,)

    @extend_schema(request=ReasonIn, responses=HoldOut)
    def post(self, request: Request, pk: int) -> Response:
        holds = LegalHold.objects.of(site_for(request)).select_related("site", "case")
        held = get_object_or_404(holds, pk=pk)
        form = ReasonIn(data=request.data)
        form.is_valid(raise_exception=True)
        erasing.lift(held=held, actor=person_for(request), reason=form.validated_data["reason"])
        held.refresh_from_db()
        return Response(HoldOut(held).data)


def _asked(request: Request) -> tuple[Any, str]:
    form = TargetIn(data=request.data)
    form.is_valid(raise_exception=True)
    said = form.validated_data
    return erasing.find_target(site_for(request), said["kind"], said["name"]), said["reason"]
