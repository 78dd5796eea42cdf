"""Care teams by API: the same verbs as on the administrators' page."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.models import CareTeamMember
from triage.selectors.teams import teams_page
from triage.services import teams
from triage.services.intake import MAX_PSEUDONYM


class TeamsAsked(serializers.Serializer[Any]):
    """`q`: part of a pseudonym, to find subjects that have no team too."""

    q = serializers.CharField(max_length=MAX_PSEUDONYM, default="")


class ByTeamIn(serializers.Serializer[Any]):
    """Whether clinicians see the cases of their own patients alone."""

    by_team = serializers.BooleanField()


class CarerIn(serializers.Serializer[Any]):
    """A subject by its pseudonym, and the id of a clinician of the site."""

    subject = serializers.CharField(max_length=MAX_PSEUDONYM)
    person = serializers.IntegerField(min_value=1, max_value=2**31)


class CarerOut(serializers.Serializer[Any]):
    """`id` is the place in the team; who does not `reads` is no clinician here any more."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    reads = serializers.BooleanField()


class TeamOut(serializers.Serializer[Any]):
    """`lost`: cases that wait and that nobody of the team can take."""

    id = serializers.IntegerField()
    subject = serializers.CharField(source="pseudonym")
    carers = CarerOut(many=True)
    lost = serializers.IntegerField()


class TeamsOut(serializers.Serializer[Any]):
    by_team = serializers.BooleanField()
    lost = serializers.IntegerField()
    teams = TeamOut(many=True)


class CareTeams(APIView):
    """Who looks after whom; whether that decides who sees what (PATCH); one more (POST)."""

    acts: ClassVar = {"GET": "manage_people", "PATCH": "manage_people", "POST": "manage_people"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(parameters=[TeamsAsked], responses=TeamsOut)
    def get(self, request: Request) -> Response:
        asked = TeamsAsked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        return _told(request, asked.validated_data["q"])

    @extend_schema(request=ByTeamIn, responses=TeamsOut)
    def patch(self, request: Request) -> Response:
        form = ByTeamIn(data=request.data)
        form.is_valid(raise_exception=True)
        teams.set_by_team(site=site_for(request), actor=person_for(request), **form.validated_data)
        return _told(request)

    @extend_schema(request=CarerIn, responses={201: TeamsOut})
    def post(self, request: Request) -> Response:
        form = CarerIn(data=request.data)
        form.is_valid(raise_exception=True)
        teams.add_to_team(site=site_for(request), actor=person_for(request), **form.validated_data)
        return _told(request, code=status.HTTP_201_CREATED)


class RemoveFromTeam(APIView):
    """Somebody looks after a subject no more."""

    acts: ClassVar = {"POST": "manage_people"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses=TeamsOut)
    def post(self, request: Request, pk: int) -> Response:
        site = site_for(request)
        member = get_object_or_404(CareTeamMember.objects.of(site), pk=pk)
        teams.remove_from_team(member=member, site=site, actor=person_for(request))
        return _told(request)


def _told(request: Request, q: str = "", code: int = status.HTTP_200_OK) -> Response:
    return Response(TeamsOut(teams_page(site_for(request), q)).data, status=code)
