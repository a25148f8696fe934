"""CPU and memory as /proc tells them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from voxcube.bench.processes import NoProcess, machine, parse_stat, usage

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


def stat(pid: int, parent: int, ticks: tuple[int, int, int, int], pages: int, name: str = "server") -> str:
    """A line as proc(5) describes it: fields 3 to 24 after the name."""
    middle = "0 " * 9
    return f"{pid} ({name}) S {parent} {middle}{' '.join(map(str, ticks))} 20 0 1 0 12345 99999999 {pages} 1844\n"


def test_a_line_of_stat() -> None:
    process = parse_stat(stat(42, 7, (100, 50, 20, 10), 300, name="a (strange) name) S 1"))
    assert (process.pid, process.parent) == (42, 7)
    assert process.cpu == 180 / TICKS
    assert process.rss == 300 * PAGE_KIB


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine where 10 has the child 11 and the grandchild 12, and 20 the child 10; 30 is somebody else's."""
    (tmp_path / "stat").write_text("cpu  100 0 200 300 50 0 0 25 7 7\ncpu0 1 2 3\n")
    for pid, parent in ((1, 0), (10, 20), (11, 10), (12, 11), (20, 1), (30, 1)):
        directory = tmp_path / str(pid)
        directory.mkdir()
        (directory / "stat").write_text(stat(pid, parent, (pid * TICKS, 0, 0, 0), pid))
        (directory / "smaps_rollup").write_text(f"Rss: 1 kB\nPss:  {pid * 100} kB\nPss_Dirty: 3 kB\n")
    (tmp_path / "self").mkdir()
    return tmp_path


def test_children_count_with_their_parents(proc: Path) -> None:
    found = usage([10], proportional=True, proc=proc)
    assert list(found.cpu) == [33]
    assert found.seconds == 33
    assert found.rss == 33 * PAGE_KIB
    assert found.pss == 3300


def test_of_several_processes_the_nearest_gets_the_child(proc: Path) -> None:
    assert usage([20, 10], proc=proc).cpu == (20, 33)


def test_the_whole_machine(proc: Path) -> None:
    found = usage([], proc=proc)
    assert (found.idle, found.steal, found.total) == (350 / TICKS, 25 / TICKS, 675 / TICKS)
    assert not found.cpu
    assert found.rss == found.pss == 0


def test_an_unknown_process(proc: Path) -> None:
    with pytest.raises(NoProcess, match="no process 31"):
        usage([31], proc=proc)


def test_a_real_child() -> None:
    code = "sum(i * i for i in range(3_000_000)); print('done', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = usage([child.pid], proportional=True)
        assert found.seconds > 0
        assert found.rss > 1000
        assert found.pss > 1000
        child.communicate(b"\n")


def test_the_machine_in_words() -> None:
    described = machine()
    assert all(described.values())
    assert described["cores"] == str(os.cpu_count())
