"""Holding a case over the API, and what can be done with it instead of answering it."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for
from triage.api.serializers import CaseOut, LeaseOut
from triage.api.views import case_for
from triage.choices import RetakeReason, SkipReason
from triage.models import Lease
from triage.services import queue, reviews
from triage.services.reviews import MAX_COMMENT


class PassIn(serializers.Serializer[Any]):
    """`to`: the id of the colleague who is asked first; null for whoever comes."""

    comment = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=MAX_COMMENT
    )
    to = serializers.IntegerField(min_value=1, required=False, allow_null=True, default=None)


class SkipIn(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=10, help_text=", ".join(SkipReason.values))


class RetakeIn(serializers.Serializer[Any]):
    """What is wrong with the photo; `token` and `version` come from the claim."""

    reason = serializers.CharField(max_length=10, help_text=", ".join(RetakeReason.values))
    comment = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=MAX_COMMENT
    )
    version = serializers.IntegerField(min_value=1)
    token = serializers.UUIDField()


class _OfCase(APIView):
    acts: ClassVar = {"POST": "review"}
    permission_classes = (MayAct,)

    def lease(self, pk: UUID) -> Lease:
        """The caller's own hold on the case."""
        case = case_for(self.request, pk)
        return queue.lease_on(case=case, user=person_for(self.request))


class Claim(_OfCase):
    """Hold this very case."""

    @extend_schema(request=None, responses=LeaseOut)
    def post(self, request: Request, pk: UUID) -> Response:
        lease = queue.claim(case=case_for(request, pk), user=person_for(request))
        return Response(LeaseOut(lease).data)


class Release(_OfCase):
    """Let a case go; it waits again."""

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: UUID) -> Response:
        queue.release(lease=self.lease(pk))
        return _done()


class Extend(_OfCase):
    """Hold it for a fresh term."""

    @extend_schema(request=None, responses=LeaseOut)
    def post(self, request: Request, pk: UUID) -> Response:
        return Response(LeaseOut(queue.extend(lease=self.lease(pk))).data)


class Pass(_OfCase):
    """Not sure: somebody else is asked."""

    @extend_schema(request=PassIn, responses={204: None})
    def post(self, request: Request, pk: UUID) -> Response:
        lease, asked = self.lease(pk), PassIn(data=request.data)
        asked.is_valid(raise_exception=True)
        queue.pass_on(lease=lease, **asked.validated_data)
        return _done()


class Skip(_OfCase):
    """Leave it for later: it comes again after all others."""

    @extend_schema(request=SkipIn, responses={204: None})
    def post(self, request: Request, pk: UUID) -> Response:
        lease, asked = self.lease(pk), SkipIn(data=request.data)
        asked.is_valid(raise_exception=True)
        queue.skip(lease=lease, **asked.validated_data)
        return _done()


class Retake(_OfCase):
    """The photo cannot be judged: ask for a new one."""

    @extend_schema(request=RetakeIn, responses={201: CaseOut})
    def post(self, request: Request, pk: UUID) -> Response:
        case, asked = case_for(request, pk), RetakeIn(data=request.data)
        asked.is_valid(raise_exception=True)
        review = reviews.ask_again(case=case, user=person_for(request), **asked.validated_data)
        return Response(CaseOut(review.case).data, status=status.HTTP_201_CREATED)


def _done() -> Response:
    return Response(status=status.HTTP_204_NO_CONTENT)
