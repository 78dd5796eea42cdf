"""Drawn samples: pictures made by code from a seed, for demonstrations, tests and training.

They stand for what no photo may be shown of. Each carries the word "drawing" in a corner.
"""

from inference.drawings.marks import mark
from inference.drawings.room import ROOM_EVENTS, draw_room
from inference.drawings.samples import Sample, samples
from inference.drawings.wound import WOUND_LABELS, draw_wound, wound_cover

__all__ = [
    "ROOM_EVENTS",
    "WOUND_LABELS",
    "Sample",
    "draw_room",
    "draw_wound",
    "mark",
    "samples",
    "wound_cover",
]
