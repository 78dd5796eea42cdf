"""What workers are told to do."""

from celery import shared_task

from inference.services import probes, work


@shared_task
def execute_member(job_id: int) -> None:
    work.execute_job(job_id=job_id)


@shared_task
def execute_probe(probe_id: int) -> None:
    probes.execute_probe(probe_id=probe_id)
