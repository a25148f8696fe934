"""Structured logs on standard error, from which secrets, tokens and message bodies are kept out.

Any client can cause some of the lines (a malformed request, a failed TLS handshake), so that lines of one kind are rate
limited, and long values are cut: a log that fills the disk stops the server.
"""

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

# Compared with the last word of a key, so that `user_password` and `api_token` are caught too.
_SECRET_WORDS = frozenset(
    ("password", "passwd", "token", "secret", "auth", "authorization", "cookie", "key", "body", "stanza", "payload")
)
REDACTED = "[redacted]"

LINES_AT_ONCE = 20  # of one kind, which is the logger and the text before its values are filled in
LINE_SECONDS = 5.0  # after which one more is written
KINDS = 1000  # that are counted apart; texts that are no constants share one count beyond that
LONGEST_VALUE = 1000  # characters


class Limiter:
    """Counts log lines by kind: a burst of them, then one in a while that says how many were suppressed before it."""

    def __init__(
        self,
        *,
        at_once: int = LINES_AT_ONCE,
        seconds: float = LINE_SECONDS,
        kinds: int = KINDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_once = at_once
        self._seconds = seconds
        self._kinds = kinds
        self._now = now
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}  # kind → lines left, when; suppressed

    def admit(self, logger: str, text: str) -> int | None:
        """None to suppress a line; otherwise the number of lines of its kind that were suppressed before it."""
        kind = (logger[:100], text[:100])
        now = self._now()
        if kind not in self._counts and len(self._counts) >= self._kinds:
            # A kind that has all its lines left needs no entry.
            self._counts = {one: found for one, found in self._counts.items() if found[1] or found[0] > now}
            if len(self._counts) >= self._kinds:
                kind = ("", "")
        # As in core/rates.py: the time at which all lines so far are paid for.
        paid_at, suppressed = self._counts.get(kind, (now, 0))
        paid_at = max(paid_at, now) + self._seconds
        if paid_at - now > self._at_once * self._seconds + 1e-9:
            self._counts[kind] = (paid_at - self._seconds, suppressed + 1)
            return None
        self._counts[kind] = (paid_at, 0)
        return suppressed


class _Suppress(logging.Filter):
    """Applies the limiter to lines of the standard library's loggers."""

    def __init__(self, limiter: Limiter) -> None:
        super().__init__()
        self._limiter = limiter

    def filter(self, record: logging.LogRecord) -> bool:
        suppressed = self._limiter.admit(record.name, str(record.msg))
        if suppressed:
            record.suppressed = suppressed
        return suppressed is not None


def _limited(limiter: Limiter) -> structlog.typing.Processor:
    """structlog processor: applies the limiter to lines of structlog's loggers, and adds the number to all lines."""

    def process(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        record = event.get("_record")
        if isinstance(record, logging.LogRecord):  # counted by the filter before
            suppressed: int | None = getattr(record, "suppressed", 0)
        else:
            suppressed = limiter.admit(method, str(event.get("event", "")))
        if suppressed is None:
            raise structlog.DropEvent
        if suppressed:
            event["suppressed"] = suppressed
        return event

    return process


def shorten(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: cuts long texts, which a client may have chosen."""
    for key, value in event.items():
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            event[key] = f"{value[:LONGEST_VALUE]}… ({len(value)} characters)"
    return event


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
    `level` on, those of uvicorn and asyncio from `warning` on. Lines of one kind are limited; the first line after some
    were suppressed has their number as `suppressed`.
    """
    stream = stream if stream is not None else sys.stderr
    limiter = Limiter()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        shorten,
        _limited(limiter),
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
    handler.addFilter(_Suppress(limiter))
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
