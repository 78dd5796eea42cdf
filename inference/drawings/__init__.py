"""Drawn samples: pictures made by code from a seed, for demonstrations, tests and training.

They stand for what no photo may be shown of. Each carries the word "drawing" in a corner.
"""

from inference.drawings.marks import mark
from inference.drawings.samples import Sample, samples
from inference.drawings.wound import WOUND_LABELS, draw_wound, wound_cover

__all__ = ["WOUND_LABELS", "Sample", "draw_wound", "mark", "samples", "wound_cover"]
