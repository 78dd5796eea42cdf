"""A clip's frames asked about one by one against all in one prompt, on videos held out.

    python -m benchmarks.frames --data ../shared/data/home [--folds 5] [--videos 24] [--frames 4]

After `python -m inference.training ... --folds 5` with both domains' folders as `wound` and `home`
beside each other: the checkpoints of each fold look at frames of videos that they never saw. What
is judged is the side, normal or abnormal, that most members are on; the middle frame alone is the
baseline. Without the checkpoints it says so.
"""

from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from inference.backends.huggingface import HuggingFaceBackend
from inference.backends.registry import FrameMode, MemberSpec
from inference.pipeline.run import run_cases
from inference.training.__main__ import make_settings, read_arguments
from inference.training.albums import Album
from inference.training.course import Course, Pupil
from inference.training.settings import OPTIONS

Video = tuple[int, list[int]]
"""The fold that holds a video out, and its rows in the album."""


def videos(album: Album, folds: int, frames: int) -> Iterator[Video]:
    """Videos with at least so many frames of one label, the frames spread evenly."""
    names = np.array([one.video for one in album.pictures], dtype=object)
    for name in sorted(set(names.tolist()) - {""}):
        rows = np.flatnonzero(names == name)
        if len(rows) >= frames and len(set(album.labels[rows].tolist())) == 1:
            spread = rows[np.linspace(0, len(rows) - 1, frames).round().astype(int)]
            yield int(album.fold_of[rows[0]]), spread.tolist()


def sides(
    course: Course, fold: int, shown: list[list[Image.Image]], mode: FrameMode
) -> list[bool | None]:
    """For each video: is the side of most members abnormal? None where nobody answers."""
    domain, votes = course.album("home").domain, [Counter[bool]() for _ in shown]
    abnormal = {label.id: not label.normal for label in domain.labels}
    for name in course.settings.members:
        folder = Pupil(course, name, fold).folder
        if not (folder / "done").exists():
            raise SystemExit(f"{folder} is not there: train with --folds first, same folders.")
        backend = HuggingFaceBackend(MemberSpec(name, model=str(folder), options=OPTIONS))
        seeds = [0] * len(shown)
        told = run_cases(backend, domain, shown, seeds=seeds, frames=mode, deadline_s=3600.0)
        for vote, traces in zip(votes, told, strict=True):
            if isinstance(traces, tuple) and traces[1].valid:
                vote[abnormal[str(traces[1].fields["label"])]] += 1
    return [vote.most_common(1)[0][0] if vote else None for vote in votes]


def main(arguments: list[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the home domain's folder")
    parser.add_argument("--wounds", type=Path, help="the wound domain's; default: beside it")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--frames", type=int, default=4)
    given = parser.parse_args(arguments)
    wounds = given.wounds or given.data.parent / "wounds"
    data = ["--data", f"wound={wounds}", f"home={given.data}", "--folds", str(given.folds)]
    course = Course(make_settings(read_arguments(data)))
    album = course.album("home")
    found = list(videos(album, given.folds, given.frames))
    order = np.random.default_rng(0).permutation(len(found))[: given.videos]
    chosen = [found[at] for at in np.sort(order)]
    normal = [label.normal for label in album.domain.labels]
    right: dict[str, list[bool]] = {"middle frame": [], "each": [], "together": []}
    for fold in sorted({fold for fold, _ in chosen}):
        rows = [one for at, one in chosen if at == fold]
        shown = [[album.pictures[row].image() for row in one] for one in rows]
        truth = [not normal[album.labels[one[0]]] for one in rows]
        middle = [[one[len(one) // 2]] for one in shown]
        for name, pictures, mode in (
            ("middle frame", middle, FrameMode.EACH),
            ("each", shown, FrameMode.EACH),
            ("together", shown, FrameMode.TOGETHER),
        ):
            said = sides(course, fold, pictures, mode)
            right[name] += [one == other for one, other in zip(said, truth, strict=True)]
    print(f"{len(chosen)} of {len(found)} videos held out, {given.frames} frames each")
    for name, rights in right.items():
        print(f"{name:>13}: right about {sum(rights)} of {len(rights)} ({np.mean(rights):.2f})")


if __name__ == "__main__":
    main()
