"""The tasks of a training, spread over processes."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from inference.training.course import Course, Pupil
from inference.training.settings import EVERYTHING, Settings

Task = Any
"""A member with a domain or a part, or a part alone."""


def compute_features(settings: Settings, task: tuple[str, str]) -> None:
    """What the frozen part of a member's tower makes of a domain's pictures."""
    _use_one_thread()
    name, domain_id = task
    album = Course(settings).album(domain_id)
    for gallery in (album.gallery, album.drawn_gallery):
        if len(gallery):
            gallery.maps(name)
            if name == settings.members[0]:
                gallery.measured()


def train_tower(settings: Settings, task: tuple[str, int]) -> None:
    """The vision tower of one member in one part."""
    _pupil(settings, task).tower()


def train_members(settings: Settings, part: int) -> None:
    """The checkpoints of all members in a part, and their answers about the pictures held out."""
    for name in settings.members:
        pupil = _pupil(settings, (name, part))
        pupil.checkpoint()
        if part != EVERYTHING:
            pupil.out_of_fold()


def _pupil(settings: Settings, task: tuple[str, int]) -> Pupil:
    _use_one_thread()
    return Pupil(Course(settings), *task)


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)


def run_tasks(
    settings: Settings,
    work: Callable[[Settings, Task], None],
    tasks: Iterable[Task],
    jobs: int,
    title: str,
) -> None:
    """Do tasks in `jobs` fresh processes; a failed task ends the run, finished steps stay."""
    listed = list(tasks)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = [pool.submit(work, settings, task) for task in listed]
        for done in tqdm(as_completed(waiting), total=len(listed), desc=title):
            done.result()
