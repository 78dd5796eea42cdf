"""Command line: train, judge and write the shipped members."""

import argparse
from dataclasses import replace
from pathlib import Path

from inference.training.course import Course
from inference.training.decoder import DecoderSettings
from inference.training.evidence import write_evidence
from inference.training.finetune import TowerSettings
from inference.training.member import DecoderShape
from inference.training.release import release_members
from inference.training.settings import Settings
from inference.training.tasks import run_tasks, train_member, train_tower

MEMBERS = Path(__file__).parents[1] / "members"


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command; `--quick` is for tests and tells nothing of accuracy."""
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--out", type=Path, default=MEMBERS, help="where the members go")
    parser.add_argument("--work", type=Path, default=Path(".cache/training"), help="kept steps")
    parser.add_argument("--domain", default="wound")
    parser.add_argument("--members", nargs="+", default=["lite0", "lite1", "lite2"])
    parser.add_argument("--folds", type=int, default=3, help="0: no cross-validation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--drawings", type=int, default=10, help="drawn wounds a label")
    parser.add_argument("--epochs", type=int, help="of the decoder")
    parser.add_argument("--quick", action="store_true", help="tiny settings, for tests")
    return parser.parse_args(arguments)


def make_settings(given: argparse.Namespace) -> Settings:
    """Settings of a run from its arguments."""
    settings = Settings(
        data=given.data,
        work=given.work,
        domain=given.domain,
        members=tuple(given.members),
        folds=given.folds,
        seed=given.seed,
        drawings=given.drawings,
    )
    if given.quick:
        settings = replace(
            settings,
            augmentations=1,
            shape=DecoderShape(width=32, layers=1, heads=2, inner=32),
            tower=TowerSettings(epochs=1, batch=4),
            decoder=DecoderSettings(language_steps=1, epochs=1, batch=4),
        )
    if given.epochs:
        settings = replace(settings, decoder=replace(settings.decoder, epochs=given.epochs))
    return settings


def main(arguments: list[str] | None = None) -> None:
    """Train every part of every member, judge the folds, write members, cards and evidence."""
    given = read_arguments(arguments)
    settings = make_settings(given)
    course = Course(settings)
    course.prepare()
    tasks = [(name, part) for part in settings.parts for name in settings.members]
    run_tasks(settings, train_tower, tasks, given.jobs, "towers")
    run_tasks(settings, train_member, tasks, given.jobs, "members")
    measured = write_evidence(course, given.out) if settings.folds else None
    release_members(course, given.out, measured)


if __name__ == "__main__":
    main()
