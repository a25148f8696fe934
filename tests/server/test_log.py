"""Logs keep secrets and what people wrote to themselves."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from voxcube.server import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leaves the logging of the other tests as it was."""
    root, ours = logging.getLogger(), logging.getLogger("voxcube")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], level, ours_level = before
    root.setLevel(level)
    ours.setLevel(ours_level)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_redacted_at_any_depth(form: str) -> None:
    out = io.StringIO()
    log.configure("info", form, out)
    structlog.get_logger().info(
        "login", user_id=7, user_password="hunter2", request={"headers": [{"CB-Token": "hunter2"}]}, body="hunter2"
    )
    logging.getLogger("voxcube.server").info("commit took %d ms", 3)
    text = out.getvalue()
    assert "hunter2" not in text
    assert "login" in text
    assert "7" in text
    assert log.REDACTED in text
    assert "commit took 3 ms" in text


def test_tracebacks_show_no_values() -> None:
    out = io.StringIO()
    log.configure("info", "json", out)
    message = "".join(["hun", "ter2"])
    try:
        int(message and "")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("voxcube").exception("failed")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["failed", "failed"]
    assert all("ValueError" in line["exception"] for line in lines)
    assert "hunter2" not in out.getvalue()


def test_level_and_foreign_loggers() -> None:
    out = io.StringIO()
    log.configure("warning", "console", out)
    structlog.get_logger().info("quiet")
    logging.getLogger("uvicorn").info("quiet")
    logging.getLogger("uvicorn").warning("loud")
    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_lines_that_any_client_can_cause_are_limited(form: str) -> None:
    out = io.StringIO()
    log.configure("info", form, out)
    for number in range(500):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request %d received.", number)
        structlog.get_logger().warning("rest.unavailable", path=f"/{number}")
    assert len(out.getvalue().splitlines()) == 2 * log.LINES_AT_ONCE
    logging.getLogger("uvicorn.error").warning("something else")
    assert "something else" in out.getvalue()


def test_the_next_line_says_how_many_were_suppressed() -> None:
    now = 0.0
    limiter = log.Limiter(at_once=2, seconds=5, kinds=10, now=lambda: now)
    assert [limiter.admit("a", "x") for _ in range(4)] == [0, 0, None, None]
    assert limiter.admit("b", "x") == 0
    now = 5.0
    assert limiter.admit("a", "x") == 2
    now = 100.0
    assert limiter.admit("a", "x") == 0
    for number in range(1000):  # texts that are no constants
        limiter.admit("a", f"x{number}")
    assert len(limiter._counts) <= 11


def test_long_values_are_cut() -> None:
    out = io.StringIO()
    log.configure("info", "json", out)
    structlog.get_logger().warning("rest.failed", path="/" + "x" * 100_000)
    logging.getLogger("voxcube").warning("no such thing: %s", "x" * 100_000)
    assert len(out.getvalue()) < 3 * log.LONGEST_VALUE
    assert "(100001 characters)" in out.getvalue()
