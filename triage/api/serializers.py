"""What goes over the wire; every field is listed."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from inference.media import Limits
from inference.models import Member, Probe
from triage.api.shares import AgreementOut, RateOut
from triage.choices import CaseStatus, ExportForm
from triage.models import Case, Policy
from triage.reasons import in_words
from triage.selectors.replays import shown_replay
from triage.selectors.what_if import SCORES, WhatIf
from triage.services.intake import MAX_PSEUDONYM
from triage.services.reviews import MAX_COMMENT

ACCEPTED = (
    "A photo as JPEG, PNG or WebP, or a clip as MP4, MOV, AVI or animated GIF "
    f"of at most {Limits.max_s} seconds."
)


class ObservationIn(serializers.Serializer[Any]):
    """One photo or clip, of a wound or of a room."""

    file = serializers.FileField(help_text=ACCEPTED)
    subject = serializers.CharField(required=False, default="", max_length=MAX_PSEUDONYM)
    captured_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate_file(self, file: Any) -> Any:
        """Refused by its size, before it is read into memory."""
        if file.size > settings.ALARM_UPLOAD_MB << 20:
            raise serializers.ValidationError(
                f"This file is larger than {settings.ALARM_UPLOAD_MB} MB. "
                "Send a smaller photo or a shorter clip."
            )
        return file


class Receipt(serializers.Serializer[Any]):
    """What a device gets back: where its observation stands, and nothing of what was seen in it."""

    id = serializers.UUIDField(source="observation_id")
    case = serializers.UUIDField(source="id")
    status = serializers.CharField()
    received_at = serializers.DateTimeField(source="created_at")


class CaseOut(serializers.ModelSerializer[Case]):
    """A case as its list shows it."""

    subject = serializers.CharField(source="subject.pseudonym", default="")

    class Meta:
        model = Case
        fields = ("id", "domain", "subject", "status", "version", "created_at", "resolved_at")


class ExportIn(serializers.Serializer[Any]):
    """`form`: a table, a line of JSON a case, or tasks for Label Studio; `status` narrows it."""

    form = serializers.ChoiceField(choices=ExportForm.choices, default=ExportForm.CSV)
    status = serializers.ChoiceField(choices=CaseStatus.choices, required=False, default="")


class HeldOut(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    case = serializers.UUIDField()
    holder = serializers.CharField()
    taken_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class HypothesisOut(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    share = serializers.FloatField()
    members = serializers.ListField(child=serializers.CharField())
    reasoning = serializers.CharField()


class DecisionOut(serializers.Serializer[Any]):
    outcome = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    method = serializers.CharField()
    score = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    policy = serializers.IntegerField(source="policy.version", default=None, allow_null=True)
    reasons = serializers.SerializerMethodField()
    label_probability = serializers.FloatField()

    def get_reasons(self, decision: Any) -> list[dict[str, str]]:
        return [{"code": code, "text": in_words(code)} for code in decision.reasons]


class CaseDetail(serializers.Serializer[Any]):
    """A case with the ensemble's answer, as far as the caller may see it; from a CasePage."""

    id = serializers.UUIDField(source="case.id")
    domain = serializers.CharField(source="case.domain")
    subject = serializers.CharField(source="case.subject.pseudonym", default="")
    status = serializers.CharField(source="case.status")
    version = serializers.IntegerField(source="case.version")
    duration_s = serializers.FloatField(
        source="duration", help_text="Seconds a clip lasts; 0 for a photo."
    )
    blind = serializers.BooleanField()
    label = serializers.SerializerMethodField()  # type: ignore[assignment]
    level = serializers.CharField()
    sentence = serializers.CharField()
    hypotheses = HypothesisOut(many=True)
    scores = serializers.SerializerMethodField()
    decision = DecisionOut(allow_null=True)
    labels = serializers.SerializerMethodField()

    def get_label(self, page: Any) -> str:
        return "" if page.blind else str(page.case.label)

    def get_scores(self, page: Any) -> dict[str, float | None]:
        return {row.method: row.value for row in page.scores}

    def get_labels(self, page: Any) -> list[str]:
        return [label for label, _title, _key in page.labels]


class LeaseOut(serializers.Serializer[Any]):
    """A hold on a case; `token` and `version` go back with the review."""

    case = serializers.UUIDField(source="case_id")
    version = serializers.IntegerField(source="case.version")
    token = serializers.UUIDField()
    expires_at = serializers.DateTimeField()


class ReviewIn(serializers.Serializer[Any]):
    token = serializers.UUIDField()
    version = serializers.IntegerField(min_value=1)
    label = serializers.CharField(max_length=80)  # type: ignore[assignment]
    comment = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=MAX_COMMENT
    )


