"""Telling workers that there is something to do. A message is a hint: the rows are the queue."""

import logging
from collections.abc import Collection, Sequence

from celery import current_app
from celery.exceptions import OperationalError as CeleryError
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from inference import tracing
from inference.models import Member, MemberJob

EXECUTE_MEMBER = "inference.tasks.execute_member"
EXECUTE_PROBE = "inference.tasks.execute_probe"
ADDED = "members.added"
"""The queue of all members that were added in the console: workers listen to it from the start."""

MESSAGE_LIFE_S = 3600
log = logging.getLogger(__name__)


def queue_name(member: str) -> str:
    """One queue a member, so that one worker can hold one model."""
    return f"member.{member}"


def queues_of(members: Collection[str]) -> dict[str, str]:
    """Where each member's workers listen: a queue of its own, or the one of those added later."""
    added = set(Member.objects.filter(name__in=members).values_list("name", flat=True))
    return {name: ADDED if name in added else queue_name(name) for name in members}


def send(jobs: Sequence[MemberJob]) -> None:
    """Point the members' workers at their jobs, each under the id of the request it is for."""
    queues = queues_of({job.member for job in jobs}) if jobs else {}
    for job in jobs:
        with tracing.carried(job.run.trace_id):
            if not hint(EXECUTE_MEMBER, job.pk, queue=queues[job.member]):
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
