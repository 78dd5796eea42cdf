"""What workers are told to do."""

from celery import shared_task

from inference.services import work


@shared_task
def execute_member(job_id: int) -> None:
    work.execute_job(job_id=job_id)
