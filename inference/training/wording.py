"""Target texts: descriptions from pixel measurements, reasonings and reflections from evidence."""

import json
import tomllib
from collections.abc import Mapping, Sequence
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
SURE, FAIR = 0.75, 0.4  # probability of the label, out of fold, from which it is called so


@dataclass(frozen=True)
class Wording:
    """The words of one domain, as in wording/<domain>.toml."""

    description: str
    levels: Mapping[str, Sequence[str]]
    phrases: Mapping[str, Sequence[str]]
    reasoning: Mapping[str, str]
    reflection: Mapping[str, str]
    labels: Mapping[str, Mapping[str, Any]]

    def finding_word(self, label: str) -> str:
        """The first word of a label's finding: where a text commits itself to a label."""
        return str(self.labels[label]["finding"]).split()[0]


@lru_cache
def load_wording(domain_id: str) -> Wording:
    """Raises FileNotFoundError for a domain that no words were written for."""
    with (FOLDER / f"{domain_id}.toml").open("rb") as handle:
        return Wording(**tomllib.load(handle))


def certainty(probabilities: NDArray[np.float32], label: int) -> str:
    """`sure`, `fair` or `unsure`, from label probabilities (labels,) that sum to one."""
    value = float(probabilities[label])
    if value >= SURE:
        return "sure"
    return "fair" if value >= FAIR and int(probabilities.argmax()) == label else "unsure"


def runner_up(probabilities: NDArray[np.float32], label: int) -> int:
    """The most likely label besides `label`."""
    others = probabilities.copy()
    others[label] = -1.0
    return int(others.argmax())


def answer_fields(
    wording: Wording,
    label_ids: Sequence[str],
    label: int,
    levels: Sequence[int],
    probabilities: NDArray[np.float32],
) -> Answer:
    """The answer that a member is taught for one picture.

    levels         (6,) attribute levels in the order of measure.NAMES
    probabilities  (labels,) out-of-fold soft label: how sure it sounds, and the runner-up
    """
    name, other = label_ids[label], label_ids[runner_up(probabilities, label)]
    words = wording.labels[name]
    level_of = dict(zip(NAMES, levels, strict=True))
    described = {key: wording.levels[key][level] for key, level in level_of.items()}
    first, second = (wording.phrases[key][level_of[key]] for key in words["evidence"])
    reasoning = Template(wording.reasoning[certainty(probabilities, label)]).substitute(
        first=first,
        second=second,
        label=name,
        other=other,
        contrast=wording.labels[other]["contrast"],
    )
    description = Template(wording.description).substitute(described, finding=words["finding"])
    return Answer(description, reasoning[0].upper() + reasoning[1:], name, repaired=False)


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
    marks = {key: text.split("$")[0].strip() for key, text in wording.reasoning.items()}
    if marks["unsure"] and answer.reasoning.startswith(marks["unsure"]):
        sounds = "unsure"
    else:
        sounds = "fair" if answer.reasoning.startswith(answer.label) else "sure"
    named = [label for label in wording.labels if label in answer.reasoning]
    others = [label for label in named if label != answer.label]
    return sounds, others[0] if others else answer.label


def made_up_answer(
    wording: Wording, label_ids: Sequence[str], rng: np.random.Generator
) -> tuple[Answer, str]:
    """An answer about no picture at all, and the label that a reflection on it ends with.

    One in eight of the unsure ones changes to the other label.
    """
    label = int(rng.integers(len(label_ids)))
    chances = rng.dirichlet([0.3] * len(label_ids)).astype(np.float32)
    if rng.random() < 0.7:
        best = int(chances.argmax())
        chances[[label, best]] = chances[[best, label]]
    levels = rng.integers(0, 3, len(NAMES)).tolist()
    answer = answer_fields(wording, label_ids, label, levels, chances)
    sounds, other = read_doubt(wording, answer)
    change = sounds == "unsure" and rng.random() < 1 / 8
    return answer, other if change else answer.label
