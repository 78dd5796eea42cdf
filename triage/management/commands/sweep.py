"""The broom: finds in the rows what messages, workers or processes have lost."""

import logging
import random
import time
from argparse import ArgumentParser
from collections.abc import Callable

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from inference.services.observations import forget_orphans
from inference.services.probes import ask_those_due, give_up_unheard
from inference.services.sweep import each, sweep_runs
from triage.models import Site
from triage.services.asking import ask_overdue, call_where_nobody_answers
from triage.services.calibration import refit_when_due
from triage.services.decisions import decide_overdue
from triage.services.delivery import hint_due
from triage.services.erasing import finish_erasures, retain
from triage.services.guard import watch_lately
from triage.services.idempotency import forget_keys
from triage.services.members import served_domains
from triage.services.monitoring import check_due
from triage.services.queue import end_expired_leases
from triage.services.trials import advance_all

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Every few seconds: re-send lost jobs, end overdue runs, decide, end expired leases."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one pass instead of a loop")
        parser.add_argument("--every", type=float, default=10.0, help="seconds between passes")

    def handle(self, *, once: bool, every: float, **_: object) -> None:
        while True:
            try:
                if any((done := sweep()).values()):
                    log.info("swept: %s", done)
            except Exception as error:
                if once:
                    raise
                log.warning("this pass broke off, the next one follows: %s", error)
            if once:
                return
            close_old_connections()
            time.sleep(every)


def sweep() -> dict[str, int]:
    """One pass; returns how much of each was found.

    Raises:
        ExceptionGroup: what broke. No step holds up the others: all were tried.
    """
    done: dict[str, int] = {}
    broken = []
    for step in STEPS:
        try:
            done |= step()
        except Exception as error:
            log.exception("a step of the sweep broke off")
            broken.append(error)
    if broken:
        words = "; ".join(map(str, broken))
        raise ExceptionGroup(words, broken)
    return done


def _orphans() -> int:
    """A folder in 256 at each pass: all within hours, however many photos there are."""
    return forget_orphans(f"{random.randrange(256):02x}")  # noqa: S311


def _refitted() -> int:
    return each(Site.objects.all(), lambda site: refit_when_due(site=site, domain=site.domain))


STEPS: tuple[Callable[[], dict[str, int]], ...] = (
    lambda: sweep_runs(),
    lambda: {"decided": decide_overdue()},
    lambda: {"guarded": watch_lately()},
    lambda: {"leases_ended": end_expired_leases()},
    lambda: {"asked": ask_overdue()},
    lambda: {"called": call_where_nobody_answers()},
    lambda: {"erased": retain()},
    lambda: {"files_gone": finish_erasures()},
    lambda: {"orphans": _orphans()},
    lambda: {"keys_forgotten": forget_keys()},
    lambda: {"tried": advance_all()},
    lambda: {"probes_given_up": give_up_unheard()},
    lambda: {"probed": ask_those_due(domains=served_domains())},
    lambda: {"refitted": _refitted()},
    lambda: {"checked": check_due()},
    lambda: {"told": hint_due()},
)
