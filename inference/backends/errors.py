"""What can go wrong behind a backend.

BackendError
├── ModelUnavailable   permanent: missing weights, package, key or setting; a retry cannot help
├── GenerationFailed   the model or its server failed this once
├── NotAsked           nothing was answered: its server is left alone for a while
├── DeviceLost         no call of this process can work any more; a fresh process may
└── DeadlineExceeded   no answer within the request's deadline
"""

import re
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


class DeviceLost(BackendError):
    """What the model runs on is gone for this process: whoever asked it has to end."""


_LOST_TYPES = frozenset({"AcceleratorError", "OutOfMemoryError"})
_LOST_WORDS = re.compile(r"(CUDA|cuDNN|NCCL|HIP) (driver )?error\b")


def device_is_lost(error: BaseException) -> bool:
    """Whether torch says that its device is of no use any more; no failure of one case is that.

    An error of CUDA stays with its process: whatever is asked afterwards fails as well. Of memory
    only the device's counts, and a backend has tried with less before it lets the error out.
    """
    if isinstance(error, DeviceLost):
        return True
    types = {one.__name__ for one in type(error).__mro__}
    return not _LOST_TYPES.isdisjoint(types) or bool(_LOST_WORDS.match(str(error)))


class DeadlineExceeded(BackendError):
    """The deadline passed before the answer was complete."""


def faults_in_words(error: ValidationError) -> str:
    """What pydantic found wrong, field by field, without the values (they may be private)."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'content'}: "
        + fault["msg"].removeprefix("Value error, ")
        for fault in error.errors()
    )
