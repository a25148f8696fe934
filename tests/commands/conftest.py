"""A command of `voxcube` in the test's own process."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import structlog

from voxcube.server.cli import main


class Voxcube(Protocol):
    """Runs a command: (exit status, output, errors). `given` is its standard input, which is no terminal."""

    def __call__(self, *arguments: object, given: str = "") -> tuple[int, str, str]: ...


@pytest.fixture
def voxcube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Voxcube]:
    """Runs a command in an empty directory: (exit status, output, errors)."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("VOXCUBE_")]:
        monkeypatch.delenv(name)
    root, ours = logging.getLogger(), logging.getLogger("voxcube")
    before = (root.handlers[:], root.level, ours.level)

    def run(*arguments: object, given: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        monkeypatch.setattr(sys, "argv", ["voxcube", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, errors = capsys.readouterr()
        return int(ended.value.code or 0), out, errors

    yield run
    root.handlers[:], level, ours_level = before
    root.setLevel(level)
    ours.setLevel(ours_level)
    structlog.reset_defaults()
