"""The accounting identity: every observation that came in is somewhere, once."""

from dataclasses import dataclass

from django.db.models import Count

from inference.models import Observation
from triage.choices import CaseStatus
from triage.models import Case, Decision


@dataclass(frozen=True)
class Accounts:
    """Counts over all sites; `in_state` has every CaseStatus."""

    observations: int
    cases: int
    in_state: dict[str, int]
    decided_twice: int
    undecided: int

    @property
    def in_flight(self) -> int:
        return self.in_state[CaseStatus.OPEN]

    @property
    def balanced(self) -> bool:
        """ingested = in flight + accepted + audit + deferred + in review + resolved, once each."""
        return (
            self.observations == self.cases == sum(self.in_state.values())
            and not self.decided_twice
            and self.undecided == self.in_flight
        )


def accounts() -> Accounts:
    found = dict(Case.objects.order_by().values_list("status").annotate(n=Count("pk")))
    twice = Decision.objects.values("case").annotate(n=Count("pk")).filter(n__gt=1)
    return Accounts(
        observations=Observation.objects.count(),
        cases=Case.objects.count(),
        in_state={status: found.get(status, 0) for status in CaseStatus.values},
        decided_twice=twice.count(),
        undecided=Case.objects.filter(decisions=None).count(),
    )
