"""The drawings that seed a demonstration."""

import io
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from inference.drawings.room import draw_room
from inference.drawings.wound import draw_wound


@dataclass(frozen=True)
class Sample:
    """One drawing to try the product with.

    `label` is what it stands for; where `blend` names a second kind, a person may say that one.
    """

    name: str
    title: str
    domain: str
    label: str
    seed: int
    blend: str | None = None

    @cached_property
    def jpeg(self) -> bytes:
        """The picture's bytes, drawn when first asked for."""
        buffer = io.BytesIO()
        self.draw().save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    def draw(self) -> Image.Image:
        if self.domain == "home":
            return draw_room(self.seed, self.label)
        return draw_wound(self.seed, self.label, blend=self.blend)


FIRST_SEED = 100_000
"""Seeds from here on are for showing; smaller ones are for training."""

_Row = tuple[int, str, str, str | None]
"""Number from FIRST_SEED, title, label, label of the blend."""

_WOUNDS: tuple[_Row, ...] = (
    (3, "Grazed skin", "Abrasions", None),
    (4, "Bruise", "Bruises", None),
    (3, "Burn", "Burns", None),
    (3, "Cut", "Cut", None),
    (4, "Ingrown nail", "Ingrown Nails", None),
    (5, "Torn skin", "Laceration", None),
    (6, "Puncture", "Stab Wound", None),
    (3, "Faint bruise", "Bruises", None),
    (6, "Grazed and bruised", "Abrasions", "Bruises"),
    (4, "Cut or tear", "Cut", "Laceration"),
    (10, "Burnt or grazed", "Burns", "Abrasions"),
    (5, "Puncture in a bruise", "Bruises", "Stab Wound"),
)
_ROOMS: tuple[_Row, ...] = (
    (2, "Somebody on the floor", "fall", None),
    (2, "Fire in a room", "fire or smoke", None),
    (3, "Raccoon indoors", "wild animal", None),
    (2, "Somebody at home", "person", None),
    (4, "Dog", "pet", None),
    (5, "Empty room", "empty scene", None),
)


def samples(domain_id: str) -> tuple[Sample, ...]:
    """The drawings of a domain; none for a domain that has no drawings."""
    return _SAMPLES.get(domain_id, ())


def _samples(domain: str, rows: tuple[_Row, ...]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            name=title.lower().replace(" ", "-"),
            title=title,
            domain=domain,
            label=label,
            seed=FIRST_SEED + number,
            blend=blend,
        )
        for number, title, label, blend in rows
    )


_SAMPLES = {"wound": _samples("wound", _WOUNDS), "home": _samples("home", _ROOMS)}
