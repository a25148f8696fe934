"""Structured logs on standard error, from which secrets, tokens and message bodies are kept out."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

# Compared with the last word of a key, so that `user_password` and `api_token` are caught too.
_SECRET_WORDS = frozenset(
    ("password", "passwd", "token", "secret", "auth", "authorization", "cookie", "key", "body", "stanza", "payload")
)
REDACTED = "[redacted]"


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: replaces the values of keys that name a secret or what people wrote, at any depth."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: object) -> object:
    if key.lower().replace("-", "_").rsplit("_", 1)[-1] in _SECRET_WORDS:
        return REDACTED
    if isinstance(value, dict):
        return {name: _clean(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", inner) for inner in value]
    return value


def configure(level: str = "info", form: str = "console", stream: TextIO | None = None) -> None:
    """Sets logging up for the process: `form` is `console` (for people) or `json` (one object a line).

    Our modules log with `structlog.get_logger()`; the standard library's loggers take the same way out: ours from
    `level` on, those of uvicorn and asyncio from `warning` on.
    """
    stream = stream if stream is not None else sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    # Tracebacks as plain text: structlog's other forms show local variables, which hold what people wrote.
    renderer: list[structlog.typing.Processor]
    if form == "json":
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        plain = structlog.dev.plain_traceback
        renderer = [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("voxcube").setLevel(threshold)
