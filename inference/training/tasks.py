"""The tasks of a training, spread over processes: one member in one part each."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import torch
from tqdm import tqdm

from inference.training.course import Course, Pupil
from inference.training.settings import EVERYTHING, Settings

Task = tuple[str, int]
"""A member and a part."""


def train_tower(settings: Settings, task: Task) -> None:
    """A worker's first task: the vision tower of one member in one part."""
    _pupil(settings, task).tower()


def train_member(settings: Settings, task: Task) -> None:
    """A worker's second task: the checkpoint, and its answers about the photos held out."""
    pupil = _pupil(settings, task)
    pupil.checkpoint()
    if pupil.part != EVERYTHING:
        pupil.out_of_fold()


def _pupil(settings: Settings, task: Task) -> Pupil:
    torch.set_num_threads(1)
    return Pupil(Course(settings), *task)


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
