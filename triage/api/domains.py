"""The API about domains: thin over the same services and selectors as the pages."""

from typing import ClassVar

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from inference.pipeline.domains import domain_ids
from triage.api import domain_serializers as wire
from triage.api.permissions import MayAct, person_for, site_for
from triage.errors import Refused
from triage.models import DomainVersion
from triage.selectors.domains import DomainRow, colleagues, domain_row, domains_page, version_page
from triage.selectors.trials import trial_page, trials_of
from triage.services import domains, sites, trials


class Domains(APIView):
    """The domains that this site may know of; a new one of its organisation."""

    acts: ClassVar = {"GET": "see_domains", "POST": "change_domains"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=wire.DomainOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(wire.DomainOut(domains_page(site=site_for(request)), many=True).data)

    @extend_schema(request=wire.DomainIn, responses={201: wire.WrittenOut})
    def post(self, request: Request) -> Response:
        form = wire.DomainIn(data=request.data)
        form.is_valid(raise_exception=True)
        return _written(request, form, name=form.validated_data.pop("name"), new=True)


class Versions(APIView):
    """The versions of a domain, newest first; the next one, as a draft."""

    acts: ClassVar = {"GET": "see_domains", "POST": "change_domains"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=wire.VersionOut(many=True))
    def get(self, request: Request, name: str) -> Response:
        return Response(wire.VersionOut(_row(request, name).versions, many=True).data)

    @extend_schema(request=wire.DefinitionIn, responses={201: wire.WrittenOut})
    def post(self, request: Request, name: str) -> Response:
        _row(request, name)
        form = wire.DefinitionIn(data=request.data)
        form.is_valid(raise_exception=True)
        return _written(request, form, name=name, new=False)


class VersionView(APIView):
    """One version with its whole definition; 0 is what ships."""

    acts: ClassVar = {"GET": "see_domains"}
    permission_classes = (MayAct,)

    @extend_schema(responses=wire.VersionDetail)
    def get(self, request: Request, name: str, number: int) -> Response:
        row, site = _row(request, name), site_for(request)
        found = [one for one in row.versions if (one.number or 0) == number]
        if not found:
            raise Http404
        page = version_page(site=site, row=row, version=found[0].version, user=person_for(request))
        return Response(wire.VersionDetail(page).data)


class PublishVersion(APIView):
    """Put a version in force at this site."""

    acts: ClassVar = {"POST": "change_domains"}
    proved: ClassVar = {"POST"}
    permission_classes = (MayAct,)

    @extend_schema(request=None, responses=wire.WrittenOut)
    def post(self, request: Request, name: str, number: int) -> Response:
        version = _stored(request, name, number)
        domains.publish_version(site=site_for(request), version=version, actor=person_for(request))
        return Response(wire.WrittenOut(version).data)


class Trials(APIView):
    """The trials of a version at this site, newest first; a new one."""

    acts: ClassVar = {"GET": "see_domains", "POST": "change_domains"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(responses=wire.DomainTrialOut(many=True))
    def get(self, request: Request, name: str, number: int) -> Response:
        found = trials_of(site_for(request), _stored(request, name, number))
        return Response(wire.DomainTrialOut([trial_page(one) for one in found], many=True).data)

    @extend_schema(request=wire.DomainTrialIn, responses={201: wire.DomainTrialOut})
    def post(self, request: Request, name: str, number: int) -> Response:
        version, form = _stored(request, name, number), wire.DomainTrialIn(data=request.data)
        form.is_valid(raise_exception=True)
        trial = trials.start_trial(
            site=site_for(request),
            version=version,
            actor=person_for(request),
            **form.validated_data,
        )
        return Response(wire.DomainTrialOut(trial_page(trial)).data, status=status.HTTP_201_CREATED)


class Sites(APIView):
    """A new site of the same organisation, of which the caller is the administrator."""

    acts: ClassVar = {"POST": "change_domains"}
    permission_classes = (MayAct,)
    parser_classes = (JSONParser,)

    @extend_schema(request=wire.SiteIn, responses={201: wire.SiteOut})
    def post(self, request: Request) -> Response:
        form = wire.SiteIn(data=request.data)
        form.is_valid(raise_exception=True)
        wanted = form.validated_data
        number, names = wanted.pop("version"), wanted.pop("people", [])
        others = colleagues(site_for(request), person_for(request))
        version = _stored(request, wanted["domain"], number) if number else None
        if version is None and wanted["domain"] not in domain_ids():
            raise Refused(_("This domain does not ship: say which version."), "version")
        site = sites.add_site(
            beside=site_for(request),
            version=version,
            people=[one for one in others if one.user.get_username() in names],
            actor=person_for(request),
            **wanted,
        )
        return Response(wire.SiteOut(site).data, status=status.HTTP_201_CREATED)


def _written(request: Request, form: Serializer[object], *, name: str, new: bool) -> Response:
    content = dict(form.validated_data)
    version = domains.write_version(
        site=site_for(request),
        domain_id=name,
        note=content.pop("note"),
        content=content,
        new=new,
        actor=person_for(request),
    )
    return Response(wire.WrittenOut(version).data, status=status.HTTP_201_CREATED)


def _row(request: Request, name: str) -> DomainRow:
    row = domain_row(site=site_for(request), domain_id=name)
    if row is None:
        raise Http404
    return row


def _stored(request: Request, name: str, number: int) -> DomainVersion:
    """A version of the caller's own organisation; any other is not found."""
    versions = DomainVersion.objects.of(site_for(request))
    return get_object_or_404(versions, domain=name, version=number)
