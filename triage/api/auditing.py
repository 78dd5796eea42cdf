"""The history by API: the same lines, the same check, the same file as on the auditors' pages."""

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.api.views import record_for
from triage.forms import AuditForm
from triage.models import AuditEvent
from triage.selectors.audit_log import found_events
from triage.selectors.case_record import CaseRecord, case_record
from triage.services.auditing import verify_history
from triage.views.auditing import download

FILTERS = [
    OpenApiParameter(name, kind, description=words)
    for name, kind, words in (
        ("person", OpenApiTypes.STR, "User name of who acted."),
        ("verb", OpenApiTypes.STR, "What was done, such as `photo seen`."),
        ("case", OpenApiTypes.STR, "A case's number, 8 hexadecimal digits."),
        ("since", OpenApiTypes.DATE, "First day, in the site's time zone."),
        ("until", OpenApiTypes.DATE, "Last day."),
        ("seen", OpenApiTypes.BOOL, "Only looks at photos, clips, frames and thumbnails."),
    )
]


class EventOut(serializers.ModelSerializer[AuditEvent]):
    """One line of the history with its place in its chain."""

    actor = serializers.CharField(source="actor.username", default="")

    class Meta:
        model = AuditEvent
        fields = (
            "id",
            "created_at",
            "actor",
            "verb",
            "details",
            "case",
            "position",
            "previous",
            "hash",
        )


class FindingOut(serializers.Serializer[Any]):
    kind = serializers.CharField()
    chain = serializers.CharField()
    position = serializers.IntegerField(allow_null=True)
    words = serializers.CharField()


class VerificationOut(serializers.Serializer[Any]):
    """`intact` where every line of the site's history is as it was written."""

    intact = serializers.BooleanField()
    events = serializers.IntegerField()
    chains = serializers.IntegerField()
    findings = FindingOut(many=True)


class SaidOut(serializers.Serializer[Any]):
    member = serializers.CharField()
    stage = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    text = serializers.CharField()
    prompt = serializers.CharField()
    valid = serializers.BooleanField()
    late = serializers.BooleanField(help_text="Kept to be seen; nothing was decided by it.")


class AnswerOut(serializers.Serializer[Any]):
    who = serializers.CharField()
    what = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    blind = serializers.BooleanField()
    when = serializers.DateTimeField()


class RecordOut(serializers.Serializer[Any]):
    """How a case was judged, without media, subject, camera or comments."""

    id = serializers.UUIDField(source="case.id")
    status = serializers.CharField(source="case.status")
    erased_at = serializers.DateTimeField(source="case.erased_at", allow_null=True)
    sha256 = serializers.CharField()
    ensemble = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    outcome = serializers.CharField(source="decision.outcome", default="")
    policy = serializers.IntegerField(
        source="decision.policy.version", default=None, allow_null=True
    )
    scores = serializers.SerializerMethodField()
    said = SaidOut(many=True)
    answers = AnswerOut(many=True)
    events = EventOut(many=True)

    def get_scores(self, page: CaseRecord) -> dict[str, float | None]:
        return dict(page.scores)


@extend_schema(parameters=FILTERS)
class Audit(generics.ListAPIView[AuditEvent]):
    """The site's history, newest first."""

    acts: ClassVar = {"GET": "see_history"}
    permission_classes = (MayAct,)
    serializer_class = EventOut

    def get_queryset(self) -> QuerySet[AuditEvent]:
        if getattr(self, "swagger_fake_view", False):
            return AuditEvent.objects.none()
        form = AuditForm(self.request.query_params)
        events = found_events(site_for(self.request), form.filters())
        return events.select_related("actor")


class AuditVerify(APIView):
    """Check every hash, place and signature of the site's history."""

    acts: ClassVar = {"POST": "see_history"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses=VerificationOut)
    def post(self, request: Request) -> Response:
        found = verify_history(site=site_for(request), actor=person_for(request))
        return Response(VerificationOut(found).data)


class AuditExport(APIView):
    """The history as JSON lines, or with `?form=csv` as CSV that no spreadsheet computes."""

    acts: ClassVar = {"GET": "see_history"}
    proved: ClassVar = {"GET"}
    permission_classes = (MayAct,)

    @extend_schema(
        parameters=[*FILTERS, OpenApiParameter("form", OpenApiTypes.STR, enum=["jsonl", "csv"])],
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        form = AuditForm(request.query_params)
        return download(site=site_for(request), actor=person_for(request), form=form)


class AuditCase(APIView):
    """The record of one case, de-identified."""

    acts: ClassVar = {"GET": "see_records"}
    permission_classes = (MayAct,)

    @extend_schema(responses=RecordOut)
    def get(self, request: Request, pk: UUID) -> Response:
        return Response(RecordOut(case_record(record_for(request, pk))).data)
