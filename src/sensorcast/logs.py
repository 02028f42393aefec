"""Structured logs: one JSON object a line on standard error, control characters escaped by the encoding itself.

Owns the set-up of structlog and of the standard library's loggers below it. The invariant: a line is one JSON object,
whatever text from outside it carries, so nobody can forge a line.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def set_up(level: str, *, worker: int | None = None) -> None:
    """Send every log line of the process, ours and the libraries', to standard error as JSON.

    Lines of one of several worker processes say which.
    """
    number = _LEVELS[level]
    shared: list[Any] = [
        *([] if worker is None else [_says("worker", worker)]),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _says(name: str, value: object) -> Any:
    """Give a step that adds a field to each line that has not got it."""

    def add(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
        line.setdefault(name, value)
        return line

    return add
