"""Evidence that tests of numbers, charts and cards share."""

from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_limits

from inference.training import evidence
from inference.training.course import Course
from inference.training.evidence import Evidence, gather
from tests.evaluation.drawn import embed
from tests.training.answered import MEMBERS, Slips, answered_course

SLIPS = Slips(
    labels={
        **{(name, 4): "pet" for name in MEMBERS},  # truly a person: as normal
        **{(name, 7): "person" for name in MEMBERS},  # truly a fall
        ("lite1", 8): "empty scene",  # truly fire or smoke, and so say the others
    },
    reflected={("lite0", 7): "fall", ("lite1", 8): "pet", ("lite1", 10): "person"},
    broken=frozenset({("lite2", 13)}),
    reworded={
        ("lite0", 9): {"description": "It is as it is, and it is as it is."},
        ("lite1", 9): {"reasoning": "There is nothing to add."},
    },
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the processes of a training; on a busy machine threads wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def home_course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """16 pictures of homes, judged by side; see SLIPS."""
    return answered_course(tmp_path_factory.mktemp("home"), "home", SLIPS)


@pytest.fixture(scope="session")
def home_evidence(home_course: Course) -> Evidence:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evidence, "embed", embed)
        return gather(home_course, home_course.albums[0])


@pytest.fixture(scope="session")
def wound_evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """16 pictures of wounds, judged by label, of which all members get one wrong."""
    slips = Slips(labels={(name, 7): "Cut" for name in MEMBERS})
    course = answered_course(tmp_path_factory.mktemp("wound"), "wound", slips)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evidence, "embed", embed)
        return gather(course, course.albums[0])
