"""Members that are added in the console: the same services as the page's."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference.models import Member
from triage.api import serializers
from triage.api.permissions import MayAct, person_for, site_for
from triage.selectors.candidates import added_members
from triage.services import members


class Members(APIView):
    """Those that were added, with their trials; adding one needs staff rights."""

    acts: ClassVar = {"GET": "see_ensemble", "POST": "change_ensemble"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=serializers.AddedRowOut(many=True))
    def get(self, request: Request) -> Response:
        rows = added_members(site_for(request))
        return Response(serializers.AddedRowOut(rows, many=True).data)

    @extend_schema(request=serializers.MemberIn, responses={201: serializers.AddedMemberOut})
    def post(self, request: Request) -> Response:
        actor = person_for(request)
        members.require_staff(actor)
        form = serializers.MemberIn(data=request.data)
        form.is_valid(raise_exception=True)
        member = members.add_member(actor=actor, **form.validated_data)
        return Response(serializers.AddedMemberOut(member).data, status=status.HTTP_201_CREATED)


class _OfMember(APIView):
    acts: ClassVar = {"POST": "change_ensemble"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    def member(self, pk: int) -> Any:
        members.require_staff(person_for(self.request))
        return get_object_or_404(Member, pk=pk)


class TryMember(_OfMember):
    """Ask a candidate about drawings, and about answered cases of the caller's site."""

    @extend_schema(request=serializers.TrialIn, responses={202: serializers.ProbeOut(many=True)})
    def post(self, request: Request, pk: int) -> Response:
        member, form = self.member(pk), serializers.TrialIn(data=request.data)
        form.is_valid(raise_exception=True)
        begun = members.start_trial(
            member=member,
            site=site_for(request),
            actor=person_for(request),
            **form.validated_data,
        )
        answer = serializers.ProbeOut(begun, many=True).data
        return Response(answer, status=status.HTTP_202_ACCEPTED)


class TakeInMember(_OfMember):
    """Make a tried candidate a member: everything is deferred until a refit."""

    @extend_schema(request=None, responses=serializers.AddedMemberOut)
    def post(self, request: Request, pk: int) -> Response:
        member = members.take_in(member=self.member(pk), actor=person_for(request))
        return Response(serializers.AddedMemberOut(member).data)


class RetireMember(_OfMember):
    """Take a member out for good, or drop a candidate."""

    @extend_schema(request=None, responses=serializers.AddedMemberOut)
    def post(self, request: Request, pk: int) -> Response:
        member = members.retire(member=self.member(pk), actor=person_for(request))
        return Response(serializers.AddedMemberOut(member).data)
