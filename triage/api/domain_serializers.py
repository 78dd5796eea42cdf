"""Domains, their versions and trials, as they go over the wire."""

from typing import Any

from rest_framework import serializers

from inference.pipeline.domains import MAX_LABEL, MAX_LINE, MAX_PROMPT
from inference.services.definitions import kept
from triage.api.shares import DomainShareOut
from triage.choices import SiteKind
from triage.models import DomainVersion
from triage.services.domains import MAX_NOTE
from triage.services.sites import MAX_NAME
from triage.services.trials import FEWEST, MOST, USUAL


class LabelContent(serializers.Serializer[Any]):
    """A label: what members answer, its words, its severity (1 to 3), its rule for reflection."""

    id = serializers.CharField(max_length=MAX_LABEL)
    title = serializers.CharField(max_length=MAX_LABEL)
    plain = serializers.CharField(max_length=MAX_LINE)
    normal = serializers.BooleanField()
    severity = serializers.IntegerField(min_value=1, max_value=3)
    rule = serializers.CharField(max_length=MAX_LINE)


class DefinitionIn(serializers.Serializer[Any]):
    """What a domain is. `prompt` holds $labels; `reflection` holds $rules and $answer."""

    title = serializers.CharField(max_length=MAX_LABEL)
    question = serializers.CharField(max_length=MAX_LINE)
    prompt = serializers.CharField(max_length=MAX_PROMPT)
    reflection = serializers.CharField(max_length=MAX_PROMPT)
    labels = LabelContent(many=True)
    note = serializers.CharField(max_length=MAX_NOTE, required=False, default="", allow_blank=True)


class DomainIn(DefinitionIn):
    """A domain that is new in the organisation, with its first version."""

    name = serializers.CharField(max_length=40)


class DomainOut(serializers.Serializer[Any]):
    """A domain: `here` says whether this site uses it; `versions` newest first, 0 is what ships."""

    name = serializers.CharField(source="id")
    title = serializers.CharField(source="domain.title")
    shipped = serializers.BooleanField()
    here = serializers.BooleanField()
    members = serializers.ListField(child=serializers.CharField())
    versions = serializers.SerializerMethodField()

    def get_versions(self, row: Any) -> list[int]:
        return [one.number or 0 for one in row.versions]


class VersionOut(serializers.Serializer[Any]):
    """A version in the list of a domain; `state` is how it stands at this site."""

    version = serializers.SerializerMethodField()
    state = serializers.CharField()
    author = serializers.CharField(source="version.author.username", default="")
    note = serializers.CharField(source="version.note", default="")
    created_at = serializers.DateTimeField(
        source="version.created_at", default=None, allow_null=True
    )
    digest = serializers.CharField(source="version.definition_id", default="")

    def get_version(self, row: Any) -> int:
        return row.number or 0


class VersionDetail(serializers.Serializer[Any]):
    """A version with its whole definition, and in `effects` what putting it in force would do."""

    version = serializers.IntegerField(source="row.number", default=0)
    state = serializers.CharField(source="row.state")
    title = serializers.CharField(source="domain.title")
    question = serializers.CharField(source="domain.question")
    prompt = serializers.CharField(source="domain.prompt")
    reflection = serializers.CharField(source="domain.reflection")
    labels = LabelContent(many=True)
    effects = serializers.ListField(child=serializers.CharField())
    may_publish = serializers.BooleanField()
    why_not = serializers.CharField()


class WrittenOut(serializers.ModelSerializer[DomainVersion]):
    """A version that was just written."""

    name = serializers.CharField(source="domain")
    title = serializers.SerializerMethodField()
    digest = serializers.CharField(source="definition_id")

    class Meta:
        model = DomainVersion
        fields = ("name", "version", "title", "note", "digest", "created_at")

    def get_title(self, version: DomainVersion) -> str:
        return kept(version.definition_id).title


class DomainTrialIn(serializers.Serializer[Any]):
    """On how many of the newest answered cases."""

    cases = serializers.IntegerField(min_value=FEWEST, max_value=MOST, default=USUAL)


class ChangedOut(serializers.Serializer[Any]):
    case = serializers.UUIDField(source="case.pk")
    before = serializers.CharField()
    after = serializers.CharField()
    truth = serializers.CharField()


class DomainTrialOut(serializers.Serializer[Any]):
    """How far a trial is and what it has shown; nothing is decided by it."""

    id = serializers.IntegerField(source="trial.pk")
    created_at = serializers.DateTimeField(source="trial.created_at")
    ended_at = serializers.DateTimeField(source="trial.ended_at", allow_null=True)
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    right = DomainShareOut()
    was_right = DomainShareOut()
    deferred = DomainShareOut(allow_null=True)
    was_deferred = DomainShareOut(allow_null=True)
    objected = serializers.IntegerField()
    unknown = serializers.IntegerField()
    changed = ChangedOut(many=True)


class SiteIn(serializers.Serializer[Any]):
    """A new site. `version` of a domain that was written here; without it what ships.

    `people` are names of colleagues at the present site, who come along in their roles.
    """

    name = serializers.CharField(max_length=MAX_NAME)
    kind = serializers.ChoiceField(choices=SiteKind.choices)
    domain = serializers.CharField(max_length=40)
    version = serializers.IntegerField(min_value=1, required=False, allow_null=True, default=None)
    people = serializers.ListField(
        child=serializers.CharField(max_length=150), required=False, max_length=500
    )


class SiteOut(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    kind = serializers.CharField()
    domain = serializers.CharField()
