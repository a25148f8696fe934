"""CPU time and memory of processes with their children, and what machine this is: read from /proc (proc(5))."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc/PID/stat shows it. `cpu`: seconds, with those of its ended children; `rss`: KiB."""

    pid: int
    parent: int
    cpu: float
    rss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What processes had used at one moment. Seconds of CPU, KiB of memory.

    ``cpu`` is by process asked for, with its descendants. ``idle``, ``steal`` and ``total`` are the whole machine's
    CPU seconds; ``own`` those of this process.
    """

    cpu: tuple[float, ...]
    rss: float
    pss: float
    idle: float
    steal: float
    total: float
    own: float

    @property
    def seconds(self) -> float:
        """CPU seconds of all processes asked for."""
        return sum(self.cpu)


class NoProcess(Exception):
    """There is no process with this id."""


def parse_stat(text: str) -> Process:
    """Reads a line of /proc/PID/stat. The command stands in parentheses and may hold spaces and parentheses itself."""
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    # Counted from 0 after the command: 1 ppid, 11–14 utime, stime, cutime, cstime, 21 rss.
    ticks = sum(int(field) for field in fields[11:15])
    return Process(int(head.partition(" ")[0]), int(fields[1]), ticks / _TICKS, int(fields[21]) * _PAGE_KIB)


def usage(pids: Sequence[int], *, proportional: bool = False, proc: Path = PROC) -> Usage:
    """What `pids` and their descendants use now. `proportional` also reads PSS, which takes the kernel a while.

    Raises NoProcess.
    """
    processes = {process.pid: process for process in _processes(proc)} if pids else {}
    for pid in pids:
        if pid not in processes:
            raise NoProcess(f"there is no process {pid}")
    roots: dict[int, int] = {pid: index for index, pid in enumerate(pids)}
    cpu = [0.0] * len(pids)
    rss = pss = 0.0
    for process in processes.values():
        root = _root(process, processes, roots)
        if root is not None:
            cpu[root] += process.cpu
            rss += process.rss
            pss += _pss(proc / str(process.pid)) if proportional else 0.0
    jiffies = [int(field) for field in (proc / "stat").read_text().partition("\n")[0].split()[1:9]]
    own = os.times()
    return Usage(
        cpu=tuple(cpu),
        rss=rss,
        pss=pss,
        idle=(jiffies[3] + jiffies[4]) / _TICKS,
        steal=jiffies[7] / _TICKS,
        total=sum(jiffies) / _TICKS,
        own=own.user + own.system,
    )


def _processes(proc: Path) -> Iterator[Process]:
    for entry in os.listdir(proc):
        if entry.isdigit():
            try:
                yield parse_stat((proc / entry / "stat").read_text(errors="replace"))
            except OSError:  # it has ended meanwhile
                pass


def _root(process: Process, processes: dict[int, Process], roots: dict[int, int]) -> int | None:
    """Which of the processes asked for this one is, or descends from; the nearest counts."""
    seen: set[int] = set()
    while process.pid not in roots:
        if process.pid in seen or process.parent not in processes:
            return None
        seen.add(process.pid)
        process = processes[process.parent]
    return roots[process.pid]


def _pss(directory: Path) -> float:
    """Resident memory, with shared pages divided among those who share them; 0 where it may not be read."""
    try:
        for line in (directory / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
    except OSError:
        pass
    return 0.0


def machine() -> dict[str, str]:
    """This machine in words: processor, memory, kernel, Python."""
    return {
        "cpu": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(os.cpu_count() or 1),
        "memory": f"{int((_line('/proc/meminfo', 'MemTotal') or '0').split()[0]) / 1024**2:.1f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _line(path: str, key: str) -> str:
    """The value of the first `key: value` line of a file, "" when there is none."""
    try:
        for line in Path(path).read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""
