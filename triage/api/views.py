"""The API: the same services and selectors as the pages."""

from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api import serializers
from triage.api.authentication import Device
from triage.api.permissions import MayAct, person_for, place_for, site_for
from triage.choices import CaseStatus
from triage.errors import BehindGlass
from triage.models import Case, Lease, Policy
from triage.selectors.at_work import at_work_page
from triage.selectors.cases import case_page
from triage.selectors.ensemble import ensemble_page
from triage.selectors.glass import is_hidden, why_not_look
from triage.selectors.learning import source_rows
from triage.selectors.leases import held_cases
from triage.selectors.queue import listed_for
from triage.selectors.teams import is_seen
from triage.selectors.what_if import what_if
from triage.services import idempotency, intake, members, queue, reviews, tokens
from triage.views.exporting import TYPES, export_file


class Observations(APIView):
    """Send one observation; the same file sent twice is one case."""

    acts: ClassVar = {"POST": "upload"}
    permission_classes = (MayAct,)
    parser_classes = (MultiPartParser,)

    @extend_schema(
        request={"multipart/form-data": serializers.ObservationIn},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                location=OpenApiParameter.HEADER,
                description="Repeated with the same body: one effect, the same answer. Kept a day.",
            )
        ],
        responses={200: serializers.Receipt, 201: serializers.Receipt},
    )
    def post(self, request: Request) -> Response:
        device = request.user if isinstance(request.user, Device) else None
        if device:
            tokens.check_backlog(device.token.site)
        form = serializers.ObservationIn(data=request.data)
        form.is_valid(raise_exception=True)
        sent = form.validated_data | {"file": form.validated_data["file"].read()}
        key = request.headers.get("Idempotency-Key")
        if key is None:
            answer = self._take_in(request, sent)
        else:
            answer = idempotency.once(
                sender=f"camera {device.token.pk}" if device else f"person {request.user.pk}",
                key=key,
                digest=_digest(sent),
                act=lambda since: self._take_in(request, sent, since),
            )
        return Response(answer.body, status=answer.status)

    def _take_in(
        self, request: Request, sent: dict[str, Any], since: datetime | None = None
    ) -> idempotency.Answer:
        """201 for a case that is new, or that has been since this request first came."""
        device = request.user if isinstance(request.user, Device) else None
        opened = intake.open_case(
            site=site_for(request),
            data=sent["file"],
            actor=None if device else person_for(request),
            subject=sent["subject"],
            captured_at=sent["captured_at"],
            source="api",
            camera=device.token if device else None,
        )
        new = opened.created or bool(since and opened.case.created_at >= since)
        code = status.HTTP_201_CREATED if new else status.HTTP_200_OK
        return idempotency.Answer(code, dict(serializers.Receipt(opened.case).data))


class ObservationReceipt(APIView):
    """Where an observation of one's own site stands."""

    acts: ClassVar = {"GET": "own_receipt"}
    permission_classes = (MayAct,)

    @extend_schema(responses=serializers.Receipt)
    def get(self, request: Request, pk: UUID) -> Response:
        site = site_for(request)
        case = get_object_or_404(Case.objects.of(site), observation_id=pk)
        if not isinstance(request.user, Device) and not is_seen(case, site, person_for(request)):
            raise Http404
        return Response(serializers.Receipt(case).data)


class Cases(generics.ListAPIView[Case]):
    """The site's cases, newest first; `?status=` narrows them."""

    acts: ClassVar = {"GET": "see_cases"}
    permission_classes = (MayAct,)
    serializer_class = serializers.CaseOut

    def get_queryset(self) -> QuerySet[Case]:
        cases = Case.objects.none()
        if not getattr(self, "swagger_fake_view", False):
            seen = listed_for(site_for(self.request), person_for(self.request))
            cases = seen.select_related("subject")
        wanted = self.request.query_params.get("status") if self.request else None
        return cases.filter(status=wanted) if wanted in CaseStatus.values else cases


class CaseView(APIView):
    """One case with what the caller may see of the ensemble's answer.

    An administrator gets it only after `POST /glass`, for as long as that lasts.
    """

    acts: ClassVar = {"GET": "look"}
    permission_classes = (MayAct,)

    @extend_schema(responses=serializers.CaseDetail)
    def get(self, request: Request, pk: UUID) -> Response:
        page = case_page(
            case=case_for(request, pk), user=person_for(request), roles=place_for(request).roles
        )
        return Response(serializers.CaseDetail(page).data)


class Export(APIView):
    """All cases of the site, as one may know them, as a file."""

    acts: ClassVar = {"GET": "export"}
    proved: ClassVar = {"GET"}
    permission_classes = (MayAct,)

    @extend_schema(
        parameters=[serializers.ExportIn],
        responses={(200, kind): OpenApiTypes.STR for kind, _ending in TYPES.values()},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        asked = serializers.ExportIn(data=request.query_params)
        asked.is_valid(raise_exception=True)
        return export_file(site=site_for(request), user=person_for(request), **asked.validated_data)


class Leases(APIView):
    """Who holds which case now."""

    acts: ClassVar = {"GET": "see_policies"}
    permission_classes = (MayAct,)

    @extend_schema(responses=serializers.HeldOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(
            serializers.HeldOut(
                held_cases(site_for(request), person_for(request), place_for(request).roles),
                many=True,
            ).data
        )


class EndLease(APIView):
    """Take a case from whoever holds it; it waits again."""

    acts: ClassVar = {"POST": "end_leases"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        running = Lease.objects.of(site_for(request)).select_related("case__site")
        queue.take_away(lease=get_object_or_404(running, pk=pk), actor=person_for(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


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
        return Policy.objects.of(site_for(self.request))


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


def _digest(sent: dict[str, Any]) -> str:
    told = f"{sent['subject']}\x00{sent['captured_at']}\x00".encode()
    return sha256(told + sent["file"]).hexdigest()


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
    """A case that the caller may look into; another site's is not found.

    Raises:
        BehindGlass: they may not but with a reason.
    """
    case = record_for(request, pk)
    if is_hidden(case, person_for(request), place_for(request).roles):
        raise Http404
    if why := why_not_look(case, person_for(request), place_for(request).roles):
        raise BehindGlass(why)
    return case


def record_for(request: Request, pk: UUID) -> Any:
    """A case of the caller's own site, for those who see nothing of what it shows."""
    cases = Case.objects.of(site_for(request))
    return get_object_or_404(cases.select_related("site", "subject", "observation__media"), pk=pk)
