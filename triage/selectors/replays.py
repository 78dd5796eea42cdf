"""What a policy's replay may say: a case that still waits for somebody's own answer is no hint."""

from typing import Any

from triage.choices import SETTLED
from triage.models import Case, Policy


def shown_replay(policy: Policy) -> dict[str, Any]:
    """The stored replay; the label of a case that is not settled now is "" in its flips."""
    flips = policy.replay.get("flips")
    if not flips:
        return dict(policy.replay)
    told = Case.objects.of(policy.site).filter(
        pk__in=[one["case"] for one in flips], status__in=SETTLED
    )
    settled = {str(pk) for pk in told.values_list("pk", flat=True)}
    hidden = [one if one["case"] in settled else {**one, "label": ""} for one in flips]
    return {**policy.replay, "flips": hidden}
