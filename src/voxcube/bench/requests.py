"""The same requests over HTTP by users who have little and users who have much; what the server spends on each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from voxcube.bench.processes import usage
from voxcube.bench.seed import PASSWORD, Seed
from voxcube.bench.throwaway import Server


@dataclass(slots=True)
class _Question:
    path: str
    token: str
    found: int
    spent: float = 0.0
    times: list[float] = field(default_factory=list)


class Requests:
    """Requests that differ in how much there is behind them."""

    def __init__(
        self, server: Server, there: Seed, pids: tuple[int, ...], found: Callable[[dict[str, Any]], int]
    ) -> None:
        """`pids` are the processes whose CPU counts; `found` says how much an answer has."""
        self._there = there
        self._pids = pids
        self._found = found
        self._door = HTTPConnection("127.0.0.1", server.http, timeout=60)
        self._questions: dict[int, _Question] = {}

    def add(self, size: int, user_id: int, path: str, *, found: int) -> None:
        """The request for one size, by a user; an answer must have `found`."""
        login = {"login": f"user{user_id}", "password": PASSWORD}
        body = {"application_id": self._there.app_id, "auth_key": self._there.auth_key, "user": login}
        answer = send(self._door, "POST", "/session", {"Content-Type": "application/json"}, body)
        self._questions[size] = _Question(path, answer["session"]["token"], found)
        self.ask(size, 10)  # statements are compiled and pages of the database read
        self._questions[size].times.clear()
        self._questions[size].spent = 0.0

    def ask(self, size: int, times: int) -> None:
        """Sends the request `times` times, one after the other. Raises RuntimeError for a wrong answer."""
        question = self._questions[size]
        headers = {"CB-Token": question.token}
        self._door.close()  # the server may have done so: it was idle
        before = usage(self._pids).seconds
        for _ in range(times):
            begun = time.perf_counter()
            answer = send(self._door, "GET", question.path, headers)
            question.times.append(time.perf_counter() - begun)
        question.spent += usage(self._pids).seconds - before
        if (found := self._found(answer)) != question.found:
            raise RuntimeError(f"{question.path} answered {found} instead of {question.found}")

    @property
    def times(self) -> dict[int, list[float]]:
        """Seconds that each request took, by size."""
        return {size: question.times for size, question in self._questions.items()}

    def cpu_ms(self, size: int) -> float:
        """Server CPU of one request, in milliseconds."""
        question = self._questions[size]
        return question.spent * 1000 / len(question.times)

    def close(self) -> None:
        """Ends the connection."""
        self._door.close()


def send(door: HTTPConnection, method: str, path: str, headers: dict[str, str], body: Any = None) -> dict[str, Any]:
    """One request and its answer. Raises RuntimeError when it is refused."""
    door.request(method, path, None if body is None else json.dumps(body), headers)
    answer = door.getresponse()
    text = answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
    found: dict[str, Any] = json.loads(text)
    return found
