"""The calibration that ships with the members: what was measured with them, out of fold.

Beside the members lie, for each domain they were trained for,

    <domain>-answers.json       what each member answered to the photos that it had not seen
    <domain>-calibration.json   the Calibration fitted on those answers (`manage.py calibrate`)
    <domain>-reference.npz      the training pictures as visual features (inference.novelty)

and eye/, the vision model that these features are of.
"""

import json
from pathlib import Path
from typing import Any

from django.conf import settings


def starting_calibration(domain_id: str) -> dict[str, Any] | None:
    """The parameters of the shipped calibration; None for a domain without one."""
    path = calibration_path(domain_id)
    return json.loads(path.read_text()) if path.is_file() else None


def answers_path(domain_id: str) -> Path:
    return Path(settings.ALARM_MEMBERS).with_name(f"{domain_id}-answers.json")


def calibration_path(domain_id: str) -> Path:
    return Path(settings.ALARM_MEMBERS).with_name(f"{domain_id}-calibration.json")


def reference_path(domain_id: str) -> Path:
    return Path(settings.ALARM_MEMBERS).with_name(f"{domain_id}-reference.npz")


def eye_path() -> Path:
    return Path(settings.ALARM_MEMBERS).with_name("eye")
