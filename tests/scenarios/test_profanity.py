"""profanity, a chat client for the terminal from Debian's packages, as docs/howto/profanity.md has it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.scenarios.test_slixmpp import sdk_user
from tests.support.node import PASSWORD, Node, running
from tests.support.terminal import SECONDS, Terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("profanity") / "node", "ann", "bob", plaintext=False) as node:
        yield node


@pytest.mark.parametrize(("door", "policy"), [("xmpp", "force"), ("xmpps", "legacy")])
async def test_logs_in_and_chats(node: Node, tmp_path: Path, door: str, policy: str) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    port = node.app.doors[door][1]
    async with Terminal(tmp_path / "home", "profanity") as terminal, sdk_user(node, bob) as cube:
        messages = cube.chat.messages()
        await terminal.until("Type '/help'")
        await terminal.type(f"/connect {ann.jid} server 127.0.0.1 port {port} tls {policy}")
        await terminal.until("Enter password:")
        await terminal.type(PASSWORD)
        await terminal.until("Use '/tls allow'")  # the certificate is the server's own
        await terminal.type("/tls allow")
        await terminal.until("logged in successfully")

        await terminal.type(f"/msg {bob.jid} Hej från terminalen")
        message = await asyncio.wait_for(anext(messages), SECONDS)
        assert (message.sender_id, message.body) == (ann.id, "Hej från terminalen")

        await cube.chat.send(to_user=ann.id, body="Grüße vom SDK 👋")
        await terminal.until("Grüße vom SDK")
        await terminal.type("tack")
        assert (await asyncio.wait_for(anext(messages), SECONDS)).body == "tack"
        await terminal.type("/disconnect")
        await terminal.until("logged out successfully")


async def test_a_wrong_password_is_said(node: Node, tmp_path: Path) -> None:
    async with Terminal(tmp_path / "home", "profanity") as terminal:
        await terminal.until("Type '/help'")
        port = node.app.doors["xmpp"][1]
        await terminal.type(f"/connect {node.people['ann'].jid} server 127.0.0.1 port {port} tls trust")
        await terminal.until("Enter password:")
        await terminal.type("not the password")
        await terminal.until("Login failed.")
