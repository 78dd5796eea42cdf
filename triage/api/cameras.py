"""Cameras' tokens by API: the same verbs as on the administrators' page."""

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.models import DeviceToken
from triage.selectors.cameras import camera_rows
from triage.services import tokens


class CameraIn(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=tokens.MAX_NAME)


class TokenOut(serializers.Serializer[Any]):
    """The token itself: this answer is the only place where it ever stands."""

    token = serializers.CharField()


class CameraOut(serializers.Serializer[Any]):
    """`state`: active, expiring (within 14 days), expired or revoked."""

    id = serializers.IntegerField(source="camera.pk")
    name = serializers.CharField(source="camera.name")
    state = serializers.CharField()
    cases = serializers.IntegerField()
    used_at = serializers.DateTimeField(source="camera.used_at", allow_null=True)
    expires_at = serializers.DateTimeField(source="camera.expires_at", allow_null=True)
    revoked_at = serializers.DateTimeField(source="camera.revoked_at", allow_null=True)


class Cameras(APIView):
    """The site's cameras; a new one gets its token."""

    acts: ClassVar = {"GET": "manage_tokens", "POST": "manage_tokens"}
    permission_classes = (MayAct,)

    @extend_schema(responses=CameraOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(CameraOut(camera_rows(site_for(request)), many=True).data)

    @extend_schema(request=CameraIn, responses={201: TokenOut})
    def post(self, request: Request) -> Response:
        form = CameraIn(data=request.data)
        form.is_valid(raise_exception=True)
        token = tokens.issue_token(
            site=site_for(request), name=form.validated_data["name"], actor=person_for(request)
        )
        return _shown(token, status.HTTP_201_CREATED)


class RenewCamera(APIView):
    """The same camera's next token; the old one ends."""

    acts: ClassVar = {"POST": "manage_tokens"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses=TokenOut)
    def post(self, request: Request, pk: int) -> Response:
        token = tokens.renew_token(camera=_camera(request, pk), actor=person_for(request))
        return _shown(token, status.HTTP_200_OK)


class RevokeCamera(APIView):
    """From now on nothing is taken from this camera."""

    acts: ClassVar = {"POST": "manage_tokens"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        tokens.revoke_token(camera=_camera(request, pk), actor=person_for(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _shown(token: str, code: int) -> Response:
    headers = {"Cache-Control": "private, no-store"}
    return Response(TokenOut({"token": token}).data, status=code, headers=headers)


def _camera(request: Request, pk: int) -> DeviceToken:
    cameras = DeviceToken.objects.of(site_for(request)).select_related("site")
    return get_object_or_404(cameras, pk=pk)
