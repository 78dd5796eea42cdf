"""What can go wrong behind a backend.

BackendError
├── ModelUnavailable   permanent: missing weights, package, key or setting; a retry cannot help
├── GenerationFailed   the model or its server failed this once
├── NotAsked           nothing was answered: its server is left alone for a while
└── DeadlineExceeded   no answer within the request's deadline
"""

from typing import ClassVar

from pydantic import ValidationError


class BackendError(Exception):
    """Base of all failures of a backend. `permanent` tells the caller that a retry is in vain."""

    permanent: ClassVar[bool] = False


class ModelUnavailable(BackendError):
    """The model cannot be used at all until somebody changes the installation."""

    permanent = True


class GenerationFailed(BackendError):
    """This generation failed; another attempt may work."""


class NotAsked(BackendError):
    """Nothing was asked, so it is no attempt; `after_s` seconds later it may be."""

    def __init__(self, words: str, after_s: float) -> None:
        super().__init__(words)
        self.after_s = after_s


class DeadlineExceeded(BackendError):
    """The deadline passed before the answer was complete."""


def faults_in_words(error: ValidationError) -> str:
    """What pydantic found wrong, field by field, without the values (they may be private)."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'content'}: "
        + fault["msg"].removeprefix("Value error, ")
        for fault in error.errors()
    )
