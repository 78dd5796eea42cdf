"""The drawings that seed a demonstration."""

import io
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from inference.drawings.wound import draw_wound


@dataclass(frozen=True)
class Sample:
    """One drawing to try the product with.

    `label` is what it stands for; where `blend` names a second kind, a person may well say that one.
    """

    name: str
    title: str
    domain: str
    label: str
    seed: int
    blend: str | None = None
    darkness: float | None = None

    @cached_property
    def jpeg(self) -> bytes:
        """The picture's bytes, drawn when first asked for."""
        buffer = io.BytesIO()
        self.draw().save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    def draw(self) -> Image.Image:
        return draw_wound(self.seed, self.label, blend=self.blend, darkness=self.darkness)


FIRST_SEED = 100_000
"""Seeds from here on are for showing; smaller ones are for training."""

_WOUNDS: tuple[tuple[str, str, str | None], ...] = (
    ("Grazed skin", "Abrasions", None),
    ("Bruise", "Bruises", None),
    ("Burn", "Burns", None),
    ("Cut", "Cut", None),
    ("Ingrown nail", "Ingrown Nails", None),
    ("Torn skin", "Laceration", None),
    ("Puncture", "Stab Wound", None),
    ("Dark bruise", "Bruises", None),
    ("Grazed and bruised", "Abrasions", "Bruises"),
    ("Cut or tear", "Laceration", "Cut"),
    ("Burnt or grazed", "Burns", "Abrasions"),
    ("Puncture in a bruise", "Bruises", "Stab Wound"),
)


def samples(domain_id: str) -> tuple[Sample, ...]:
    """The drawings of a domain; none for a domain that has no drawings."""
    return _SAMPLES.get(domain_id, ())


_SAMPLES = {
    "wound": tuple(
        Sample(
            name=title.lower().replace(" ", "-"),
            title=title,
            domain="wound",
            label=label,
            seed=FIRST_SEED + number,
            blend=blend,
        )
        for number, (title, label, blend) in enumerate(_WOUNDS)
    ),
}
