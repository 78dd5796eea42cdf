"""The three stages of one member's look at one observation."""

from enum import StrEnum


class Stage(StrEnum):
    """Comprehension and analysis share one generation; reflection is a second, text-only one."""

    COMPREHENSION = "comprehension"
    ANALYSIS = "analysis"
    REFLECTION = "reflection"
