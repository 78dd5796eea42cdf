"""A household's consents by API: the same verb as on its page."""

from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, site_for
from triage.choices import Purpose, SiteKind
from triage.models import Site
from triage.selectors.consents import consent_rows
from triage.services import asking


class ConsentIn(serializers.Serializer[Any]):
    """A yes or no from now on; a yes to `show` ends after `days`."""

    purpose = serializers.ChoiceField(choices=Purpose.choices)
    given = serializers.BooleanField()
    days = serializers.IntegerField(
        min_value=1, max_value=asking.LONGEST_CONSENT, default=asking.CONSENT_DAYS
    )


class ConsentOut(serializers.Serializer[Any]):
    """What was said last; `given` is null as long as nobody was asked: then it is as a yes."""

    purpose = serializers.CharField()
    given = serializers.BooleanField(allow_null=True)
    who = serializers.CharField()
    said_at = serializers.DateTimeField(source="when", allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    ended = serializers.BooleanField()


class Consents(APIView):
    """What the household has consented to; saying yes, again yes, or no."""

    acts: ClassVar = {"GET": "consent", "POST": "consent"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=ConsentOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(ConsentOut(consent_rows(_home(request)), many=True).data)

    @extend_schema(request=ConsentIn, responses={201: ConsentOut(many=True)})
    def post(self, request: Request) -> Response:
        site = _home(request)
        form = ConsentIn(data=request.data)
        form.is_valid(raise_exception=True)
        asking.consent(site=site, person=person_for(request), **form.validated_data)
        return Response(
            ConsentOut(consent_rows(site), many=True).data,
            status=status.HTTP_201_CREATED,
        )


def _home(request: Request) -> Site:
    """The household; at a clinic nobody is asked to consent here."""
    site = site_for(request)
    if site.kind != SiteKind.HOUSEHOLD:
        raise Http404
    return site
