"""Target texts: descriptions from pixel measurements, reasonings and reflections from evidence."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.parsing import Answer
from inference.training.measure import NAMES

FOLDER = Path(__file__).with_name("wording")
GRADES = {"sure": 0.9, "fair": 0.7, "open": 0.5, "unsure": 0.0}
"""How sure an answer sounds, and the probability of its label from which it does."""


@dataclass(frozen=True)
class Wording:
    """The words of one domain, as in wording/<domain>.toml.

    levels      attribute -> its three words, of the attributes that a description states
    reasoning   grade of sureness -> templates, any of which may be used
    events      what labels.csv may say in its column `event` -> label
    familiar    a picture less like the others than this share of them are is unfamiliar, 0 to 1
    """

    description: str
    levels: Mapping[str, Sequence[str]]
    phrases: Mapping[str, Sequence[str]]
    reasoning: Mapping[str, Sequence[str]]
    reflection: Mapping[str, str]
    events: Mapping[str, str]
    labels: Mapping[str, Mapping[str, Any]]
    familiar: float

    def finding_word(self, label: str) -> str:
        """The first word of a label's finding: where a text commits itself to a label."""
        return str(self.labels[label]["finding"]).split()[0]

    def grade_of(self, reasoning: str) -> str:
        """The grade whose first word a reasoning begins with."""
        first = {texts[0].split()[0]: grade for grade, texts in self.reasoning.items()}
        return first.get(reasoning.split()[0], "unsure")


@lru_cache
def load_wording(domain_id: str) -> Wording:
    """Raises FileNotFoundError for a domain that no words were written for."""
    with (FOLDER / f"{domain_id}.toml").open("rb") as handle:
        return Wording(**tomllib.load(handle))


def grade(chances: NDArray[np.float32], label: int) -> str:
    """How sure of `label` an answer sounds, from probabilities (labels,) that sum to one."""
    return next(name for name, least in GRADES.items() if chances[label] >= least)


def runner_up(chances: NDArray[np.float32], label: int) -> int:
    """The most likely label besides `label`."""
    others = chances.copy()
    others[label] = -1.0
    return int(others.argmax())


def answer_fields(
    wording: Wording,
    label_ids: Sequence[str],
    label: int,
    levels: Sequence[int],
    chances: NDArray[np.float32],
    rng: np.random.Generator,
) -> Answer:
    """The answer that a member is taught for one picture.

    levels   (a,) attribute levels in the order of measure.NAMES
    chances  (labels,) probabilities: how sure it sounds, and the runner-up
    rng      chooses among the templates of a grade
    """
    name, other = label_ids[label], label_ids[runner_up(chances, label)]
    words = wording.labels[name]
    level_of = dict(zip(NAMES, levels, strict=True))
    described = {key: texts[level_of[key]] for key, texts in wording.levels.items()}
    first, second = (wording.phrases[key][level_of[key]] for key in words["evidence"])
    templates = wording.reasoning[grade(chances, label)]
    reasoning = Template(templates[int(rng.integers(len(templates)))]).substitute(
        first=first,
        second=second,
        label=name,
        other=other,
        sign=words.get("sign", ""),
        contrast=wording.labels[other]["contrast"],
    )
    description = Template(wording.description).substitute(described, finding=words["finding"])
    return Answer(description, reasoning, name, repaired=False)


def answer_text(answer: Answer) -> str:
    """The JSON of stages 1 and 2."""
    return json.dumps({key: getattr(answer, key) for key in ("description", "reasoning", "label")})


def reflection_text(wording: Wording, answer: Answer, label: str) -> str:
    """The JSON of stage 3: why `label` is kept or changed, in view of the answer's own doubt."""
    sounds, other = read_doubt(wording, answer)
    kept = label == answer.label
    text = Template(wording.reflection[sounds if kept else "change"]).substitute(
        label=answer.label,
        other=other if kept else label,
        rule=wording.labels[answer.label]["rule"],
    )
    return json.dumps({"reflection": text, "label": label})


def read_doubt(wording: Wording, answer: Answer) -> tuple[str, str]:
    """How sure a reasoning sounds, and the other label that it names (else its own label)."""
    named = [label for label in wording.labels if label in answer.reasoning]
    others = [label for label in named if label != answer.label]
    return wording.grade_of(answer.reasoning), others[0] if others else answer.label


def stated_level(wording: Wording, attribute: str, description: str) -> int:
    """The level that a description states for an attribute, -1 for none."""
    pattern = re.escape(wording.description.split("$finding")[0])
    pattern = re.sub(r"\\\$(\w+)", _alternatives(wording), pattern)
    found = re.match(pattern, description)
    return wording.levels[attribute].index(found[attribute]) if found else -1


def _alternatives(wording: Wording) -> Callable[[re.Match[str]], str]:
    def group(name: re.Match[str]) -> str:
        words = "|".join(re.escape(word) for word in wording.levels[name[1]])
        return f"(?P<{name[1]}>{words})"

    return group


MARGIN = 3  # by so many answers the runner-up must have been right more often
Changes = frozenset[tuple[str, str]]
"""Pairs of an answer's label and its runner-up, of which the second is the better answer."""


def made_up_answer(wording: Wording, label_ids: Sequence[str], rng: np.random.Generator) -> Answer:
    """An answer about no picture at all, of any grade of sureness."""
    count = len(label_ids)
    label, other = rng.permutation(count)[:2]
    chances = rng.dirichlet([0.2] * count).astype(np.float32) * 0.1
    sureness = rng.uniform(0.3, 1.0)
    chances[label], chances[other] = sureness, (1.0 - sureness) * 0.7
    levels = rng.integers(0, 3, len(NAMES)).tolist()
    return answer_fields(wording, label_ids, int(label), levels, chances, rng)


def second_thought(wording: Wording, answer: Answer, changes: Changes) -> str:
    """The label to end with: the runner-up of an unsure answer where that is the better one."""
    sounds, other = read_doubt(wording, answer)
    return other if sounds == "unsure" and (answer.label, other) in changes else answer.label


def worthwhile_changes(
    label_ids: Sequence[str],
    chances: NDArray[np.float32],
    labels: NDArray[np.int64],
    normal: Sequence[bool],
) -> Changes:
    """The pairs of which, among unsure answers, the runner-up was right clearly more often.

    chances (n, labels) out of fold, labels (n,) the truth, normal (labels,) which of them are. No
    pair is of a normal and an abnormal label: a second thought without a second look neither calls
    off an alarm nor raises one.
    """
    tally: dict[tuple[str, str], int] = {}
    for one, truth in zip(chances, labels, strict=True):
        label = int(one.argmax())
        other = runner_up(one, label)
        if normal[label] != normal[other]:
            continue
        if grade(one, label) == "unsure" and truth in (label, other):
            pair = (label_ids[label], label_ids[other])
            tally[pair] = tally.get(pair, 0) + (1 if truth == other else -1)
    return frozenset(pair for pair, balance in tally.items() if balance >= MARGIN)
