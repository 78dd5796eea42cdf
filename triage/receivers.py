"""What triage does when inference announces something."""

from typing import Any
from uuid import UUID

from django.dispatch import receiver

from inference.models import Run
from inference.signals import probe_ended, run_finished, run_progressed
from triage import events
from triage.models import Case, Site
from triage.services.decisions import decide
from triage.services.trials import go_on_after


@receiver(run_finished)
def decide_case(run_id: UUID, **_: Any) -> None:
    decide(run_id=run_id)
    go_on_after(run_id=run_id)


@receiver(run_progressed)
def show_progress(run_id: UUID, **_: Any) -> None:
    runs = Run.objects.filter(pk=run_id, trial=False)
    case = Case.objects.filter(observation__runs__in=runs).only("id", "site_id").first()
    if case:
        events.announce(case.site_id, "case", case.id)


@receiver(probe_ended)
def show_health(domain: str, **_: Any) -> None:
    for site_id in Site.objects.filter(domain=domain).values_list("pk", flat=True):
        events.announce(site_id, "ensemble")
