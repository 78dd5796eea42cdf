"""From recorded out-of-fold answers to the calibration that a new site starts with."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError

from inference.backends.embedder import embed
from inference.pipeline.domains import domain_ids
from inference.shipped import answers_path, calibration_path
from inference.uq.answers import Answers, MemberAnswer, vote
from inference.uq.ensemble import Calibration


class Command(BaseCommand):
    help = "Fit the shipped calibration of a domain on its members' out-of-fold answers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--domain", choices=domain_ids(), required=True)

    def handle(self, *, domain: str, **_: object) -> None:
        path = answers_path(domain)
        if not path.is_file():
            raise CommandError(f"{path} is missing: training writes it.")
        rows = json.loads(path.read_text())
        fitted = fit(rows)
        target = calibration_path(domain)
        target.write_text(json.dumps(fitted.to_dict(), allow_nan=False) + "\n")
        self.stdout.write(f"{len(rows)} cases, members {', '.join(fitted.members_)}: {target.name}")


def fit(rows: list[Mapping[str, Any]]) -> Calibration:
    """A Calibration of rows {"truth": label, "members": {name: {description, reasoning, ...}}}."""
    names = sorted({name for row in rows for name in row["members"]})
    cases = [{name: MemberAnswer(**said) for name, said in row["members"].items()} for row in rows]
    answers = Answers.collect(names, cases, embed)
    labels, _shares = vote(answers)
    truth = np.array([row["truth"] for row in rows], dtype=object)
    return Calibration().fit(answers, (labels == truth).astype(np.float64))
