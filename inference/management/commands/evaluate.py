"""An ensemble and its scores over a labelled folder, or as recorded, as JSON and as a page."""

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
from inference.ensemble import file_members
from inference.evaluation.asking import (
    AskedCase,
    Member,
    NoveltyOf,
    ask_all,
    seconds_per_case,
)
from inference.evaluation.folder import (
    NORMAL,
    EvaluationError,
    LabelSet,
    label_set_of,
    read_folder,
    sides_of,
)
from inference.evaluation.judging import AGGREGATOR, PROBABILITY_OF, Judged, judge
from inference.evaluation.page import render
from inference.evaluation.recorded import read_recorded
from inference.evaluation.replay import labelled, replay, study_of
from inference.evaluation.summary import summarise
from inference.novelty import Reference, load_reference, look
from inference.pipeline.domains import Domain, domain_ids, load_domain
from inference.shipped import starting_calibration
from inference.uq.answers import MemberAnswer
from inference.uq.ensemble import Calibration
from inference.uq.promotion import VOTE

AT_FIRST = (
    "The vote decides at first: where a place has labels of its own, a learned aggregator may show "
    "that it is better."
)


class Command(BaseCommand):
    help = (
        "Run the ensemble of a domain over labelled pictures and clips, or replay recorded "
        "answers, and report how well it did."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--domain", choices=domain_ids())
        parser.add_argument("--data", type=Path, help="folder with labels.csv (file, label)")
        parser.add_argument(
            "--replay", type=Path, help="recorded answers instead, a JSON object a line"
        )
        parser.add_argument(
            "--test",
            type=Path,
            help="judge on these recorded answers, having learned from --replay",
        )
        parser.add_argument(
            "--out", type=Path, required=True, help="folder for evaluation.json and .html"
        )
        parser.add_argument("--json", action="store_true", help="print the JSON, and nothing else")

    def handle(
        self,
        *,
        domain: str | None,
        data: Path | None,
        replay: Path | None,
        test: Path | None,
        out: Path,
        json: bool,
        **_: object,
    ) -> None:
        try:
            if replay and not (data or domain):
                summary = evaluate_recorded(replay, test, out)
            elif data and domain and not (replay or test):
                summary = evaluate(load_domain(domain), data, out)
            else:
                raise CommandError(
                    "Say --domain and --data for pictures, or --replay, perhaps with --test, for "
                    "recorded answers."
                )
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
    cases = ask_all(folder.files, members, domain, tell=_tell, novelty_of=novelty_of)
    judged = judge_them(cases)
    summary = summarise(judged, seconds) | {"aggregator": {"chosen": VOTE, "why": AT_FIRST}}
    known = labelled(cases, tuple(members), embed, sides_of(domain) if folder.by_side else None)
    _write(out, label_set_of(domain), judged, summary, study_of(known, cases, _tell))
    return summary


def evaluate_recorded(train: Path, test: Path | None, out: Path) -> dict[str, Any]:
    """Judge recorded answers, write the JSON and the page into `out`; returns the JSON's content.

    Raises EvaluationError, BackendError or OSError.
    """
    recorded = [read_recorded(path) for path in (train, test) if path]
    _make(out)
    labels, judged, summary, study = replay(
        recorded[0], recorded[1] if test else None, embed, tell=_tell
    )
    _write(out, labels, judged, summary, study)
    return summary


def _write(
    out: Path,
    labels: LabelSet,
    judged: Judged,
    summary: dict[str, Any],
    study: dict[str, Any] | None,
) -> None:
    summary["study"] = study
    (out / "evaluation.json").write_text(_as_json(summary) + "\n", encoding="utf-8")
    page = render(labels, judged, summary, study)
    (out / "evaluation.html").write_text(page, encoding="utf-8")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"{folder} cannot be made: name another --out folder.") from error


def _load_members(domain: Domain) -> dict[str, Member]:
    specs = [spec for spec in file_members() if domain.id in spec.domains]
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
    kept = summary["kept_accuracy"]
    kept, balanced = kept.get(AGGREGATOR, kept[PROBABILITY_OF]), summary["balanced_accuracy"]
    return (
        f"{summary['n']} cases: accuracy {summary['accuracy']:.1%}, "
        + ("" if balanced is None else f"balanced {balanced:.1%}, ")
        + f"{kept['20']:.1%} with 20 % deferred; {summary['seconds_per_case']:.2g} s a case.\n"
        f"{summary['aggregator']['why']}\n"
        f"{out / 'evaluation.html'}"
    )
