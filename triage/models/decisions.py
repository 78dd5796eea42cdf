"""What was decided of a run, and what a version in shadow would have."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from inference.models import Run
from triage.choices import Outcome
from triage.models.base import AppendOnly
from triage.models.cases import Case
from triage.models.policies import Policy
from triage.tenancy import SiteRow


class Decision(SiteRow, AppendOnly):
    """A policy applied to a run.

    `label_probability` is the probability with which an expert was going to label this case: 1
    for a deferred one, the audit share for an accepted one. Audit estimates are weighted by it. It
    is that of the policy that decided, also where a canary's draw chose which one did.
    """

    WAY_TO_SITE = "case__site"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="decisions")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="decision")
    policy = models.ForeignKey(Policy, null=True, on_delete=models.PROTECT)
    outcome = models.CharField(max_length=6, choices=Outcome)
    label = models.CharField(max_length=80, blank=True)
    method = models.CharField(max_length=40, blank=True)
    score = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    reasons = models.JSONField(default=list, help_text="Codes; triage.reasons has the words.")
    explanation = models.JSONField(default=dict, help_text="Levels a stage and P(error).")
    learned_label = models.CharField(
        max_length=80, blank=True, help_text="What the learned aggregator said, deciding or not."
    )
    learned_error = models.FloatField(null=True, help_text="The P(error) that it stated.")
    label_probability = models.FloatField()
    audited = models.BooleanField(default=False)
    drawn_share = models.FloatField(
        null=True,
        help_text="While a canary ran: the probability with which this policy was drawn to decide.",
    )
    decided_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(label_probability__gt=0, label_probability__lte=1),
                name="label_probability_is_a_probability",
            ),
            models.CheckConstraint(
                condition=Q(outcome=Outcome.DEFER)
                | Q(score__isnull=False, threshold__isnull=False, score__lte=F("threshold")),
                name="accept_only_at_or_below_the_threshold",
            ),
            models.CheckConstraint(
                condition=Q(drawn_share__isnull=True) | Q(drawn_share__gt=0, drawn_share__lt=1),
                name="drawn_share_is_a_share",
            ),
        ]
        # Holds all that a week's totals need: they are counted without reading a row.
        indexes: ClassVar = [
            models.Index(fields=["policy", "decided_at", "outcome"], name="decision_totals"),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} {self.case}"


class ShadowDecision(SiteRow, AppendOnly):
    """What a version in shadow would have said beside a Decision; it decides nothing."""

    WAY_TO_SITE = "policy__site"

    decision = models.OneToOneField(Decision, on_delete=models.CASCADE, related_name="shadow")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="shadow_decisions")
    outcome = models.CharField(max_length=6, choices=Outcome)
    label = models.CharField(max_length=80, blank=True)
    score = models.FloatField(null=True)
    reasons = models.JSONField(default=list, help_text="Codes; triage.reasons has the words.")

    def __str__(self) -> str:
        return f"{self.policy} would {self.outcome} {self.decision.case}"
