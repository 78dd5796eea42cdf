"""The end of a worker's process that no further call can work in; whoever supervises starts anew.

Nothing is given back here that a hung call may hold: its jobs' leases run out, and what it says
afterwards is refused. In a pool of processes only the one that asked ends.
"""

import faulthandler
import logging
import os
import threading
from collections.abc import Sequence

from django.conf import settings

from inference.backends.base import Backend, Generation, OnText, Request
from inference.signals import process_ends

log = logging.getLogger(__name__)
DEVICE_LOST, HUNG = 70, 75
"""Exit statuses. Of a call that hangs and holds Python's lock as well it is 1."""


def end_process(status: int, words: str) -> None:
    """Says why, and ends the process at once: no clean-up may wait for what hangs."""
    log.critical("%s; this process ends with status %d", words, status)
    if status != HUNG:
        process_ends.send_robust(sender=None)
    logging.shutdown()
    os._exit(status)


class Watched:
    """A backend of which a call that hangs ends the process.

    Past its deadline a call has ALARM_HANG_S more. Where it lets no other thread run, Python's own
    watchdog ends the process after twice that, and says where it hung; that one is a process's only
    one, so a pool of threads is not for members. Loading is not watched.
    """

    def __init__(self, name: str, backend: Backend) -> None:
        self.name, self.backend = name, backend

    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        """As the backend does. Raises BackendError."""
        deadline_s = max((one.deadline_s for one in requests), default=0.0)
        words = f"{self.name} hangs: no end {settings.ALARM_HANG_S:g} s past its deadline"
        watch = threading.Timer(deadline_s + settings.ALARM_HANG_S, end_process, args=(HUNG, words))
        watch.name, watch.daemon = "watch", True
        watch.start()
        last = deadline_s + 2 * settings.ALARM_HANG_S
        faulthandler.dump_traceback_later(last, exit=True, file=2)
        try:
            return self.backend.generate(requests, on_text)
        finally:
            watch.cancel()
            faulthandler.cancel_dump_traceback_later()
