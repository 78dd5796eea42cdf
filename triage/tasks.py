"""What a worker is told to do for triage."""

from celery import shared_task

from triage.models import Ask, Case, Site
from triage.services import aggregators, calibration, learning, push


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


@shared_task
def push_ask(ask_id: int) -> None:
    ask = Ask.objects.select_related("case__site", "person").filter(pk=ask_id).first()
    if ask:
        push.push_ask(ask=ask)


@shared_task
def push_settled(case_id: str) -> None:
    case = Case.objects.select_related("site").filter(pk=case_id).first()
    if case:
        push.push_settled(case=case)
