"""What a worker is told to do for triage."""

from celery import shared_task

from triage.models import Site
from triage.services import aggregators, calibration, learning


@shared_task
def refit_when_due(site_id: int, domain: str) -> None:
    site = Site.objects.filter(pk=site_id).first()
    if site:
        calibration.refit_when_due(site=site, domain=domain)


@shared_task
def end_learning_where_earned(site_id: int, domain: str) -> None:
    site = Site.objects.filter(pk=site_id).first()
    if site:
        learning.end_where_earned(site=site, domain=domain)


@shared_task
def withdraw_where_lost(site_id: int, domain: str) -> None:
    site = Site.objects.filter(pk=site_id).first()
    if site:
        aggregators.withdraw_where_lost(site=site, domain=domain)
