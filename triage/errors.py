"""What can go wrong for a person, in words that say what to do.

TriageError
├── Refused         the request itself cannot be done (bad label, a photo that is none)
│   └── Invalid     what was filled in, with a sentence for each field
├── Forbidden       this role may not
│   └── BehindGlass it may with a reason: for a while, and somebody looks at it afterwards
├── Conflict        somebody was faster, or the lease ran out; nothing was changed
└── TooMany         a device sends faster than it may, or than the ensemble follows
"""


class TriageError(Exception):
    """Base; `str(error)` is shown to the person, `code` to programs."""

    status = 400

    def __init__(self, message: str, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code


class Refused(TriageError):
    """The request cannot be done as it stands."""

    status = 422


class Forbidden(TriageError):
    """The person's role does not allow it."""

    status = 403


class BehindGlass(Forbidden):
    """The person need not see the case, and may with a reason."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "behind_glass")


class Conflict(TriageError):
    """What it was based on has changed meanwhile."""

    status = 409


class TooMany(TriageError):
    """Not now: the same may be sent again in `wait` seconds."""

    status = 429

    def __init__(self, message: str, wait: int, code: str) -> None:
        super().__init__(message, code)
        self.wait = wait


class Invalid(Refused):
    """What was filled in is not valid; `faults` has a sentence for each field, by its name."""

    def __init__(self, message: str, faults: dict[str, str]) -> None:
        super().__init__(message, "invalid")
        self.faults = faults
