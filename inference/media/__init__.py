"""Uploads, decoded where they can do no harm and re-encoded: what is kept is the picture."""

from inference.media.sanitising import Limits, MediaRejected, Sanitised, sanitise

__all__ = ["Limits", "MediaRejected", "Sanitised", "sanitise"]
