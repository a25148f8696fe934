"""The benchmark of our own server: throw-away servers, one after the other, and the table of what they took."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from voxcube.bench import load
from voxcube.bench.crowd import Crowd
from voxcube.bench.figures import Figures, Latencies
from voxcube.bench.options import OptionError, Options
from voxcube.bench.postgres import Postgres
from voxcube.bench.processes import machine
from voxcube.bench.requests import Requests
from voxcube.bench.seed import LIST_SECONDS, PASSWORD, Seed, seed
from voxcube.bench.throwaway import Server

PARTS = ("chat", "postgres", "memory", "history", "dialogs", "crowd")
GROUP = 100  # members
CHATTERS = 200
PAGE = 100  # messages
SMALL = 1000  # messages of a short history
FEW, MANY = 100, 10_000  # dialogs of one user
CROWD = 5000  # members of a large group
_CROWD_BUDGETS = {"create": 300.0, "add all others": 300.0, "list": 30.0}  # ms
QUIET_CORES = 0.1  # what other programs may use without being mentioned
_REQUESTS = 60  # of each history in one round
_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a figure with its budget, both in `unit`."""

    name: str
    value: float
    unit: str
    budget: float

    @property
    def ratio(self) -> float:
        """How much of the budget is used up; above 1 is too much."""
        return self.value / self.budget


