"""Break-glass by API: the same verbs as on its page."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, place_for, site_for
from triage.choices import GlassReason
from triage.models import GlassBreak
from triage.selectors.glass import glass_page, glass_row
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


class GlassOut(serializers.Serializer[Any]):
    """A case that somebody opened; `reviewed_at` is null until another administrator looked.

    `words` are empty for auditors.
    """

    id = serializers.IntegerField(source="broken.pk")
    case = serializers.UUIDField(source="broken.case_id")
    person = serializers.CharField(source="who")
    reason = serializers.CharField(source="broken.reason")
    words = serializers.CharField()
    broken_at = serializers.DateTimeField(source="broken.broken_at")
    until = serializers.DateTimeField(source="broken.until")
    reviewed_by = serializers.CharField(source="broken.reviewed_by.username", default="")
    reviewed_at = serializers.DateTimeField(source="broken.reviewed_at", allow_null=True)
    justified = serializers.BooleanField(source="broken.justified", allow_null=True)


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
        page = glass_page(
            site=site_for(request), viewer=person_for(request), roles=place_for(request).roles
        )
        return Response(GlassListOut(page).data)

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
        return Response(_told(request, broken), status=status.HTTP_201_CREATED)


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
        return Response(_told(request, broken))


def _told(request: Request, broken: GlassBreak) -> Any:
    return GlassOut(glass_row(broken, person_for(request), place_for(request).roles)).data
