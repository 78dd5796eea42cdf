"""Uploads, decoded where they can do no harm and re-encoded: what is kept is the picture."""

from inference.media.sanitising import Frame, Limits, MediaRejected, Sanitised, sanitise

__all__ = ["Frame", "Limits", "MediaRejected", "Sanitised", "sanitise"]