@dataclass(slots=True)
class Table:
    """What the suite found, on which machine, and the figures of each run behind it."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    runs: dict[str, Figures] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=machine)
    seconds: float = 0.0

    def text(self) -> str:
        """The table for people."""
        lines = ["machine: " + ", ".join(f"{name} {value}" for name, value in self.machine.items()), ""]
        lines.append(f"{'figure':<64} {'measured':>12} {'budget':>12} {'ratio':>6}")
        for row in self.rows:
            measured, budget = f"{_spell(row.value)} {row.unit}", f"{_spell(row.budget)} {row.unit}"
            lines.append(f"{row.name:<64} {measured:>12} {budget:>12} {row.ratio:>6.2f}")
        lines += [f"skipped: {reason}" for reason in self.skipped]
        troubled = {name: run for name, run in self.runs.items() if _troubles(run)}
        lines += [f"trouble in {name}: {_troubles(run)}" for name, run in troubled.items()]
        disturbed = {name: run["others_cores"] for name, run in self.runs.items() if _disturbed(run)}
        if disturbed:
            found = ", ".join(f"{name} {cores}" for name, cores in disturbed.items())
            lines.append(f"other programs were busy (measure again on a quiet machine): {found}")
        return "\n".join([*lines, f"\ntook {self.seconds:.0f} s"])

    def json(self) -> str:
        """The same with the figures of all runs as one JSON object."""
        rows = [
            {"name": row.name, "value": round(row.value, 4), "unit": row.unit, "budget": row.budget}
            | {"ratio": round(row.ratio, 3)}
            for row in self.rows
        ]
        runs = {name: json.loads(run.json()) for name, run in self.runs.items()}
        found = {"machine": self.machine, "rows": rows, "skipped": self.skipped, "runs": runs}
        return json.dumps({**found, "seconds": round(self.seconds, 1)})


def _listed(answer: dict[str, Any]) -> int:
    """How many dialogs an answer has, or tells of."""
    items = answer["items"]
    found: int = items["count"] if isinstance(items, dict) else len(items)
    return found


def _spell(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _troubles(run: Figures) -> str:
    wrong = ("lost", "errors", "out_of_order", "disconnects")
    return ", ".join(f"{name} {run[name]}" for name in wrong if name in run and run.number(name))


def _disturbed(run: Figures) -> bool:
    return "others_cores" in run and run.number("others_cores") > QUIET_CORES


def fdatasync(directory: Path, *, writes: int = 200) -> dict[str, float]:
    """How long the disk takes to keep 8 KiB for good, in milliseconds; one write after the other, 100 a second."""
    latencies = Latencies()
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(writes):
            file.write(bytes(8192))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken = time.perf_counter() - begun
            latencies.add(taken)
            time.sleep(max(0.0, 0.01 - taken))
    return latencies.summary()


class Suite:
    """Runs the parts; `quick` makes them short. `postgres` names an empty database to use."""

    def __init__(self, *, quick: bool = False, only: tuple[str, ...] = (), postgres: str = "") -> None:
        if wrong := [part for part in only if part not in PARTS]:
            raise OptionError(f"{wrong[0]!r} is none of {', '.join(PARTS)}")
        self._parts = only or PARTS
        self._postgres = postgres
        self._seconds = 2.0 if quick else 8.0
        self._logins = 300 if quick else 1000
        self._idle = 1000 if quick else 2000
        self._online = 500 if quick else 2000
        self._large = 100_000 if quick else 1_000_000
        self._table = Table()
        self._tell: Callable[[str], None] = lambda line: None
        cores = sorted(os.sched_getaffinity(0))
        self._core = cores[0] if len(cores) > 1 else None
        self._others = set(cores[1:]) or set(cores)

    def run(self, tell: Callable[[str], None]) -> Table:
        """Everything; `tell` gets a line for each step. Raises StartError, LoadError, OSError."""
        self._tell = tell
        begun = time.monotonic()
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._others)  # the server has its core for itself
        try:
            for part in self._parts:
                getattr(self, f"_{part}_part")()
        finally:
            os.sched_setaffinity(0, before)
        self._table.seconds = time.monotonic() - begun
        return self._table

    # -- the parts -------------------------------------------------------------------------------------------------

    def _chat_part(self) -> None:
        with ExitStack() as stack:
            data = self._data(stack)
            there = self._seed(data, users=CHATTERS + self._logins, members=GROUP)
            server = self._server(stack, data)
            pids = (server.pid,)
            run = self._load("chat_sqlite", "chat", server, there, pids, count=CHATTERS, window=32)
            self._row("1-1, stored on SQLite, server CPU per message", run, "server_cpu_us_per_message", "µs", 90)
            run = self._load("chat_relayed", "chat", server, there, pids, count=CHATTERS, window=32, stored=False)
            self._row("1-1, relayed only, server CPU per message", run, "server_cpu_us_per_message", "µs", 40)
            room = f"{there.app_id}_{there.group_id}@muc.localhost"
            traffic: dict[str, Any] = {"count": GROUP, "room": room, "senders": 4, "window": 8}
            run = self._load("group_sqlite", "group", server, there, pids, **traffic)
            name = f"group of {GROUP}, stored on SQLite, server CPU per delivery"
            self._row(name, run, "server_cpu_us_per_delivery", "µs", 5)
            self._tell("waiting for the disk")
            disk = fdatasync(data)
            shown = ", ".join(f"{name} {disk[name]:.1f} ms" for name in ("p50", "p99"))
            self._table.machine["fdatasync"] = f"({shown})"  # no acknowledgement can come sooner
            run = self._load("rate_sqlite", "chat", server, there, pids, count=CHATTERS, rate=100.0, sm=True)
            self._row("100 messages/s, p99 of acknowledgement", run, "ack_latency_p99_ms", "ms", 5)
            self._row("100 messages/s, p99 of delivery", run, "latency_p99_ms", "ms", 5)
            # Others than before: nothing waits for them. All passwords have one hash, so theirs is remembered.
            newcomers: dict[str, Any] = {"first": CHATTERS + 1, "count": self._logins}
            run = self._load("login", "login", server, there, pids, hold=0.0, **newcomers)
            self._row("login with a remembered password, server CPU", run, "server_cpu_us_per_login", "µs", 600)

    def _postgres_part(self) -> None:
        with ExitStack() as stack:
            if self._postgres:
                url, pids = self._postgres, []
                self._table.skipped.append("the CPU of PostgreSQL's processes: its database was given by URL")
            else:
                binaries = Postgres.find()
                if binaries is None:
                    self._table.skipped.append("PostgreSQL: it is not installed (give a database with --postgres)")
                    return
                self._tell("starting PostgreSQL")
                cluster = stack.enter_context(Postgres(binaries))
                url, pids = cluster.create_database(), [cluster.pid]
            data = self._data(stack)
            there = self._seed(data, url, users=CHATTERS, members=2)
            server = self._server(stack, data, url)
            run = self._load("chat_postgres", "chat", server, there, (server.pid, *pids), count=CHATTERS, window=32)
            name = "1-1, stored on PostgreSQL, CPU per message with its processes"
            self._row(name, run, "server_cpu_us_per_message", "µs", 180)

    def _memory_part(self) -> None:
        with ExitStack() as outer:
            data = self._data(outer)
            there = self._seed(data, users=self._idle, members=2)
            for transport, budget in (("tcp", 20), ("wss", 45)):
                with ExitStack() as stack:  # a fresh process each
                    server = self._server(stack, data)
                    how: dict[str, Any] = {"transport": transport, "settle": 0.5}
                    self._load(f"warm_{transport}", "login", server, there, (), count=100, hold=0.0, **how)
                    name = f"idle_{transport}"
                    run = self._load(name, "login", server, there, (server.pid,), count=self._idle, hold=2.0, **how)
                    shown = {"tcp": "TCP", "wss": "WebSocket+TLS"}[transport]
                    self._row(f"memory per idle connection, {shown}", run, "pss_per_connection_kib", "KiB", budget)

    def _history_part(self) -> None:
        with ExitStack() as stack:
            data = self._data(stack)
            there = self._seed(data, users=4, members=2, histories=(SMALL, self._large))
            server = self._server(stack, data)
            run = self._table.runs["history"] = Figures()
            self._tell("reading history")
            page = f"/chat/Message?limit={PAGE}&sort_desc=date_sent&mark_as_read=0&chat_dialog_id="
            pages = Requests(server, there, (server.pid,), lambda answer: len(answer["items"]))
            counts = Requests(server, there, (server.pid,), lambda answer: answer["total"])
            searches = Requests(server, there, (server.pid,), lambda answer: len(answer["messages"]))
            for count, (dialog_id, user_id) in there.histories.items():
                searches.add(count, user_id, f"/chat/search?search_text=Message%20{count // 2},", found=1)
                pages.add(count, user_id, page + dialog_id, found=min(PAGE, count))
                counts.add(count, user_id, "/chat/Message/unread", found=count // 2)
            for _ in range(_ROUNDS):
                for count in there.histories:
                    pages.ask(count, _REQUESTS)
                    counts.ask(count, 4 * _REQUESTS)  # these are quick: many are needed to see their CPU time
                    searches.ask(count, _REQUESTS)
            pages.close()
            counts.close()
            searches.close()
            for name, asked in (("page", pages), ("unread", counts), ("search", searches)):
                for count in there.histories:
                    run.put(f"{name}_{count}_server_cpu_ms", asked.cpu_ms(count), "ms", 3)
                    run.put(f"{name}_{count}_p50_ms", statistics.median(asked.times[count]) * 1000, "ms", 3)
            large = self._large
            self._row(
                f"history page of {PAGE} at {large:.0e} messages, server CPU",
                run,
                f"page_{large}_server_cpu_ms",
                "ms",
                4,
            )
            self._row(f"search in {large:.0e} messages, server CPU", run, f"search_{large}_server_cpu_ms", "ms", 10)
            for name, asked in (("the same page", pages), ("unread counts", counts)):
                ratio = asked.cpu_ms(large) / asked.cpu_ms(SMALL)
                self._table.rows.append(
                    Row(
                        name=f"{name}, {large:.0e} / {SMALL:.0e} messages, server CPU",
                        value=ratio,
                        unit="×",
                        budget=1.3,
                    )
                )

    def _dialogs_part(self) -> None:
        with ExitStack() as stack:
            self._lists(stack, "SQLite", "", ())
        if (binaries := Postgres.find()) is None:
            self._table.skipped.append("lists of dialogs on PostgreSQL: it is not installed")
            return
        with ExitStack() as stack:
            self._tell("starting PostgreSQL")
            cluster = stack.enter_context(Postgres(binaries))
            self._lists(stack, "PostgreSQL", cluster.create_database(), (cluster.pid,))

    def _lists(self, stack: ExitStack, name: str, url: str, pids: tuple[int, ...]) -> None:
        """What a user with many dialogs costs, compared with one who has few."""
        data = self._data(stack)
        there = self._seed(data, url, users=6, members=2, lists=(FEW, MANY))
        server = self._server(stack, data, url)
        run = self._table.runs[f"dialogs_{name.lower()}"] = Figures()
        self._tell(f"reading lists of dialogs on {name}")
        changed = there.listed_at - 20 * LIST_SECONDS - LIST_SECONDS // 2
        questions = {
            "page": ("/chat/Dialog", "list page of 100", min(PAGE, FEW)),
            "changed": (f"/chat/Dialog?updated_at[gt]={changed}", "what has changed", 21),
            "count": ("/chat/Dialog?count=1", "count", 0),
        }
        asked = {short: Requests(server, there, (server.pid, *pids), _listed) for short in questions}
        for short, (path, _, found) in questions.items():
            for count, user_id in there.lists.items():
                asked[short].add(count, user_id, path, found=found or count)
        for _ in range(_ROUNDS):
            for requests in asked.values():
                for count in there.lists:
                    requests.ask(count, _REQUESTS)
        for short, (_, words, _) in questions.items():
            requests = asked[short]
            requests.close()
            for count in there.lists:
                run.put(f"{short}_{count}_server_cpu_ms", requests.cpu_ms(count), "ms", 3)
                run.put(f"{short}_{count}_p50_ms", statistics.median(requests.times[count]) * 1000, "ms", 3)
            ratio = requests.cpu_ms(MANY) / requests.cpu_ms(FEW)
            title = f"{words}, {MANY:.0e} / {FEW} dialogs of a user, {name}"
            self._table.rows.append(Row(name=title, value=ratio, unit="×", budget=1.3))

    def _crowd_part(self) -> None:
        with ExitStack() as stack:
            data = self._data(stack)
            there = self._seed(data, users=CROWD, members=CROWD)
            server = self._server(stack, data)
            run = self._table.runs["crowd"] = Figures()
            self._tell(f"changing a group of {CROWD}")
            for step in Crowd(server, there, (server.pid,), CROWD).steps():
                short = step.name.replace(" ", "_")
                run.put(f"{short}_server_cpu_ms", step.cpu_ms, "ms", 1)
                run.put(f"{short}_took_ms", step.took_ms, "ms", 1)
                if step.name in _CROWD_BUDGETS:
                    title = f"group of {CROWD} on SQLite: {step.name}, server CPU"
                    self._table.rows.append(
                        Row(name=title, value=step.cpu_ms, unit="ms", budget=_CROWD_BUDGETS[step.name])
                    )
            room = f"{there.app_id}_{there.group_id}@muc.localhost"
            traffic: dict[str, Any] = {"count": self._online, "room": room, "senders": 2, "window": 2}
            run = self._load("crowd_messages", "group", server, there, (server.pid,), **traffic)
            name = f"group of {CROWD}, {self._online} online, server CPU per delivery"
            self._row(name, run, "server_cpu_us_per_delivery", "µs", 5)

    # -- their steps -----------------------------------------------------------------------------------------------

    def _data(self, stack: ExitStack) -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voxcube-bench-")))

    def _seed(self, data: Path, database: str = "", **what: Any) -> Seed:
        self._tell("seeding " + ", ".join(f"{name} {value}" for name, value in what.items()))
        return uvloop.run(seed(data, database, **what))

    def _server(self, stack: ExitStack, data: Path, database: str = "") -> Server:
        return stack.enter_context(Server(data, database=database, core=self._core))

    def _load(
        self, name: str, mode: str, server: Server, there: Seed, pids: tuple[int, ...], **options: Any
    ) -> Figures:
        self._tell(f"running {name}")
        port = server.wss if options.get("transport") == "wss" else server.xmpp
        chosen: dict[str, Any] = {
            "port": port,
            "user": f"{{}}-{there.app_id}",
            "password": PASSWORD,
            "pid": ",".join(map(str, pids)),
            "seconds": self._seconds,
            "settle": 0.5,
            "label": name,
            "nick": "{}",
            **options,
        }
        figures = uvloop.run(load.run(mode, Options(**chosen)))
        self._table.runs[name] = figures
        return figures

    def _row(self, name: str, run: Figures, figure: str, unit: str, budget: float) -> None:
        self._table.rows.append(Row(name=name, value=run.number(figure), unit=unit, budget=budget))
