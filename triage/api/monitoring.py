"""How a site is going, over the API: the same numbers as on the administrators' page."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.pagination import NewestFirst
from triage.api.permissions import MayAct, person_for, site_for
from triage.api.shares import IntervalOut, ShareOut
from triage.models import Alert
from triage.selectors.alerts import ended_of, sentence_of
from triage.selectors.monitoring import monitoring_page
from triage.selectors.reliance import own_reliance
from triage.services.monitoring import check
from triage.services.reliance import share_reliance


class WeekOut(serializers.Serializer[Any]):
    """From Monday to Monday; `error` is of the accepted, corrected by audits."""

    start = serializers.DateField()
    decided = serializers.IntegerField()
    deferred = serializers.IntegerField()
    answered = serializers.IntegerField()
    overridden = serializers.IntegerField()
    error = ShareOut()
    enough_audits = serializers.BooleanField()


class ServiceLevelsOut(serializers.Serializer[Any]):
    """Hours from intake; `expired` claims ran out in the last seven days."""

    waiting = serializers.IntegerField()
    overdue = serializers.IntegerField()
    oldest = serializers.FloatField(allow_null=True)
    expired = serializers.IntegerField()
    answers = serializers.IntegerField()
    median = serializers.FloatField(allow_null=True)
    p90 = serializers.FloatField(allow_null=True)


class PairsOut(serializers.Serializer[Any]):
    """How often the ensemble said `said` where people said `truth`."""

    said = serializers.CharField()
    truth = serializers.CharField()
    n = serializers.IntegerField()


class SourceCheckedOut(serializers.Serializer[Any]):
    """One camera, or ("") what people send; `error` is of the accepted, corrected by audits."""

    name = serializers.CharField(allow_blank=True)
    answered = serializers.IntegerField()
    overridden = serializers.IntegerField()
    error = ShareOut()


class BinOut(IntervalOut):
    """Cases with about the same stated P(error), and the share that was wrong (95 % interval)."""

    n = serializers.IntegerField()
    stated = serializers.FloatField()
    happened = serializers.FloatField()


class ReliabilityOut(serializers.Serializer[Any]):
    n = serializers.IntegerField()
    gap = serializers.FloatField(allow_null=True, help_text="Expected calibration error.")
    bins = BinOut(many=True)


class CheckedOut(serializers.Serializer[Any]):
    """The newest answered cases that had been deferred or drawn for audit."""

    n = serializers.IntegerField()
    pairs = PairsOut(many=True)
    sources = SourceCheckedOut(many=True)
    reliability = ReliabilityOut()


class DriftOut(serializers.Serializer[Any]):
    """What no longer resembles the cases of the calibration."""

    sentences = serializers.ListField(child=serializers.CharField())
    p_value = serializers.FloatField(allow_null=True)


class ReadersAgreementOut(IntervalOut):
    """Krippendorff's alpha with its 95 % interval, and the share of cases with one label."""

    cases = serializers.IntegerField()
    same = serializers.FloatField()
    alpha = serializers.FloatField()


class ReadingOut(serializers.Serializer[Any]):
    """Cases that two people read: how far they agree, how many wait for a reading or a third."""

    agreement = ReadersAgreementOut(allow_null=True)
    open = serializers.IntegerField()
    disputed = serializers.IntegerField()


class RelianceOut(serializers.Serializer[Any]):
    """Cases in which the machine's answer was seen and wrong (of these `followed`), seen and right
    (`overruled`), or differed from a blind first answer (`switched`)."""

    wrong = serializers.IntegerField()
    followed = serializers.IntegerField()
    right = serializers.IntegerField()
    overruled = serializers.IntegerField()
    differed = serializers.IntegerField()
    switched = serializers.IntegerField()


class SharedOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    reliance = RelianceOut()


class BoardOut(serializers.Serializer[Any]):
    """Who shares by name; all `people` others as one, null below `fewest` of them."""

    shared = SharedOut(many=True)
    others = RelianceOut(allow_null=True)
    people = serializers.IntegerField()
    fewest = serializers.IntegerField()


class OwnRelianceOut(serializers.Serializer[Any]):
    """The caller's own counts, and whether administrators see them with the name."""

    reliance = RelianceOut()
    shared = serializers.BooleanField()


class ShareIn(serializers.Serializer[Any]):
    shared = serializers.BooleanField()


class MonitoringOut(serializers.Serializer[Any]):
    """`service_levels` are of now, the rest as it was at `as_of`."""

    as_of = serializers.DateTimeField(source="found.as_of")
    service_levels = ServiceLevelsOut(source="levels")
    recent = WeekOut(help_text="The newest four weeks as one.")
    weeks = WeekOut(many=True)
    checked = CheckedOut(source="found.checked")
    drift = DriftOut(source="found.drift")
    reading = ReadingOut(source="found.reading", allow_null=True)
    reliance = BoardOut(source="board")


class Monitoring(APIView):
    """Is it still going well at the site."""

    acts: ClassVar = {"GET": "see_monitoring"}
    permission_classes = (MayAct,)

    @extend_schema(responses=MonitoringOut)
    def get(self, request: Request) -> Response:
        return Response(MonitoringOut(monitoring_page(site=site_for(request))).data)


class Check(APIView):
    """Look at the site now rather than in some minutes."""

    acts: ClassVar = {"POST": "see_monitoring"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses=MonitoringOut)
    def post(self, request: Request) -> Response:
        site = site_for(request)
        check(site=site)
        return Response(MonitoringOut(monitoring_page(site=site)).data)


class AlertOut(serializers.ModelSerializer[Alert]):
    """Raised above `limit`; it stands while `ended_at` is null. `ended` says in words that it ended
    with the version that it was about, and is "" otherwise."""

    sentence = serializers.SerializerMethodField()
    ended = serializers.SerializerMethodField()

    class Meta:
        model = Alert
        fields = ("id", "kind", "value", "limit", "sentence", "raised_at", "ended_at", "ended")

    def get_sentence(self, alert: Alert) -> str:
        return sentence_of(alert)

    def get_ended(self, alert: Alert) -> str:
        return ended_of(alert)


class NewestRaised(NewestFirst):
    ordering = ("-raised_at", "-id")


class Alerts(generics.ListAPIView[Alert]):
    """The site's alerts, newest first; `?standing=1` leaves out what is over."""

    acts: ClassVar = {"GET": "see_monitoring"}
    permission_classes = (MayAct,)
    serializer_class = AlertOut
    pagination_class = NewestRaised

    def get_queryset(self) -> QuerySet[Alert]:
        if getattr(self, "swagger_fake_view", False):
            return Alert.objects.none()
        alerts = Alert.objects.of(site_for(self.request)).select_related("policy")
        standing = self.request.query_params.get("standing") == "1"
        return alerts.filter(ended_at=None) if standing else alerts


class OwnRelianceView(APIView):
    """How the caller and the machine agree; POST says whether administrators see the name."""

    acts: ClassVar = {"GET": "see_own_reliance", "POST": "see_own_reliance"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=OwnRelianceOut)
    def get(self, request: Request) -> Response:
        found = own_reliance(site=site_for(request), user=person_for(request))
        return Response(OwnRelianceOut(found).data)

    @extend_schema(request=ShareIn, responses=OwnRelianceOut)
    def post(self, request: Request) -> Response:
        form = ShareIn(data=request.data)
        form.is_valid(raise_exception=True)
        share_reliance(site=site_for(request), user=person_for(request), **form.validated_data)
        return self.get(request)
