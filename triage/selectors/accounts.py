"""The accounting identity: every observation that came in is somewhere, once."""

from dataclasses import dataclass

from django.db.models import Count

from inference.models import Observation
from triage.choices import CaseStatus


@dataclass(frozen=True)
class Accounts:
    """Counts over all sites; `in_state` has every CaseStatus."""

    observations: int
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
            self.observations == sum(self.in_state.values())
            and not self.decided_twice
            and self.undecided == self.in_flight
        )


def accounts() -> Accounts:
    """One statement, so that a worker that decides meanwhile does not unbalance the books."""
    rows = list(
        Observation.objects.order_by()
        .values_list("case__status")
        .annotate(
            seen=Count("pk", distinct=True),
            decided=Count("case__decisions__case", distinct=True),
            decisions=Count("case__decisions"),
        )
    )
    in_state = dict.fromkeys(CaseStatus.values, 0)
    in_state |= {status: seen for status, seen, _decided, _decisions in rows if status}
    return Accounts(
        observations=sum(row[1] for row in rows),
        in_state=in_state,
        decided_twice=sum(row[3] - row[2] for row in rows),
        undecided=sum(row[1] - row[2] for row in rows if row[0]),
    )
