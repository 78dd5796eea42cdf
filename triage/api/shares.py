"""Estimated shares with their intervals, as they go over the wire."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from inference.uq.audit import AcceptedError


class IntervalOut(serializers.Serializer[Any]):
    """The ends of a 95 % interval, 0 to 1 where nothing else is said."""

    low = serializers.FloatField()
    high = serializers.FloatField()


class ShareOut(IntervalOut):
    """A share with its 95 % interval, from `n` labelled cases; null without one."""

    estimate = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()


class RateOut(IntervalOut):
    """An estimated share with its 95 % interval, from `audited` labelled cases."""

    estimate = serializers.SerializerMethodField()
    audited = serializers.IntegerField()

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_estimate(self, rate: AcceptedError) -> float | None:
        return rate.estimate if rate.audited else None


class DomainShareOut(IntervalOut):
    """`n` of `of` cases, with exact bounds at 95 % confidence."""

    n = serializers.IntegerField()
    of = serializers.IntegerField()


class AgreementOut(IntervalOut):
    """Of `n` answers the share that is the expert's label, with its 95 % interval."""

    title = serializers.CharField()
    right = serializers.IntegerField()
    n = serializers.IntegerField()
    share = serializers.FloatField()
