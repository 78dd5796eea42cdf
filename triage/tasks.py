"""What a worker is told to do for triage."""

from celery import shared_task

from inference.services.sweep import each
from triage.models import Ask, Case, Site
from triage.services import aggregators, calibration, delivery, guard, learning, push


@shared_task
def learn_from_answer(site_id: int, domain: str) -> None:
    """What an answer may have made due: a roll back, a withdrawal, trust in a camera, a refit."""
    site = Site.objects.filter(pk=site_id).first()
    if site:
        due = (
            guard.watch_published,
            aggregators.withdraw_where_lost,
            learning.end_where_earned,
            calibration.refit_when_due,
        )
        each(due, lambda do: do(site=site, domain=domain))


@shared_task
def push_ask(ask_id: int) -> None:
    ask = Ask.objects.select_related("case__site", "person").filter(pk=ask_id).first()
    if ask:
        push.push_ask(ask=ask)


@shared_task
def push_call(case_id: str) -> None:
    case = Case.objects.select_related("site").filter(pk=case_id).first()
    if case:
        push.push_call(case=case)


@shared_task
def push_settled(case_id: str) -> None:
    case = Case.objects.select_related("site").filter(pk=case_id).first()
    if case:
        push.push_settled(case=case)


@shared_task
def deliver_news(delivery_id: int) -> None:
    delivery.deliver(delivery_id=delivery_id)
