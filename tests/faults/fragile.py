"""A worker whose model breaks once, for the test beside this file.

    BREAKS=lost|hangs MARK=FILE celery -A tests.faults.fragile worker --pool=solo -Q member.one

The first process says in MARK that it was asked, and breaks; the next one answers.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import django

django.setup()
from alarm_site.celery import app as app  # noqa: E402
from inference.backends.base import Generation, OnText, Request  # noqa: E402
from inference.backends.scripted import ScriptedBackend  # noqa: E402
from tests.factories import vector  # noqa: E402

patch("inference.services.work.embed", lambda texts: [vector(text) for text in texts]).start()
for where in ("inference.services.looking", "triage.selectors.familiarity"):
    patch(f"{where}.load_reference", lambda _domain: None).start()


class Fragile(ScriptedBackend):
    def generate(
        self, requests: Sequence[Request], on_text: OnText | None = None
    ) -> list[Generation]:
        mark = Path(os.environ["MARK"])
        if not mark.exists():
            mark.touch()
            if os.environ["BREAKS"] == "lost":
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            time.sleep(600)
        return super().generate(requests, on_text)
