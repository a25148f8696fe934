"""A group of thousands over HTTP: made, filled, listed, emptied and deleted in one request each; the server's CPU."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from http.client import HTTPConnection
from typing import Any, NamedTuple

from voxcube.bench.processes import usage
from voxcube.bench.requests import send
from voxcube.bench.seed import PASSWORD, Seed
from voxcube.bench.throwaway import Server

TIMES = 3  # each step
CHEAP = 20  # so many of the cheap ones at once: CPU is told in ticks of ten milliseconds


class Step(NamedTuple):
    """What one request took: milliseconds of the server's CPU, and of waiting."""

    name: str
    cpu_ms: float
    took_ms: float


class Crowd:
    """Users 1 … `size` of a seed, and what the first of them asks."""

    def __init__(self, server: Server, there: Seed, pids: tuple[int, ...], size: int) -> None:
        """`pids` are the processes whose CPU counts."""
        self._pids = pids
        self._size = size
        self._door = HTTPConnection("127.0.0.1", server.http, timeout=60)
        self._headers = {"Content-Type": "application/json"}
        login = {"login": "user1", "password": PASSWORD}
        body = {"application_id": there.app_id, "auth_key": there.auth_key, "user": login}
        self._headers["CB-Token"] = send(self._door, "POST", "/session", self._headers, body)["session"]["token"]

    def steps(self) -> Iterator[Step]:
        """Every step TIMES times; the best of each counts. Raises RuntimeError for a wrong answer."""
        best: dict[str, Step] = {}
        for _ in range(TIMES):
            for step in self._round():
                best[step.name] = min(step, best.get(step.name, step), key=lambda found: found.cpu_ms)
        self._door.close()
        yield from best.values()

    def _round(self) -> Iterator[Step]:
        others = {"occupants_ids": list(range(2, self._size + 1))}
        made = yield from self._step("create", "POST", "/chat/Dialog", {"type": 2, "name": "Crowd", **others})
        group = f"/chat/Dialog/{made['_id']}"
        self._expect(made, self._size)
        emptied = yield from self._step("remove all others", "PUT", group, {"pull_all": others})
        self._expect(emptied, 1)
        filled = yield from self._step("add all others", "PUT", group, {"push_all": others})
        self._expect(filled, self._size)
        yield from self._step("rename", "PUT", group, {"name": "Mass"}, times=CHEAP)
        yield from self._step("list", "GET", "/chat/Dialog", times=CHEAP)
        yield from self._step("page of 100 occupants", "GET", f"{group}/occupants", times=CHEAP)
        yield from self._step("delete for everyone", "DELETE", f"{group}?force=1")

    def _step(
        self, name: str, method: str, path: str, body: Any = None, times: int = 1
    ) -> Generator[Step, None, dict[str, Any]]:
        before, begun = usage(self._pids).seconds, time.perf_counter()
        for _ in range(times):
            answer = send(self._door, method, path, self._headers, body)
        took = time.perf_counter() - begun
        yield Step(name, (usage(self._pids).seconds - before) * 1000 / times, took * 1000 / times)
        return answer

    def _expect(self, dialog: dict[str, Any], occupants: int) -> None:
        if len(dialog["occupants_ids"]) != occupants:
            raise RuntimeError(f"the group has {len(dialog['occupants_ids'])} occupants instead of {occupants}")
