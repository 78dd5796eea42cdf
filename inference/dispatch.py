"""Telling workers that there is something to do. A message is a hint: the rows are the queue."""

import logging
from collections.abc import Iterable

from celery import current_app
from celery.exceptions import OperationalError as CeleryError
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from inference.models import MemberJob

EXECUTE_MEMBER = "inference.tasks.execute_member"
EXECUTE_PROBE = "inference.tasks.execute_probe"
MESSAGE_LIFE_S = 3600
log = logging.getLogger(__name__)


def queue_name(member: str) -> str:
    """One queue a member, so that one worker can hold one model."""
    return f"member.{member}"


def send(jobs: Iterable[MemberJob]) -> None:
    """Point the members' workers at their jobs."""
    for job in jobs:
        if not hint(EXECUTE_MEMBER, job.pk, queue=queue_name(job.member)):
            return


def hint(task: str, *args: object, queue: str) -> bool:
    """Send a message that may get lost: what it points at is found by the sweep as well.

    Returns:
        False when the broker could not be reached, which costs nothing but time.
    """
    try:
        current_app.send_task(task, args, queue=queue, expires=MESSAGE_LIFE_S)
    except (BrokerError, CeleryError, OSError, RedisError) as error:
        log.warning("broker not reached (%s); the sweep will come by", error)
        return False
    return True
