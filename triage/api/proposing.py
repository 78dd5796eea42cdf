"""The API of proposing: which modes can be had, a draft by one of them, the costs in full."""

from typing import Any, ClassVar

import numpy as np
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from inference.uq.costs import Costs
from triage.api.permissions import MayAct, person_for, site_for
from triage.api.serializers import PolicyOut
from triage.choices import PolicyMode
from triage.forms import ProposeForm
from triage.models import Site
from triage.selectors.costs import CostsPage, costs_page, domain_costs
from triage.selectors.modes import mode_rows
from triage.selectors.what_if import SCORES
from triage.services.calibration import propose_by_hand
from triage.services.costs import CostsAsked, propose_by_costs


class ModeOut(serializers.Serializer[Any]):
    """A way to choose a threshold; `why_not` says what is missing, "" if it can be had."""

    mode = serializers.CharField()
    sentence = serializers.CharField()
    why_not = serializers.CharField(allow_blank=True)


class ProposeIn(serializers.Serializer[Any]):
    """`value`: the error rate to promise, a review in units of an error, or the share to defer."""

    mode = serializers.ChoiceField(choices=[mode.value for mode, _title in ProposeForm.MODES])
    value = serializers.FloatField(min_value=0.005, max_value=0.99)
    method = serializers.ChoiceField(choices=list(SCORES))


class CostsOut(serializers.Serializer[Any]):
    """What is known of costs here: minutes a review, reviewers' errors, the table by severity."""

    minutes = serializers.FloatField()
    measured = serializers.BooleanField()
    expert_error = serializers.FloatField(source="reader.rate", default=None, allow_null=True)
    readings = serializers.IntegerField(source="reader.readings", default=0)
    missing_labels = serializers.IntegerField(source="missing")
    by_severity = serializers.SerializerMethodField()

    @extend_schema_field(serializers.DictField(child=serializers.DictField()))
    def get_by_severity(self, page: CostsPage) -> dict[str, dict[str, float]]:
        costs: Costs = self.context["suggested"]
        return {
            truth: dict(zip(costs.labels, row, strict=True))
            for truth, row in zip(costs.labels, costs.table.tolist(), strict=True)
        }


class CostsIn(serializers.Serializer[Any]):
    """`costs`: truth -> decided -> its cost; 1 for every pair that is left out."""

    method = serializers.ChoiceField(choices=list(SCORES))
    review_cost = serializers.FloatField(min_value=0.001, max_value=10)
    expert_error = serializers.FloatField(min_value=0, max_value=0.9, default=0.0)
    costs = serializers.DictField(
        child=serializers.DictField(child=serializers.FloatField(min_value=0, max_value=1000)),
        default=dict,
    )


def costs_of(site: Site, said: dict[str, dict[str, float]]) -> Costs:
    """The table of a domain with what was said of single pairs.

    Raises:
        ValidationError: a pair names a label that the domain does not have, or the same one twice.
    """
    costs = domain_costs(site)
    place = {label: index for index, label in enumerate(costs.labels)}
    table: np.ndarray[Any, np.dtype[np.float64]] = costs.table.copy()
    for truth, row in said.items():
        for decided, cost in row.items():
            if truth not in place or decided not in place or truth == decided:
                raise serializers.ValidationError({"costs": f"No such pair: {truth}, {decided}."})
            table[place[truth], place[decided]] = cost
    return Costs(costs.labels, table)


class Propose(APIView):
    """Which modes can be had; or a draft by one of them."""

    acts: ClassVar = {"GET": "see_policies", "POST": "change_policies"}
    permission_classes = (MayAct,)

    @extend_schema(responses=ModeOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(ModeOut(mode_rows(site_for(request)), many=True).data)

    @extend_schema(request=ProposeIn, responses={201: PolicyOut})
    def post(self, request: Request) -> Response:
        asked = ProposeIn(data=request.data)
        asked.is_valid(raise_exception=True)
        said, site = asked.validated_data, site_for(request)
        policy = propose_by_hand(
            site=site,
            domain=site.domain,
            actor=person_for(request),
            mode=PolicyMode(said["mode"]),
            value=said["value"],
            method=said["method"],
        )
        return Response(PolicyOut(policy).data, status=status.HTTP_201_CREATED)


class CostsView(APIView):
    """What is known of costs; or a draft at the threshold of the least expected cost."""

    acts: ClassVar = {"GET": "see_policies", "POST": "change_policies"}
    permission_classes = (MayAct,)

    @extend_schema(responses=CostsOut)
    def get(self, request: Request) -> Response:
        site = site_for(request)
        suggested = domain_costs(site, by_severity=True)
        page = costs_page(site=site, costs=suggested)
        return Response(CostsOut(page, context={"suggested": suggested}).data)

    @extend_schema(request=CostsIn, responses={201: PolicyOut})
    def post(self, request: Request) -> Response:
        asked = CostsIn(data=request.data)
        asked.is_valid(raise_exception=True)
        said, site = asked.validated_data, site_for(request)
        costs = costs_of(site, said["costs"])
        policy = propose_by_costs(
            site=site,
            domain=site.domain,
            method=said["method"],
            asked=CostsAsked(costs, said["review_cost"], said["expert_error"], {}),
            actor=person_for(request),
        )
        return Response(PolicyOut(policy).data, status=status.HTTP_201_CREATED)
