"""Which lines of the history say that somebody looked at media."""

LOOKS = ("photo seen", "clip seen")
SEEN = (*LOOKS, "thumbnail seen")
"""Looks are written down, but a history of them would bury the rest."""
