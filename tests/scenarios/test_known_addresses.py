"""Addresses that an account has logged in from, behind a trusted proxy: what the proxy reports counts, nothing else.

An owner who has logged in at home gets in while an attack from many addresses is refused (`users/doorkeeper.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.support.node import PASSWORD, Node, running
from tests.support.xmpp_peer import Peer
from voxcube.server.features.users import doorkeeper
from voxcube.server.features.users.doorkeeper import SHARED
from voxcube.server.features.users.passwords import Passwords
from voxcube.xmpp.xml import Element

HOME, ELSEWHERE = "192.0.2.1", "203.0.113.5"
Login = Callable[[str, str], Awaitable[str]]


def attackers() -> list[str]:
    return [f"198.51.100.{number}" for number in range(2 * SHARED)]


class Adapters:
    """Logins as ann through both listeners in clear, with an X-Forwarded-For."""

    def __init__(self, node: Node, rest: httpx.AsyncClient) -> None:
        self._node = node
        self._rest = rest

    async def rest(self, password: str, forwarded: str) -> str:
        ann = self._node.people["ann"]
        body = {
            "application_id": ann.app_id,
            "auth_key": self._node.auth_key,
            "user": {"login": ann.login, "password": password},
        }
        answer = await self._rest.post("/session", json=body, headers={"X-Forwarded-For": forwarded})
        return {201: "in", 401: "wrong", 429: "refused"}[answer.status_code]

    async def ws(self, password: str, forwarded: str) -> str:
        address = self._node.app.doors["ws"]
        peer = await Peer.connect(address, websocket=True, headers=f"X-Forwarded-For: {forwarded}\r\n")
        try:
            await peer.open()
            peer.auth(self._node.people["ann"].name, password)
            answer = await outcome(peer)
            if answer.name == "success":
                return "in"
            return "wrong" if answer.find("not-authorized") is not None else "refused"
        finally:
            await peer.close()


async def outcome(peer: Peer) -> Element:
    """The answer to a login."""
    async with asyncio.timeout(60):
        while not (found := [element for element in peer.waiting if element.name in ("success", "failure")]):
            await asyncio.sleep(0.01)
    return found[0]


async def attack(login: Login, before: str = "") -> list[str]:
    """More wrong passwords than an account is allowed from everywhere; what became of them."""
    return [await login("a wrong guess", f"{before}{address}") for address in attackers() for _ in range(5)]


async def served(data: Path, trusted: str) -> AsyncIterator[Adapters]:
    async with (
        running(data, "ann", unlimited=False, wrong_passwords=5, trusted_proxies=trusted) as node,
        node.rest() as rest,
    ):
        yield Adapters(node, rest)


@pytest.fixture(autouse=True)
def nothing_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    """For some minutes a right password is taken from anywhere, and wrong ones are forgiven with time; not here."""
    monkeypatch.setattr(doorkeeper, "AGAIN_SECONDS", 1e9)
    monkeypatch.setattr(Passwords, "remembers", lambda *_: False)


@pytest.fixture
async def behind_a_proxy(tmp_path: Path) -> AsyncIterator[Adapters]:
    async for adapters in served(tmp_path / "node", "127.0.0.1"):
        yield adapters


@pytest.fixture
async def without_a_proxy(tmp_path: Path) -> AsyncIterator[Adapters]:
    async for adapters in served(tmp_path / "node", ""):
        yield adapters


@pytest.mark.parametrize("adapter", ["rest", "ws"])
async def test_the_client_behind_a_trusted_proxy_is_known(behind_a_proxy: Adapters, adapter: str) -> None:
    login: Login = getattr(behind_a_proxy, adapter)
    other: Login = getattr(behind_a_proxy, "ws" if adapter == "rest" else "rest")
    assert await login(PASSWORD, HOME) == "in"
    assert await login(PASSWORD, f"{ELSEWHERE}, {HOME}") == "in"  # what the client wrote itself stands first
    answers = await attack(login)
    assert answers[:50] == ["wrong"] * 50
    assert "refused" in answers[50:]
    assert await login(PASSWORD, ELSEWHERE) == "refused"
    assert await login(PASSWORD, f"{HOME}, {ELSEWHERE}") == "refused"  # only the last hop is what the proxy has seen
    assert await login(PASSWORD, HOME) == "in"
    assert await other(PASSWORD, HOME) == "in"  # known at the other adapter too


@pytest.mark.parametrize("adapter", ["rest", "ws"])
async def test_a_forged_header_of_an_untrusted_peer_changes_nothing(without_a_proxy: Adapters, adapter: str) -> None:
    """All count as 127.0.0.1: neither does an attacker get more attempts, nor does it take a known address."""
    login: Login = getattr(without_a_proxy, adapter)
    answers = [await login("a wrong guess", address) for address in attackers()]
    assert answers == ["wrong"] * 5 + ["refused"] * (len(answers) - 5)
    assert await login(PASSWORD, HOME) == "refused"
