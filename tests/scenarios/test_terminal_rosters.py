"""finch (libpurple) and mcabber, chat clients for the terminal from Debian's packages, show their user's contacts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.node import PASSWORD, Node, running
from tests.support.terminal import Terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")

FINCH_ACCOUNTS = """<?xml version='1.0' encoding='UTF-8' ?>
<account version='1.0'><account>
<protocol>prpl-jabber</protocol><name>{jid}/finch</name><password>{password}</password>
<settings>
<setting name='connection_security' type='string'>require_tls</setting>
<setting name='connect_server' type='string'>127.0.0.1</setting>
<setting name='port' type='int'>{port}</setting>
</settings>
<settings ui='gnt-purple'><setting name='auto-login' type='bool'>1</setting></settings>
</account></account>
"""
FINCH_PREFERENCES = """<?xml version='1.0' encoding='UTF-8' ?>
<pref version='1' name='/'><pref name='finch'><pref name='blist'>
<pref name='showoffline' type='bool' value='1'/>
</pref></pref></pref>
"""
MCABBER = """set jid = {jid}
set password = {password}
set server = 127.0.0.1
set port = {port}
set tls = 0
set ssl = 1
set ssl_ca = {certificate}
set ssl_ignore_checks = 1
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("rosters") / "node", "ann", "bob", "cyd", plaintext=False) as node:
        await give_contacts(node)
        yield node
        await node.hang_up()


async def give_contacts(node: Node) -> None:
    """ann has bob, who is online and whose presence she sees, and cyd, who is neither, as contacts."""
    ann, bob, cyd = (node.people[name] for name in ("ann", "bob", "cyd"))
    hers, his = await node.login(ann, door="xmpps"), await node.login(bob, door="xmpps")
    for jid, name in ((bob.jid, "Robert Online"), (cyd.jid, "Cydonia Away")):
        item = f'<item jid="{jid}" name="{name}"/>'
        hers.send(f'<iq type="set" id="{name}"><query xmlns="jabber:iq:roster">{item}</query></iq>')
        await hers.wait("iq", id=name, type="result")
    hers.send(f'<presence type="subscribe" to="{bob.jid}"/>')
    his.send(f'<presence type="subscribed" to="{ann.jid}"/>')
    await hers.wait("presence", type="subscribed")
    await hers.close()


async def test_finch_shows_its_contacts(node: Node, tmp_path: Path) -> None:
    ann = node.people["ann"]
    purple = tmp_path / "home" / ".purple"
    known = purple / "certificates" / "x509" / "tls_peers"
    known.mkdir(parents=True)
    (known / "127.0.0.1").write_bytes((node.config.data / "tls.crt").read_bytes())
    port = node.app.doors["xmpp"][1]
    (purple / "accounts.xml").write_text(FINCH_ACCOUNTS.format(jid=ann.jid, password=PASSWORD, port=port))
    (purple / "prefs.xml").write_text(FINCH_PREFERENCES)
    async with Terminal(tmp_path / "home", "finch") as terminal:
        await terminal.until("Robert Online")
        await terminal.until("Cydonia Away")


async def test_mcabber_shows_its_contacts(node: Node, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".mcabber").mkdir(parents=True, mode=0o700)
    settings = home / ".mcabber" / "mcabberrc"
    port = node.app.doors["xmpps"][1]
    certificate = node.config.data / "tls.crt"
    settings.write_text(
        MCABBER.format(jid=node.people["ann"].jid, password=PASSWORD, port=port, certificate=certificate)
    )
    settings.chmod(0o600)
    async with Terminal(home, "mcabber") as terminal:
        await terminal.until("Robert Online")
        await terminal.until("Cydonia Away")
