"""Which lines of the history say that somebody looked at media."""

SEEN = ("photo seen", "clip seen", "thumbnail seen")
