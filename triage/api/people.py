"""One's own session, and the people of a site, by API: the same verbs as on the pages."""

from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from triage.api.permissions import MayAct, person_for, place_for, site_for
from triage.selectors.people import PersonRow, members_of, people_of
from triage.services import people
from triage.sessions import seconds_left


class SessionOut(serializers.Serializer[Any]):
    """`left`: seconds until the session ends if nobody does anything."""

    left = serializers.IntegerField()


class PersonOut(serializers.Serializer[Any]):
    """`locked`: too many failed sign-ins from one address within a quarter of an hour.

    `for_all`: they answer for the whole organisation.
    """

    id = serializers.IntegerField()
    name = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())
    active = serializers.BooleanField()
    second_factor = serializers.BooleanField()
    needs_factor = serializers.BooleanField()
    locked = serializers.BooleanField()
    last_sign_in = serializers.DateTimeField(allow_null=True)
    for_all = serializers.BooleanField()


class SessionView(APIView):
    """How long the session still lasts; asking does not prolong it, saying so (POST) does."""

    acts: ClassVar = {"GET": "watch", "POST": "watch"}
    permission_classes = (MayAct,)

    @extend_schema(responses=SessionOut)
    def get(self, request: Request) -> Response:
        left = seconds_left(request.session, staff=place_for(request).staff)
        return Response(SessionOut({"left": round(left)}).data)

    @extend_schema(request=None, responses=SessionOut)
    def post(self, request: Request) -> Response:
        return self.get(request)  # that something was sent has prolonged it: triage.middleware


class People(APIView):
    """Who belongs to the site, and how they sign in."""

    acts: ClassVar = {"GET": "manage_people"}
    permission_classes = (MayAct,)

    @extend_schema(responses=PersonOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(PersonOut(people_of(site_for(request)), many=True).data)


class PersonAct(APIView):
    """Something that is done about one person of the site."""

    acts: ClassVar = {"POST": "manage_people"}
    permission_classes = (MayAct,)

    def act(self, request: Request, user: User) -> None:
        raise NotImplementedError

    @extend_schema(request=None, responses=PersonOut)
    def post(self, request: Request, pk: int) -> Response:
        self.act(request, get_object_or_404(members_of(site_for(request)), pk=pk))
        return Response(PersonOut(self._row(request, pk)).data)

    def _row(self, request: Request, pk: int) -> PersonRow:
        return next(row for row in people_of(site_for(request)) if row.id == pk)


class ResetFactor(PersonAct):
    """Forget a person's second factors."""

    proved: ClassVar = {"POST"}

    def act(self, request: Request, user: User) -> None:
        people.reset_second_factor(user=user, site=site_for(request), actor=person_for(request))


class Unlock(PersonAct):
    """Let somebody try to sign in again who has failed too often."""

    def act(self, request: Request, user: User) -> None:
        people.lift_lock(user=user, site=site_for(request), actor=person_for(request))


class Disable(PersonAct):
    """Sign a person out everywhere, for good."""

    proved: ClassVar = {"POST"}

    def act(self, request: Request, user: User) -> None:
        people.disable(user=user, site=site_for(request), actor=person_for(request))
