"""The accounting identity: every observation that came in is somewhere, once."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from inference.models import Observation
from triage.choices import CaseStatus
from triage.models import AuditEvent, Site


@dataclass(frozen=True)
class Accounts:
    """What came in, over all sites or at one, and where it is; `in_state` has every CaseStatus.

    decided_twice   decisions beyond the first of a case
    undecided       cases without a decision: those in flight, and no others
    """

    observations: int
    in_state: dict[str, int]
    decided_twice: int
    undecided: int

    @property
    def in_flight(self) -> int:
        return self.in_state[CaseStatus.OPEN]

    @property
    def in_all(self) -> int:
        return sum(self.in_state.values())

    @property
    def titled(self) -> list[tuple[str, int]]:
        """The states in words, in the order of a case's way."""
        return [(str(title), self.in_state[value]) for value, title in CaseStatus.choices]

    @property
    def balanced(self) -> bool:
        """ingested = in flight + accepted + audit + deferred + in review + resolved, once each."""
        return (
            self.observations == self.in_all
            and not self.decided_twice
            and self.undecided == self.in_flight
        )


def accounts() -> Accounts:
    """One statement, so that a worker that decides meanwhile does not unbalance the books."""
    rows = list(
        Observation.objects.filter(case__repeats=None)
        .order_by()
        .values_list("case__status")
        .annotate(
            seen=Count("pk", distinct=True),
            decided=Count("case__decisions__case", distinct=True),
            decisions=Count("case__decisions"),
        )
    )
    return _summed(sum(row[1] for row in rows), rows)


def accounts_of(site: Site) -> Accounts:
    """The same of one site, where what came in is what its history says was opened."""
    events = AuditEvent.objects.filter(
        site=OuterRef("pk"), verb="opened", case__repeats=None
    ).order_by()
    opened = events.values("site").annotate(n=Count("pk")).values("n")
    rows = list(
        Site.objects.filter(pk=site.pk, cases__repeats=None)
        .values_list("cases__status")
        .annotate(
            seen=Count("cases", distinct=True),
            decided=Count("cases__decisions__case", distinct=True),
            decisions=Count("cases__decisions"),
            opened=Coalesce(Subquery(opened), 0),
        )
    )
    return _summed(rows[0][4], [row[:4] for row in rows])


def _summed(observations: int, rows: Sequence[tuple[str | None, int, int, int]]) -> Accounts:
    """`rows`: state, cases in it, how many of them are decided, decisions."""
    in_state = dict.fromkeys(CaseStatus.values, 0)
    in_state |= {status: seen for status, seen, _decided, _decisions in rows if status}
    return Accounts(
        observations=observations,
        in_state=in_state,
        decided_twice=sum(row[3] - row[2] for row in rows),
        undecided=sum(row[1] - row[2] for row in rows if row[0]),
    )
