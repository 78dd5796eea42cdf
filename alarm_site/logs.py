"""One line a thing that happened: words for people, or JSON for what collects them."""

from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

Config = dict[str, Any]


def level_of_record(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """In capitals, as the supervisor and log collectors look for them."""
    event["level"] = event["_record"].levelname
    return event


AS_JSON: Config = {
    "()": structlog.stdlib.ProcessorFormatter,
    "foreign_pre_chain": [
        structlog.contextvars.merge_contextvars,
        level_of_record,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ],
    "processors": [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(),
    ],
}
AS_WORDS: Config = {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}
# A web server's own loggers have handlers of their own unless they are told otherwise; what it
# writes of a request holds the query, and the middleware writes a line of its own.
SERVER: Mapping[str, Config] = {
    "uvicorn": {"handlers": [], "propagate": True},
    "uvicorn.access": {"handlers": [], "propagate": False, "level": "CRITICAL"},
}
# They would write whole addresses down, and a webhook's may hold a secret.
QUIET: Mapping[str, Config] = {"httpx": {"level": "WARNING"}, "axes": {"level": "WARNING"}}


def logging_config(*, as_json: bool) -> Config:
    """For `logging.config.dictConfig`: all that is logged goes to one place in one shape."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": AS_JSON if as_json else AS_WORDS},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {**QUIET, **SERVER},
        "root": {"handlers": ["console"], "level": "INFO"},
    }
