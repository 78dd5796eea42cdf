"""One id for all that a request sets off: in the web, in workers and at a model's server.

A trace id is that of W3C Trace Context: 32 hexadecimal digits, not all of them zero. It says
nothing about anybody. While it is carried, each line of the log bears it.
"""

import contextlib
import re
import secrets
from uuid import UUID

from structlog.contextvars import bound_contextvars, get_contextvars

KEY = "trace_id"
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
NOTHING = "0" * 32


def new() -> str:
    """An id that nobody has had before."""
    return secrets.token_hex(16)


def current() -> str:
    """The id that is carried here and now; empty where there is none."""
    return str(get_contextvars().get(KEY, ""))


def carried(trace_id: str) -> contextlib.AbstractContextManager[None]:
    """While the context lasts, all that is done here is part of that trace; an empty id is none."""
    return bound_contextvars(**{KEY: trace_id}) if trace_id else contextlib.nullcontext()


def taken(traceparent: str, request_id: str) -> str:
    """The id that a caller brings, by `traceparent` or by an `X-Request-ID` that is a UUID.

    Whatever is neither is not repeated anywhere: the id is a new one then.
    """
    found = TRACEPARENT.fullmatch(traceparent)
    try:
        brought = found[1] if found else UUID(request_id).hex
    except ValueError:
        brought = NOTHING
    return new() if brought == NOTHING else brought


def traceparent(trace_id: str) -> dict[str, str]:
    """The header of one call that is made for it; none where there is no id."""
    return {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"} if trace_id else {}
