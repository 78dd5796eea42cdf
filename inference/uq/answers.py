"""What an ensemble said about a batch of cases, as arrays, and the label it votes for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from inference.uq.types import Bools, Floats, Ints, Numbers, Objects

Embed = Callable[[Sequence[str]], Numbers]


@dataclass(frozen=True)
class MemberAnswer:
    """One member's answer to one case; "" or None = missing.

    `samples`: the labels of further answers to the same question, drawn at random.
    """

    description: str = ""
    reasoning: str = ""
    label: str = ""
    reflected: str = ""
    logprob: float | None = None
    samples: tuple[str, ...] = ()


def _left_out() -> Objects:
    return np.empty(0, dtype=object)


@dataclass(frozen=True)
class Answers:
    """n cases answered by M members.

    `descriptions`, `reasonings` (n, M, d): embeddings, a missing text is a row of NaN.
    `labels`, `reflected` (n, M): str, "" or None = missing. `logprobs` (n, M) <= 0: mean
    log-probability a token of the answer, NaN = unknown. `description_texts`, `reasoning_texts`
    (n, M): the texts themselves, "" or None = missing. `samples` (n, M, S): labels of S further
    answers. The last three may be left out: all is missing, S is 0. Raises ValueError when shapes
    disagree.
    """

    members: tuple[str, ...]
    descriptions: Numbers
    reasonings: Numbers
    labels: Objects
    reflected: Objects
    logprobs: Floats
    description_texts: Objects = field(default_factory=_left_out)
    reasoning_texts: Objects = field(default_factory=_left_out)
    samples: Objects = field(default_factory=_left_out)

    def __post_init__(self) -> None:
        if len(set(self.members)) < max(2, len(self.members)):
            raise ValueError(f"an ensemble needs two or more different members: {self.members}")
        shape = (len(self.labels), len(self.members))
        self._fill("description_texts", shape)
        self._fill("reasoning_texts", shape)
        self._fill("samples", (*shape, 0))
        for name in ("labels", "reflected", "description_texts", "reasoning_texts", "samples"):
            values = np.asarray(getattr(self, name), dtype=object)
            object.__setattr__(self, name, np.where(values == None, "", values))  # noqa: E711
        object.__setattr__(self, "logprobs", np.asarray(self.logprobs, dtype=np.float64))
        self._check_shapes(shape)

    @classmethod
    def collect(
        cls,
        members: Sequence[str],
        cases: Sequence[Mapping[str, MemberAnswer]],
        embed: Embed,
    ) -> Self:
        """Arrays from answers by member name; a member absent from a case is missing there.

        `embed` turns texts into rows (len, d), "" into a row of NaN; each text is embedded once.
        """
        if not cases:
            raise ValueError("there are no cases to collect")
        nothing = MemberAnswer()
        rows = [[case.get(name, nothing) for name in members] for case in cases]
        texts = sorted({t for row in rows for a in row for t in (a.description, a.reasoning)})
        place = {text: index for index, text in enumerate(texts)}
        vectors = np.asarray(embed(texts))
        most = max(len(a.samples) for row in rows for a in row)
        return cls(
            members=tuple(members),
            descriptions=vectors[[[place[a.description] for a in row] for row in rows]],
            reasonings=vectors[[[place[a.reasoning] for a in row] for row in rows]],
            labels=_objects([[a.label for a in row] for row in rows]),
            reflected=_objects([[a.reflected for a in row] for row in rows]),
            logprobs=np.array(
                [[np.nan if a.logprob is None else a.logprob for a in row] for row in rows],
                dtype=np.float64,
            ),
            description_texts=_objects([[a.description for a in row] for row in rows]),
            reasoning_texts=_objects([[a.reasoning for a in row] for row in rows]),
            samples=_objects([[_padded(a.samples, most) for a in row] for row in rows]),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Ints | Bools) -> "Answers":
        """The cases at `rows` (indices or mask)."""
        return self._each(lambda array: array[rows])

    def ordered(self, members: Sequence[str]) -> "Answers":
        """The same answers with the members in this order; ValueError for any other ensemble."""
        if tuple(members) == self.members:
            return self
        if set(members) != set(self.members):
            raise ValueError(f"answers of {self.members} where {tuple(members)} were expected")
        return self.only(members)

    def only(self, members: Sequence[str]) -> "Answers":
        """What these members said, in this order."""
        order = [self.members.index(name) for name in members]
        return self._each(lambda array: array[:, order], members)

    def renamed(self, names: Mapping[str, str]) -> "Answers":
        """The same answers with other names for the labels; one without a new name is missing."""
        again: dict[str, Any] = {}
        for kind in ("labels", "reflected", "samples"):
            array = getattr(self, kind)
            flat = [names.get(label, "") for label in array.ravel()]
            again[kind] = np.array(flat, dtype=object).reshape(array.shape)
        return replace(self, **again)

    def _each(
        self, change: Callable[[Any], Any], members: Sequence[str] | None = None
    ) -> "Answers":
        arrays = {one.name: change(getattr(self, one.name)) for one in fields(self)[1:]}
        return Answers(tuple(self.members if members is None else members), **arrays)

    def _fill(self, name: str, shape: tuple[int, ...]) -> None:
        if np.shape(getattr(self, name)) == (0,):
            object.__setattr__(self, name, np.full(shape, "", dtype=object))

    def _check_shapes(self, shape: tuple[int, int]) -> None:
        for one in fields(self)[1:]:
            found = getattr(self, one.name).shape
            deep = one.name in ("descriptions", "reasonings", "samples")
            if found[:2] != shape or len(found) != 2 + deep:
                raise ValueError(f"{one.name} has shape {found}, expected {shape} (cases, members)")


def _objects(rows: Sequence[Sequence[object]]) -> Objects:
    return np.array(rows, dtype=object)


def _padded(samples: Sequence[str], length: int) -> list[str]:
    return [*samples, *[""] * (length - len(samples))]


def label_set(*arrays: Objects) -> tuple[str, ...]:
    """Every label that occurs in the arrays, sorted; missing ones are none."""
    return tuple(sorted({str(label) for array in arrays for label in array.ravel() if label}))


def encode(labels: Objects, classes: Sequence[str]) -> Ints:
    """Integer codes of the labels' shape: the place in `classes`, -1 = missing.

    A label outside `classes` gets a code of its own beyond them: it is strange, not missing.
    """
    codes = {label: index for index, label in enumerate(classes)}
    flat = [codes.setdefault(str(x), len(codes)) if x else -1 for x in labels.ravel()]
    return np.array(flat, dtype=np.int64).reshape(labels.shape)


def vote(answers: Answers) -> tuple[Objects, Floats]:
    """The ensemble's labels (n,) and their shares (n,) of the votes cast.

    Majority; a tie goes to the voters with the higher mean log-probability, then to the label first
    in the alphabet. Without any vote: label "", share 0.
    """
    chosen = [_winner(*row) for row in zip(answers.labels, answers.logprobs, strict=True)]
    labels = np.array([label for label, _ in chosen], dtype=object)
    return labels, np.array([share for _, share in chosen], dtype=np.float64)


def _winner(labels: Objects, logprobs: Floats) -> tuple[str, float]:
    votes: dict[str, list[float]] = {}
    for label, logprob in zip(labels, logprobs, strict=True):
        if label:
            votes.setdefault(str(label), []).append(logprob)
    if not votes:
        return "", 0.0
    best = min(votes, key=lambda label: (-len(votes[label]), -_confidence(votes[label]), label))
    return best, len(votes[best]) / sum(map(len, votes.values()))


def _confidence(logprobs: Sequence[float]) -> float:
    known = [value for value in logprobs if np.isfinite(value)]
    return float(np.mean(known)) if known else -np.inf