class PolicyOut(serializers.ModelSerializer[Policy]):
    """A version of a policy, with how its threshold was chosen and what a replay showed."""

    replay = serializers.SerializerMethodField()

    class Meta:
        model = Policy
        fields = (
            "id",
            "domain",
            "version",
            "status",
            "method",
            "mode",
            "threshold",
            "calibration",
            "choice",
            "replay",
            "audit_share",
            "created_at",
            "published_at",
            "shadow_at",
            "canary_share",
        )

    def get_replay(self, policy: Policy) -> dict[str, Any]:
        return shown_replay(policy)


class WhatIfIn(serializers.Serializer[Any]):
    """`at`: the share to defer; without it the threshold in force is told of.

    `as_of`: only what was decided until then. Send the one of the first answer again to ask on
    about the same cases: that is what makes the answer quick.
    """

    method = serializers.ChoiceField(choices=list(SCORES), required=False)
    at = serializers.FloatField(min_value=0, max_value=1, required=False)
    people = serializers.IntegerField(min_value=1, max_value=500, required=False)
    hours = serializers.FloatField(min_value=0.5, max_value=24, required=False)
    as_of = serializers.DateTimeField(required=False)


class OutlookOut(serializers.Serializer[Any]):
    """A threshold on past cases."""

    threshold = serializers.FloatField(allow_null=True)
    cases = serializers.IntegerField()
    accepted = serializers.IntegerField()
    deferral = serializers.FloatField()
    error = RateOut()
    missed = RateOut()


class LoadOut(serializers.Serializer[Any]):
    """Whether reviewers keep up: hours until 90 % are begun, cases left over at closing."""

    use = serializers.FloatField()
    wait = serializers.FloatField(allow_null=True)
    backlog = serializers.FloatField()
    keeps_up = serializers.BooleanField()


class WorkloadOut(serializers.Serializer[Any]):
    """A day's cases and hours."""

    cases = serializers.FloatField()
    deferred = serializers.FloatField()
    audits = serializers.FloatField()
    readings = serializers.FloatField()
    hours = serializers.FloatField()
    load = LoadOut()


class ScenarioOut(serializers.Serializer[Any]):
    outlook = OutlookOut()
    workload = WorkloadOut()


class GroupOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    few = serializers.BooleanField()
    outlook = OutlookOut()


class WhatIfOut(serializers.Serializer[Any]):
    """`then` at the dial and `now` in force; null where there is too little to say."""

    method = serializers.CharField()
    as_of = serializers.DateTimeField()
    n = serializers.IntegerField()
    minutes = serializers.FloatField()
    measured = serializers.BooleanField()
    then = ScenarioOut(allow_null=True)
    now = ScenarioOut(allow_null=True)
    least = serializers.FloatField(help_text="The share deferred wherever the threshold is.")
    why_least = serializers.CharField(allow_blank=True)
    groups = serializers.SerializerMethodField()
    curve = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))

    @extend_schema_field(serializers.DictField(child=GroupOut(many=True)))
    def get_groups(self, page: WhatIf) -> dict[str, Any]:
        return {one.kind: GroupOut(one.rows, many=True).data for one in page.groups}


class ProgressOut(serializers.Serializer[Any]):
    """Answers so far, and how many more it takes at best until the policy may accept here."""

    checked = serializers.IntegerField()
    missing = serializers.IntegerField()
    words = serializers.CharField()


class SourceOut(serializers.Serializer[Any]):
    """A camera, or (camera null) what people send: whether it is learning, and why still."""

    camera = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    learning = serializers.BooleanField()
    since = serializers.DateTimeField(allow_null=True)
    sentence = serializers.CharField()
    progress = ProgressOut(allow_null=True)


class AtWorkIn(serializers.Serializer[Any]):
    whose = serializers.ChoiceField(choices=["mine", "everyone"], default="mine")


class EffectOut(serializers.Serializer[Any]):
    """Something that labels have moved; `policy` or `case` is what to look at."""

    when = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=["refit", "policy", "camera", "audit"])
    sentence = serializers.CharField()
    detail = serializers.CharField()
    policy = serializers.IntegerField(allow_null=True)
    case = serializers.UUIDField(allow_null=True)


class AtWorkOut(serializers.Serializer[Any]):
    """Counts of labels that stand, of audits among them, and what they moved."""

    everyone = serializers.BooleanField()
    labels = serializers.IntegerField()
    labels_in_all = serializers.IntegerField()
    audits = serializers.IntegerField()
    audits_in_all = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]
    readings = serializers.IntegerField()
    agreed = serializers.IntegerField()
    effects = EffectOut(many=True)


class HealthOut(serializers.Serializer[Any]):
    """What the newest small question showed: good, alert, waiting for its answer, or unknown."""

    state = serializers.CharField()
    sentence = serializers.CharField()
    when = serializers.DateTimeField(allow_null=True)


