"""Benchmarks take too long for the tests, but not to say what they measure."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

ROOM = settings.BASE_DIR / "benchmarks"
PARTS = {"__init__", "configured", "ground"}
NAMES = sorted({path.stem for path in ROOM.glob("*.py")} - PARTS)


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_started_and_says_what_it_measures(name: str) -> None:
    theirs = {key: one for key, one in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"],
        cwd=settings.BASE_DIR,
        env=theirs,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
