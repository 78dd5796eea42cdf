"""What an auditor does: check the history and take it along. Both are lines of it themselves."""

from collections.abc import Iterator

from django.contrib.auth.models import AbstractBaseUser

from triage.models import Site
from triage.selectors.audit_log import Filters, exported, found_events
from triage.selectors.chains import Verification, verify
from triage.services.history import record


def verify_history(*, site: Site, actor: AbstractBaseUser) -> Verification:
    """Check every chain of the site."""
    found = verify(site)
    record(
        "history verified",
        site=site,
        actor=actor,
        events=found.events,
        found=[f"{one.kind} {one.chain}" for one in found.findings[:20]],
    )
    return found


def export_history(
    *, site: Site, actor: AbstractBaseUser, filters: Filters, as_csv: bool = False
) -> Iterator[str]:
    """The lines of an export, the oldest event first; this act itself is not among them."""
    events = found_events(site, filters).order_by("created_at", "pk")
    last = events.values_list("pk", flat=True).last()
    form = "csv" if as_csv else "jsonl"
    record("history exported", site=site, actor=actor, form=form, filters=filters.query())
    return exported(events.filter(pk__lte=last or 0), as_csv=as_csv)