class TookOut(serializers.Serializer[Any]):
    """Seconds a case."""

    title = serializers.CharField()
    median = serializers.FloatField()
    p90 = serializers.FloatField()


class PaceOut(serializers.Serializer[Any]):
    """Of the newest `cases`: seconds, and generated tokens a second and a case."""

    cases = serializers.IntegerField()
    whole = TookOut()
    stages = TookOut(many=True)
    tokens_a_second = serializers.FloatField(allow_null=True)
    tokens = serializers.FloatField()
    prompt_tokens = serializers.FloatField()


class MemberOut(serializers.Serializer[Any]):
    """One member; `cost` is that of 1000 cases in the currency of the prices."""

    name = serializers.CharField()
    model = serializers.CharField()
    backend = serializers.CharField()
    domains = serializers.ListField(child=serializers.CharField())
    answered = serializers.IntegerField()
    failed = serializers.IntegerField()
    health = HealthOut()
    pace = PaceOut(allow_null=True)
    price = serializers.FloatField(allow_null=True)
    price_in = serializers.FloatField()
    cost = serializers.FloatField(allow_null=True)
    agreement = AgreementOut(allow_null=True)
    classes = AgreementOut(many=True)


class WithoutOut(serializers.Serializer[Any]):
    """The vote without one member: change of its accuracy with its 95 % interval.

    `deferral`: the share to defer for as few errors among the accepted as today.
    """

    name = serializers.CharField()
    gain = serializers.FloatField(source="change.gain")
    low = serializers.FloatField(source="change.low")
    high = serializers.FloatField(source="change.high")
    wins = serializers.IntegerField(source="change.wins")
    losses = serializers.IntegerField(source="change.losses")
    deferral = serializers.FloatField(allow_null=True)


class LeavingOutOut(serializers.Serializer[Any]):
    """From so many labelled cases; `few` says that they make no more than a hint."""

    cases = serializers.IntegerField()
    few = serializers.BooleanField()
    deferral = serializers.FloatField()
    why_not = serializers.CharField()
    why_no_deferral = serializers.CharField(help_text="Why it is null of each, where it is.")
    without = WithoutOut(many=True)


class EnsembleOut(serializers.Serializer[Any]):
    domain = serializers.CharField(source="domain.id")
    members = MemberOut(many=True)
    leaving_out = LeavingOutOut()


class MemberNameIn(serializers.Serializer[Any]):
    member = serializers.CharField(max_length=80)


class ProbeOut(serializers.ModelSerializer[Probe]):
    """A question to a member, as a worker will answer it."""

    class Meta:
        model = Probe
        fields = ("id", "member", "domain", "sample", "status", "asked_at", "label", "error")


class MemberIn(serializers.Serializer[Any]):
    """A member to add: `huggingface` (a folder or hub id) or `openai_compatible` (a server)."""

    name = serializers.CharField(max_length=40)
    backend = serializers.ChoiceField(choices=["huggingface", "openai_compatible"])
    model = serializers.CharField(max_length=200)
    domains = serializers.ListField(child=serializers.CharField(max_length=40), allow_empty=False)
    base_url = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
    api_key_env = serializers.CharField(max_length=80, required=False, default="", allow_blank=True)
    price = serializers.FloatField(
        min_value=0, max_value=1e6, required=False, allow_null=True, default=None
    )
    price_in = serializers.FloatField(min_value=0, max_value=1e6, required=False, default=0)


class TrialIn(serializers.Serializer[Any]):
    """`cases`: ask about this site's answered cases too, not only about drawings."""

    cases = serializers.BooleanField(default=False)


class TrialAnswerOut(serializers.Serializer[Any]):
    about = serializers.CharField()
    expected = serializers.CharField()
    said = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    state = serializers.CharField()
    error = serializers.CharField()


class TrialOut(serializers.Serializer[Any]):
    """What a candidate's newest trial shows, of drawings and of this site's own cases."""

    asked = serializers.IntegerField()
    open = serializers.IntegerField()
    read = serializers.IntegerField()
    failed = serializers.IntegerField()
    experts = AgreementOut(allow_null=True)
    ensemble = AgreementOut(allow_null=True)
    seconds = TookOut(allow_null=True)
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]
    answers = TrialAnswerOut(many=True)

    def get_errors(self, trial: Any) -> list[str]:
        return list(trial.errors)


class AddedMemberOut(serializers.ModelSerializer[Member]):
    """A member that was added in the console."""

    class Meta:
        model = Member
        fields = (
            "id",
            "name",
            "backend",
            "model",
            "domains",
            "price",
            "price_in",
            "status",
            "added_at",
        )


class AddedRowOut(serializers.Serializer[Any]):
    """It, its trial, and why it may not be taken in yet."""

    member = AddedMemberOut()
    trial = TrialOut(allow_null=True)
    why_not = serializers.CharField()
