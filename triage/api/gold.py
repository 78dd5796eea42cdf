"""Gold cases by API: the same verbs as on the administrators' page."""

from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.selectors.gold import gold_page
from triage.services import gold
from triage.services.erasing import find_case


class KnownIn(serializers.Serializer[Any]):
    """A settled case by its number (8 hexadecimal digits); whether its label is beyond doubt."""

    case = serializers.CharField(max_length=8)
    known = serializers.BooleanField()


class GoldReaderOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    answers = serializers.IntegerField()
    agreed = serializers.IntegerField()


class MarkedOut(serializers.Serializer[Any]):
    case = serializers.CharField(source="number")
    label = serializers.CharField()  # type: ignore[assignment]
    known = serializers.BooleanField()


class GoldOut(serializers.Serializer[Any]):
    """`known`: settled cases that can be shown again; `waiting`: those that are just now."""

    share = serializers.FloatField()
    known = serializers.IntegerField()
    waiting = serializers.IntegerField()
    readers = GoldReaderOut(many=True)
    marked = MarkedOut(many=True)


class Gold(APIView):
    """Who agrees with the known answers; mark a settled case as known, or as not (POST)."""

    acts: ClassVar = {"GET": "manage_people", "POST": "manage_people"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=GoldOut)
    def get(self, request: Request) -> Response:
        return Response(GoldOut(gold_page(site_for(request), settings.ALARM_GOLD_SHARE)).data)

    @extend_schema(request=KnownIn, responses=GoldOut)
    def post(self, request: Request) -> Response:
        asked = KnownIn(data=request.data)
        asked.is_valid(raise_exception=True)
        case = find_case(site_for(request), asked.validated_data["case"])
        gold.mark(case=case, actor=person_for(request), known=asked.validated_data["known"])
        return self.get(request)
