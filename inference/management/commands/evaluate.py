"""The shipped ensemble and its scores over a labelled folder, as JSON and as a page."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from PIL.Image import Image

from inference.backends.embedder import embed
from inference.backends.errors import BackendError
from inference.backends.registry import MembersError, load_backend
from inference.ensemble import members_of
from inference.evaluation.asking import (
    AskedCase,
    Member,
    NoveltyOf,
    ask_all,
    seconds_per_case,
)
from inference.evaluation.folder import NORMAL, EvaluationError, read_folder, sides_of
from inference.evaluation.judging import PROBABILITY_OF, judge
from inference.evaluation.page import render
from inference.evaluation.summary import summarise
from inference.novelty import Reference, load_reference, look
from inference.pipeline.domains import Domain, domain_ids, load_domain
from inference.shipped import starting_calibration
from inference.uq.answers import MemberAnswer
from inference.uq.ensemble import Calibration


class Command(BaseCommand):
    help = "Run the ensemble of a domain over labelled pictures and clips, report how well it did."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--domain", choices=domain_ids(), required=True)
        parser.add_argument(
            "--data", type=Path, required=True, help="folder with labels.csv (file, label)"
        )
        parser.add_argument(
            "--out", type=Path, required=True, help="folder for evaluation.json and .html"
        )
        parser.add_argument("--json", action="store_true", help="print the JSON, and nothing else")

    def handle(self, *, domain: str, data: Path, out: Path, json: bool, **_: object) -> None:
        try:
            summary = evaluate(load_domain(domain), data, out)
        except (EvaluationError, MembersError, BackendError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_as_json(summary) if json else _in_words(summary, out))


def evaluate(domain: Domain, data: Path, out: Path) -> dict[str, Any]:
    """Ask, judge, write the JSON and the page into `out`; returns the JSON's content.

    Raises EvaluationError, MembersError, BackendError or OSError.
    """
    folder = read_folder(data, domain)
    _make(out)
    members = _load_members(domain)
    calibration = _calibration(domain, members)
    reference = _reference(domain)
    judge_them = partial(
        judge,
        members=tuple(members),
        calibration=calibration,
        embed=embed,
        sides=sides_of(domain) if folder.by_side else None,
        novel_above=reference.threshold if reference else None,
    )

    def finish(answers: Mapping[str, MemberAnswer]) -> None:
        judge_them([AskedCase(NORMAL, answers, frozenset(answers), readable=True)])

    seconds = seconds_per_case(folder.files, members, domain, finish)
    novelty_of = _novelty_of(reference) if reference else None
    judged = judge_them(ask_all(folder.files, members, domain, tell=_tell, novelty_of=novelty_of))
    summary = summarise(judged, seconds)
    (out / "evaluation.json").write_text(_as_json(summary) + "\n", encoding="utf-8")
    (out / "evaluation.html").write_text(render(domain, judged, summary), encoding="utf-8")
    return summary


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder} cannot be made: name another --out folder.") from error


def _load_members(domain: Domain) -> dict[str, Member]:
    specs = members_of(domain.id)
    if len(specs) < 2:
        raise EvaluationError(
            f"{len(specs)} members are configured for {domain.id}: name two or more in the file "
            "that ALARM_MEMBERS points to."
        )
    _tell(f"loading {', '.join(spec.name for spec in specs)}")
    return {spec.name: Member(load_backend(spec), spec.frames) for spec in specs}


def _calibration(domain: Domain, members: Mapping[str, Member]) -> Calibration | None:
    """The shipped one, if it is of these members."""
    stored = starting_calibration(domain.id)
    if stored is None:
        return None
    calibration = Calibration.from_dict(stored)
    return calibration if set(calibration.members_) == set(members) else None


def _reference(domain: Domain) -> Reference | None:
    try:
        return load_reference(domain.id)
    except ValueError as error:
        raise EvaluationError(f"the reference of {domain.id} cannot be read: {error}") from error


def _novelty_of(reference: Reference) -> NoveltyOf:
    def novelty_of(pictures: Sequence[Image]) -> float:
        try:
            return reference.novelty(look(pictures))
        except ValueError as error:
            raise EvaluationError(f"novelty cannot be measured: {error}") from error

    return novelty_of


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress, kept off standard output


def _as_json(summary: Mapping[str, Any]) -> str:
    return json.dumps(summary, indent=2, allow_nan=False)


def _in_words(summary: Mapping[str, Any], out: Path) -> str:
    kept, balanced = summary["kept_accuracy"][PROBABILITY_OF], summary["balanced_accuracy"]
    return (
        f"{summary['n']} cases: accuracy {summary['accuracy']:.1%}, "
        + ("" if balanced is None else f"balanced {balanced:.1%}, ")
        + f"{kept['20']:.1%} with 20 % deferred; {summary['seconds_per_case']:.2f} s a case.\n"
        f"{out / 'evaluation.html'}"
    )
