"""The runs: log users in, let them chat in pairs or in rooms, or hold them idle; and the figures of that."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from time import monotonic

from voxcube.bench import sockets
from voxcube.bench.connection import Connection, LoadError
from voxcube.bench.figures import Figures
from voxcube.bench.options import Options
from voxcube.bench.processes import Usage, usage
from voxcube.bench.tally import Tally

JOINS_AT_ONCE = 16
JOIN_SECONDS = 60.0
CLOSE_SECONDS = 3.0
#: A timer of the event loop may be this late; the rest of the way to a message that is due is waited for actively.
TIMER_SECONDS = 0.0015


async def login(options: Options) -> Figures:
    """Logs all users in, holds the connections, and tells what that took. Raises LoadError, OSError, NoProcess."""
    figures = _begin("login", options)
    before = usage(options.pids, proportional=True)
    async with _connected(options, figures) as (tally, seconds):
        after = usage(options.pids)
        figures.put_latencies("login_latency", tally.logins)
        _put_cpu(figures, options, before, after, seconds, {"login": options.count})
        await asyncio.sleep(options.settle)
        settled = usage(options.pids)
        await asyncio.sleep(options.hold)
        held = usage(options.pids, proportional=True)
        if options.pids:
            count = options.count
            figures.put("rss_before_kib", before.rss, "KiB")
            figures.put("rss_after_kib", held.rss, "KiB")
            figures.put("rss_per_connection_kib", (held.rss - before.rss) / count, "KiB", 2)
            figures.put("pss_per_connection_kib", (held.pss - before.pss) / count, "KiB", 2)
            if options.hold > 0:
                figures.put("idle_server_cores", (held.seconds - settled.seconds) / options.hold, "cores", 4)
        _put_troubles(figures, tally)
    return figures


async def chat(options: Options) -> Figures:
    """Users chat in pairs: the first with the second, the third with the fourth. Raises as `login`."""
    figures = _begin("chat", options)
    async with _connected(options, figures) as (tally, _):
        senders = []
        for user in tally.connections:
            other = tally.connections[user.index ^ 1]
            user.releases = other
            if options.both or user.index % 2 == 0:
                user.prepare(f"{other.name}@{options.domain}", "chat", receivers=1)
                senders.append(user)
        await _traffic(options, tally, senders, figures, "message")
    return figures


async def group(options: Options) -> Figures:
    """Users join rooms, and some of each write to all. Raises as `login`."""
    figures = _begin("group", options)
    async with _connected(options, figures) as (tally, _):
        rooms = [tally.connections[number :: options.rooms] for number in range(options.rooms)]
        senders = []
        for number, members in enumerate(rooms, start=1):
            room = options.room.replace("{}", str(number))
            await _join(options, room, members)
            for user in members[: options.senders]:
                user.prepare(room, "groupchat", receivers=len(members))
                senders.append(user)
        await _traffic(options, tally, senders, figures, "delivery")
    return figures


#: The runs by name.
MODES: Mapping[str, Callable[[Options], Awaitable[Figures]]] = {"chat": chat, "group": group, "login": login}


async def run(mode: str, options: Options) -> Figures:
    """One run. Raises OptionError, LoadError, OSError (the server is away), NoProcess."""
    options.check(mode)
    _allow_files(options.count + 100)
    # A look of the collector at all objects would show as latency of the server.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return await MODES[mode](options)
    finally:
        gc.enable()
        gc.unfreeze()


def _begin(mode: str, options: Options) -> Figures:
    figures = Figures()
    figures.put("mode", mode)
    if options.label:
        figures.put("label", options.label)
    figures.put("transport", options.transport)
    figures.put("users", options.count)
    return figures


@contextlib.asynccontextmanager
async def _connected(options: Options, figures: Figures) -> AsyncIterator[tuple[Tally, float]]:
    """All users logged in, and the seconds that this took; they are disconnected at the end."""
    tally = Tally()
    connections = tally.connections = [Connection(index, options, tally) for index in range(options.count)]
    context = sockets.tls_context(options) if options.transport in ("starttls", "tls", "wss") else None
    waiting = iter(connections)

    async def worker() -> None:
        for connection in waiting:
            connection.begun = monotonic()
            await sockets.connect(connection, options, context)
            await connection.ready()

    begun = monotonic()
    try:
        try:
            async with asyncio.timeout(options.connect_timeout), asyncio.TaskGroup() as workers:
                for _ in range(min(options.concurrency, options.count)):
                    workers.create_task(worker())
        except TimeoutError:
            raise LoadError(f"{len(tally.logins)} of {options.count} users logged in in time") from None
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        seconds = monotonic() - begun
        figures.put("login_s", seconds, "s", 3)
        figures.put("logins_per_s", options.count / seconds, "/s", 1)
        yield tally, seconds
    finally:
        for connection in connections:
            connection.close()
        until = monotonic() + CLOSE_SECONDS
        while not all(connection.gone for connection in connections) and monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _join(options: Options, room: str, members: list[Connection]) -> None:
    """The first member creates the room where there is none yet; the others follow."""
    number = {user: str(options.first + user.index) for user in members}
    try:
        async with asyncio.timeout(JOIN_SECONDS):
            await members[0].join(room, options.nick.replace("{}", number[members[0]]))
            for at in range(1, len(members), JOINS_AT_ONCE):
                some = members[at : at + JOINS_AT_ONCE]
                await asyncio.gather(*(user.join(room, options.nick.replace("{}", number[user])) for user in some))
    except TimeoutError:
        raise LoadError(f"not all users could join {room} in time") from None


async def _traffic(options: Options, tally: Tally, senders: list[Connection], figures: Figures, unit: str) -> None:
    """Sends for the warm-up and the measured time, waits for what is under way, adds the figures."""
    await asyncio.sleep(options.settle)
    pacer = None
    if options.rate > 0:
        pacer = asyncio.create_task(_pace(options.rate, senders))
    else:
        tally.windows_open = True
        for sender in senders:
            sender.refill()
    try:
        await asyncio.sleep(options.warmup)
        before = usage(options.pids)
        tally.start = monotonic()
        tally.end = tally.start + options.seconds
        await asyncio.sleep(options.seconds)
        after = usage(options.pids)
    finally:
        tally.windows_open = False
        if pacer is not None:
            pacer.cancel()
    stopped = monotonic()
    while not _settled(options, tally) and monotonic() < stopped + options.drain:  # noqa: ASYNC110 (no hot-path event)
        await asyncio.sleep(0.02)
    seconds = options.seconds
    figures.put("senders", len(senders))
    if options.rate > 0:
        figures.put("rate", options.rate, "/s", 1)
    else:
        figures.put("window", options.window)
    figures.put("measured_s", seconds, "s", 1)
    figures.put("drain_s", monotonic() - stopped, "s", 2)
    figures.put("sent", tally.sent, "messages")
    figures.put("delivered", tally.delivered, "deliveries")
    figures.put("lost", tally.expected - tally.delivered, "deliveries")
    figures.put("errors", tally.errors)
    figures.put("out_of_order", tally.disorder)
    figures.put("sent_per_s", tally.sent_measured / seconds, "/s", 1)
    figures.put("delivered_per_s", tally.delivered_measured / seconds, "/s", 1)
    figures.put_latencies("latency", tally.latencies)
    if options.sm:
        figures.put("acked", tally.acked, "messages")
        figures.put_latencies("ack_latency", tally.acks)
    per = {unit: tally.delivered_measured}
    if unit == "delivery":
        per["message"] = tally.sent_measured
    _put_cpu(figures, options, before, after, seconds, per)
    _put_troubles(figures, tally)


def _settled(options: Options, tally: Tally) -> bool:
    return tally.complete and (not options.sm or tally.acked >= tally.sent)


async def _pace(rate: float, senders: list[Connection]) -> None:
    """Sends `rate` messages a second in all, one sender after the other, whatever the server does."""
    begun = monotonic()
    number = 0
    while True:
        due = begun + number / rate
        ahead = due - monotonic()
        if ahead <= 0:
            senders[number % len(senders)].send(due)
            number += 1
            if number % 64 == 0:
                await asyncio.sleep(0)  # so that a generator that is behind still reads
        elif ahead > TIMER_SECONDS:
            await asyncio.sleep(ahead - TIMER_SECONDS)
        else:
            await asyncio.sleep(0)


def _put_cpu(
    figures: Figures, options: Options, before: Usage, after: Usage, seconds: float, per: Mapping[str, float]
) -> None:
    figures.put("generator_cores", (after.own - before.own) / seconds, "cores", 2)
    if options.pids:
        spent = after.seconds - before.seconds
        figures.put("server_cpu_s", spent, "s", 2)
        if len(options.pids) > 1:
            for number, (now, then) in enumerate(zip(after.cpu, before.cpu, strict=True), start=1):
                figures.put(f"server_cpu_s_{number}", now - then, "s", 2)
        figures.put("server_cores", spent / seconds, "cores", 2)
        for unit, count in per.items():
            figures.put(f"server_cpu_us_per_{unit}", spent * 1e6 / count if count else 0.0, "µs", 1)
        figures.put("server_rss_kib", after.rss, "KiB")
    if total := after.total - before.total:
        if options.pids:
            # Whatever else ran here took cores and caches from both.
            busy = total - (after.idle - before.idle)
            others = busy - (after.seconds - before.seconds) - (after.own - before.own)
            figures.put("others_cores", max(0.0, others / seconds), "cores", 2)
        figures.put("machine_idle_pct", 100 * (after.idle - before.idle) / total, "%", 1)
        figures.put("machine_steal_pct", 100 * (after.steal - before.steal) / total, "%", 1)


def _put_troubles(figures: Figures, tally: Tally) -> None:
    figures.put("disconnects", tally.disconnects)
    for number, trouble in enumerate(tally.troubles, start=1):
        figures.put(f"trouble_{number}", trouble)


def _allow_files(count: int) -> None:
    """Raises the limit of open files of this process. Raises LoadError when the system does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise LoadError(f"{count} open files are needed, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
