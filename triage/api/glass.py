"""Break-glass by API: the same verbs as on its page."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.choices import GlassReason
from triage.models import GlassBreak
from triage.selectors.glass import glass_page
from triage.services.glass import (
    FEWEST_LETTERS,
    MOST_LETTERS,
    break_glass,
    find_case,
    review_glass,
)


class GlassIn(serializers.Serializer[Any]):
    """A case by its number (8 hexadecimal digits) or its id, and why it has to be looked into."""

    case = serializers.CharField(max_length=36)
    reason = serializers.ChoiceField(choices=GlassReason.choices)
    words = serializers.CharField(min_length=FEWEST_LETTERS, max_length=MOST_LETTERS)


class FoundIn(serializers.Serializer[Any]):
    justified = serializers.BooleanField()


class GlassOut(serializers.ModelSerializer[GlassBreak]):
    """A case that somebody opened; `reviewed_at` is null until another administrator looked."""

    person = serializers.CharField(source="person.username")
    reviewed_by = serializers.CharField(source="reviewed_by.username", default="")

    class Meta:
        model = GlassBreak
        fields = (
            "id",
            "case",
            "person",
            "reason",
            "words",
            "broken_at",
            "until",
            "reviewed_by",
            "reviewed_at",
            "justified",
        )


class GlassListOut(serializers.Serializer[Any]):
    waiting = GlassOut(many=True)
    seen = GlassOut(many=True)


class Glass(APIView):
    """What was opened at the site; opening a case that one need not see."""

    acts: ClassVar = {"GET": "see_glass", "POST": "break_glass"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=GlassListOut)
    def get(self, request: Request) -> Response:
        page = glass_page(site=site_for(request), viewer=person_for(request))
        found = {
            "waiting": [row.broken for row in page.waiting],
            "seen": [row.broken for row in page.seen],
        }
        return Response(GlassListOut(found).data)

    @extend_schema(request=GlassIn, responses={201: GlassOut})
    def post(self, request: Request) -> Response:
        form = GlassIn(data=request.data)
        form.is_valid(raise_exception=True)
        said = form.validated_data
        broken = break_glass(
            case=find_case(site_for(request), said["case"]),
            user=person_for(request),
            reason=said["reason"],
            words=said["words"],
        )
        return Response(GlassOut(broken).data, status=status.HTTP_201_CREATED)


class ReviewGlass(APIView):
    """Say whether it was justified that somebody else opened a case."""

    acts: ClassVar = {"POST": "break_glass"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(request=FoundIn, responses=GlassOut)
    def post(self, request: Request, pk: int) -> Response:
        opened = GlassBreak.objects.of(site_for(request)).select_related("case__site", "person")
        broken = get_object_or_404(opened, pk=pk)
        form = FoundIn(data=request.data)
        form.is_valid(raise_exception=True)
        review_glass(broken=broken, actor=person_for(request), **form.validated_data)
        broken.refresh_from_db()
        return Response(GlassOut(broken).data)
