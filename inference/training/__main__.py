"""Command line: train the members, judge them on pictures held out, and write them."""

import argparse
from dataclasses import replace
from pathlib import Path

from inference.training.course import Course
from inference.training.decoder import DecoderSettings
from inference.training.evidence import write_evidence
from inference.training.finetune import TowerSettings
from inference.training.lessons import LessonSettings
from inference.training.member import DecoderShape
from inference.training.release import release_members
from inference.training.settings import Settings
from inference.training.tasks import compute_features, run_tasks, train_members, train_tower
from inference.training.towers import SPECS
from inference.uq.novelty import FOLDS, NEAREST

MEMBERS = Path(__file__).parents[1] / "members"


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command; `--quick` is for tests and tells nothing of accuracy."""
    parser = argparse.ArgumentParser(prog="python -m inference.training", description=__doc__)
    parser.add_argument(
        "--data",
        type=domain_and_folder,
        nargs="+",
        required=True,
        metavar="[DOMAIN=]DIR",
        help="folders with labels.csv, one a domain; without a domain: wound",
    )
    parser.add_argument("--out", type=Path, default=MEMBERS, help="where the members go")
    parser.add_argument("--work", type=Path, default=Path(".cache/training"), help="kept steps")
    parser.add_argument("--members", nargs="+", default=list(SPECS), choices=list(SPECS))
    parser.add_argument("--folds", type=folds, default=0, help="0: train only, judge nothing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--drawings", type=int, default=6, help="drawings a label")
    parser.add_argument("--quick", action="store_true", help="tiny settings, for tests")
    return parser.parse_args(arguments)


def domain_and_folder(text: str) -> tuple[str, Path]:
    """`wound=photos` or `photos`, as a domain's id and a folder."""
    domain_id, equals, folder = text.partition("=")
    return (domain_id, Path(folder)) if equals else ("wound", Path(text))


def folds(text: str) -> int:
    """A number of folds: none at all, or at least two."""
    count = int(text)
    if count < 0 or count == 1:
        raise argparse.ArgumentTypeError("0 trains only; to judge, say 2 or more")
    return count


def refuse_little(course: Course) -> None:
    """Before anything long begins. Raises SystemExit for an album of too few groups."""
    for album in course.albums:
        count, least = len(set(album.groups.tolist())), max(FOLDS + NEAREST, course.settings.folds)
        if count < least:
            raise SystemExit(
                f"{album.domain.id}: its pictures are of {count} subjects or rooms that differ "
                f"(near-twins and equal `group`s count once); {least} are needed."
            )


def make_settings(given: argparse.Namespace) -> Settings:
    """Settings of a run from its arguments."""
    settings = Settings(
        data=tuple(given.data),
        work=given.work,
        members=tuple(given.members),
        folds=given.folds,
        seed=given.seed,
        drawings=given.drawings,
    )
    return quick(settings) if given.quick else settings


def quick(settings: Settings) -> Settings:
    """Just enough of everything for each step to be taken."""
    return replace(
        settings,
        augmentations=1,
        drawings=1,
        shape=DecoderShape(width=32, layers=1, heads=2, inner=32),
        tower=TowerSettings(epochs=1, batch=4),
        lessons=LessonSettings(count=8),
        decoder=DecoderSettings(language_steps=2, passes=1.0, batch=4),
    )


def main(arguments: list[str] | None = None) -> None:
    """Train every part of every member, judge the folds, write members, cards and evidence."""
    given = read_arguments(arguments)
    settings = make_settings(given)
    course, names = Course(settings), settings.members
    refuse_little(course)
    features = [(name, album.domain.id) for name in names for album in course.albums]
    run_tasks(settings, compute_features, features, given.jobs, "features")
    course.prepare()
    tasks = [(name, part) for part in settings.parts for name in names]
    run_tasks(settings, train_tower, tasks, given.jobs, "towers")
    run_tasks(settings, train_members, settings.parts, given.jobs, "members")
    measured = write_evidence(course, given.out) if settings.folds else {}
    release_members(course, given.out, measured)


if __name__ == "__main__":
    main()
