"""The API: the same services and selectors as the pages."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api import serializers
from triage.api.authentication import Device
from triage.api.permissions import MayAct, person_for, place_for, site_for
from triage.choices import CaseStatus
from triage.models import Case, Policy
from triage.selectors.at_work import at_work_page
from triage.selectors.cases import case_page
from triage.selectors.ensemble import ensemble_page
from triage.selectors.learning import source_rows
from triage.selectors.what_if import what_if
from triage.services import intake, members, policies, queue, reviews


class Observations(APIView):
    """Send one observation; the same file sent twice is one case."""

    acts: ClassVar = {"POST": "upload"}
    permission_classes = (MayAct,)
    parser_classes = (MultiPartParser,)

    @extend_schema(
        request={"multipart/form-data": serializers.ObservationIn},
        responses={200: serializers.Receipt, 201: serializers.Receipt},
    )
    def post(self, request: Request) -> Response:
        form = serializers.ObservationIn(data=request.data)
        form.is_valid(raise_exception=True)
        wanted = form.validated_data
        opened = intake.open_case(
            site=site_for(request),
            data=wanted["file"].read(),
            actor=None if isinstance(request.user, Device) else person_for(request),
            subject=wanted["subject"],
            captured_at=wanted["captured_at"],
            source="api",
            camera=request.user.token if isinstance(request.user, Device) else None,
        )
        created = status.HTTP_201_CREATED if opened.created else status.HTTP_200_OK
        return Response(serializers.Receipt(opened.case).data, status=created)


class ObservationReceipt(APIView):
    """Where an observation of one's own site stands."""

    acts: ClassVar = {"GET": "own_receipt"}
    permission_classes = (MayAct,)

    @extend_schema(responses=serializers.Receipt)
    def get(self, request: Request, pk: UUID) -> Response:
        case = get_object_or_404(Case, observation_id=pk, site=site_for(request))
        return Response(serializers.Receipt(case).data)


class Cases(generics.ListAPIView[Case]):
    """The site's cases, newest first; `?status=` narrows them."""

    acts: ClassVar = {"GET": "see_cases"}
    permission_classes = (MayAct,)
    serializer_class = serializers.CaseOut

    def get_queryset(self) -> QuerySet[Case]:
        cases = Case.objects.none()
        if not getattr(self, "swagger_fake_view", False):
            cases = Case.objects.filter(site=site_for(self.request)).select_related("subject")
        wanted = self.request.query_params.get("status") if self.request else None
        return cases.filter(status=wanted) if wanted in CaseStatus.values else cases


class CaseView(APIView):
    """One case with what the caller may see of the ensemble's answer."""

    acts: ClassVar = {"GET": "see_cases"}
    permission_classes = (MayAct,)

    @extend_schema(responses=serializers.CaseDetail)
    def get(self, request: Request, pk: UUID) -> Response:
        page = case_page(
            case=case_for(request, pk), user=person_for(request), roles=place_for(request).roles
        )
        return Response(serializers.CaseDetail(page).data)


class ClaimNext(APIView):
    """Hold the most urgent waiting case; 204 when none is free."""

    acts: ClassVar = {"POST": "review"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses={200: serializers.LeaseOut, 204: None})
    def post(self, request: Request) -> Response:
        lease = queue.claim_next(site=site_for(request), user=person_for(request))
        if lease is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(serializers.LeaseOut(lease).data)


