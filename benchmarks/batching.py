"""Waiting cases asked about in batches against one by one, and one lone case.

    python -m benchmarks.batching [--cases 100] [--batch 16] [--domain wound]

The shipped members of a domain look at drawings, through all three stages and with the embeddings
of what they say; models are loaded before, and nothing is stored. One process, and as many torch
threads as the members' options say: two where there are two cores. Both ways take turns, a batch of
cases each, so that what else the machine does meanwhile hits both.
"""

import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import NamedTuple

from PIL import Image

from inference.backends import embedder
from inference.backends.base import Backend
from inference.backends.errors import BackendError
from inference.backends.registry import FrameMode, load_backend, read_members
from inference.drawings import draw_room, draw_wound
from inference.pipeline.domains import Domain, domain_ids, load_domain
from inference.pipeline.run import Traces, run_cases

Member = tuple[Backend, FrameMode]
Case = tuple[Image.Image, ...]
FIRST_SEED, LONE_CASES, DEADLINE_S = 900_000, 5, 3600.0
DRAW: dict[str, Callable[[int, str], Image.Image]] = {"wound": draw_wound, "home": draw_room}


def drawn(domain: Domain, count: int) -> list[Case]:
    labels = domain.label_ids
    return [
        (DRAW[domain.id](FIRST_SEED + number, labels[number % len(labels)]),)
        for number in range(count)
    ]


def ask(members: Sequence[Member], domain: Domain, cases: Sequence[Case]) -> list[Traces]:
    """All members about these cases, together; their texts embedded."""
    said: list[Traces] = []
    for backend, frames in members:
        outcomes = run_cases(
            backend, domain, cases, seeds=[0] * len(cases), frames=frames, deadline_s=DEADLINE_S
        )
        said += [_answered(outcome) for outcome in outcomes]
    embedder.embed(
        [
            text
            for comprehension, analysis, _ in said
            for text in (
                comprehension.fields.get("description", ""),
                analysis.fields.get("reasoning", ""),
            )
        ]
    )
    return said


def _answered(outcome: Traces | BackendError) -> Traces:
    if isinstance(outcome, BackendError):
        raise outcome
    return outcome


class Took(NamedTuple):
    """Seconds by the clock, and of the processor: on a busy machine only those say something."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Took:
    """How long it takes; no text's embedding is known from before."""
    embedder._cached.clear()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def mean(times: Sequence[Took], cases: int) -> Took:
    """Seconds a case."""
    return Took(sum(one.wall for one in times) / cases, sum(one.cpu for one in times) / cases)


def compare(
    members: Sequence[Member], domain: Domain, cases: Sequence[Case], batch: int
) -> tuple[Took, Took]:
    """Seconds a case, (one by one, in batches)."""
    alone, together = [], []
    for start in range(0, len(cases), batch):
        some = cases[start : start + batch]
        alone += [timed(partial(ask, members, domain, [case])) for case in some]
        together.append(timed(partial(ask, members, domain, some)))
    return mean(alone, len(cases)), mean(together, len(cases))


def load(domain: Domain) -> list[Member]:
    specs = [spec for spec in read_members() if domain.id in spec.domains]
    return [(load_backend(spec), spec.frames) for spec in specs]


def threads() -> int:
    import torch

    return torch.get_num_threads()


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.batching")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16, help="cases asked about together")
    parser.add_argument("--domain", choices=domain_ids(), default="wound")
    options = parser.parse_args()
    domain = load_domain(options.domain)
    members, cases = load(domain), drawn(domain, max(options.cases, LONE_CASES))
    if not members:
        parser.error(f"no member is configured for {domain.id}")
    ask(members, domain, cases[:2])

    lone = [timed(partial(ask, members, domain, [case])) for case in cases[:LONE_CASES]]
    alone, together = compare(members, domain, cases[: options.cases], options.batch)
    rows = {
        f"a lone case, median of {LONE_CASES}": Took(
            median(one.wall for one in lone), median(one.cpu for one in lone)
        ),
        f"{options.cases} cases one by one, each": alone,
        f"{options.cases} cases in batches of {options.batch}, each": together,
    }
    print(f"{len(members)} members, three stages, one process, torch threads: {threads()}")
    print(f"  {'seconds':32}{'clock':>10}{'processor':>12}")
    for title, took in rows.items():
        print(f"  {title:32}{took.wall:10.3f}{took.cpu:12.3f}")
    wall, cpu = alone.wall / together.wall, alone.cpu / together.cpu
    print(f"  {'ratio':32}{wall:10.2f}{cpu:12.2f}")


if __name__ == "__main__":
    main()