class Reviews(APIView):
    """Answer a case that one holds."""

    acts: ClassVar = {"POST": "review"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(request=serializers.ReviewIn, responses={201: serializers.CaseOut})
    def post(self, request: Request, pk: UUID) -> Response:
        case = case_for(request, pk)
        form = serializers.ReviewIn(data=request.data)
        form.is_valid(raise_exception=True)
        review = reviews.submit_review(case=case, user=person_for(request), **form.validated_data)
        return Response(serializers.CaseOut(review.case).data, status=status.HTTP_201_CREATED)


class Undo(APIView):
    """Take one's own last answer back and hold the case again."""

    acts: ClassVar = {"POST": "review"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses=serializers.LeaseOut)
    def post(self, request: Request, pk: UUID) -> Response:
        lease = reviews.undo_review(case=case_for(request, pk), user=person_for(request))
        return Response(serializers.LeaseOut(lease).data)


class Policies(generics.ListAPIView[Policy]):
    """Every version of the site's policy, newest first."""

    acts: ClassVar = {"GET": "see_policies"}
    permission_classes = (MayAct,)
    serializer_class = serializers.PolicyOut

    def get_queryset(self) -> QuerySet[Policy]:
        if getattr(self, "swagger_fake_view", False):
            return Policy.objects.none()
        return Policy.objects.filter(site=site_for(self.request))


class WhatIf(APIView):
    """What a threshold would do to errors and to people; nothing is stored."""

    acts: ClassVar = {"GET": "see_policies"}
    permission_classes = (MayAct,)

    @extend_schema(parameters=[serializers.WhatIfIn], responses=serializers.WhatIfOut)
    def get(self, request: Request) -> Response:
        asked = serializers.WhatIfIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        page = what_if(site=site_for(request), **asked.validated_data)
        return Response(serializers.WhatIfOut(page).data)


class Publish(APIView):
    """Put a draft in force."""

    acts: ClassVar = {"POST": "change_policies"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses=serializers.PolicyOut)
    def post(self, request: Request, pk: int) -> Response:
        policy = get_object_or_404(Policy, pk=pk, site=site_for(request))
        fresh = policies.publish_policy(policy=policy, actor=person_for(request))
        return Response(serializers.PolicyOut(fresh).data)


class Sources(APIView):
    """The site and its cameras: which are learning, and what is missing until they are trusted."""

    acts: ClassVar = {"GET": "see_policies"}
    permission_classes = (MayAct,)

    @extend_schema(responses=serializers.SourceOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(serializers.SourceOut(source_rows(site_for(request)), many=True).data)


class AtWork(APIView):
    """What the caller's answers, or everyone's, have moved; newest first."""

    acts: ClassVar = {"GET": "see_policies"}
    permission_classes = (MayAct,)

    @extend_schema(parameters=[serializers.AtWorkIn], responses=serializers.AtWorkOut)
    def get(self, request: Request) -> Response:
        asked = serializers.AtWorkIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        page = at_work_page(
            site=site_for(request),
            user=person_for(request),
            everyone=asked.validated_data["whose"] == "everyone",
        )
        return Response(serializers.AtWorkOut(page).data)


class Ensemble(APIView):
    """The members: health, speed, cost and agreement with experts."""

    acts: ClassVar = {"GET": "see_ensemble"}
    permission_classes = (MayAct,)

    @extend_schema(responses=serializers.EnsembleOut)
    def get(self, request: Request) -> Response:
        return Response(serializers.EnsembleOut(ensemble_page(site=site_for(request))).data)


class CheckMember(APIView):
    """Have a worker ask a member one small real question; its answer shows in its health."""

    acts: ClassVar = {"POST": "check_members"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(request=serializers.MemberNameIn, responses={202: serializers.ProbeOut})
    def post(self, request: Request) -> Response:
        form = serializers.MemberNameIn(data=request.data)
        form.is_valid(raise_exception=True)
        probe = members.check_member(
            site=site_for(request),
            name=form.validated_data["member"],
            actor=person_for(request),
        )
        return Response(serializers.ProbeOut(probe).data, status=status.HTTP_202_ACCEPTED)


def case_for(request: Request, pk: UUID) -> Any:
    """A case of the caller's own site; any other is not found."""
    cases = Case.objects.select_related("site", "subject", "observation__media")
    return get_object_or_404(cases, pk=pk, site=site_for(request))
