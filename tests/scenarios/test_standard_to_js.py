"""What a standard client writes that the official JavaScript SDK must not be given: it would report messages without a
text, deliveries and last activities that there are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.features.test_message_types import EMPTY, mediated
from tests.support.js_user import JsUser
from tests.support.node import PASSWORD, running
from voxcube.xmpp.payloads import markers

QUERIES = (
    '<query xmlns="jabber:iq:version"/>',
    '<query xmlns="http://jabber.org/protocol/disco#info"/>',
    '<query xmlns="jabber:iq:roster"><item jid="1-1@localhost"/></query>',
)


@pytest.mark.parametrize("kind", ["", ' type="chat"', ' type="normal"', ' type="funny"'])
async def test_nothing_is_reported_that_is_not_there(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path / "node", "ann", "bob") as node:
        ann, bob = node.people["ann"], node.people["bob"]
        config: dict[str, Any] = {
            "endpoints": {
                "api": "localhost",
                "api_url": f"http://localhost:{node.app.doors['http'][1]}",
                "chat": "localhost",
                "chat_url": f"ws://localhost:{node.app.doors['ws'][1]}",
            },
        }
        room = ann.room(await node.dialog(ann, bob))
        standard = await node.login(ann)
        async with JsUser(bob.app_id, node.auth_key, config) as app:
            await app.call("createSession", {"login": bob.login, "password": PASSWORD})
            await app.call("chat.connect", {"userId": bob.id, "password": PASSWORD})
            await app.settle()
            jid = (await app.call("chatState"))["jid"]
            for number, content in enumerate(EMPTY.values()):
                standard.send(f'<message{kind} id="m{number}" to="{bob.jid}">{content}</message>')
                standard.send(f'<message{kind} id="f{number}" to="{jid}">{content}</message>')
                standard.send(f'<message type="groupchat" id="g{number}" to="{room}">{content}</message>')
            standard.send(f'<message{kind} id="i1" to="{room}">{mediated(bob.jid)}</message>')
            standard.send(f'<presence to="{bob.jid}"/>')
            for number, query in enumerate(QUERIES):
                for type_ in ("get", "set", "result", "error"):
                    standard.send(f'<iq type="{type_}" id="{type_}{number}" to="{jid}">{query}</iq>')
            standard.send(f'<message type="error" id="m1" to="{jid}"><body>x</body></message>')
            standard.send(
                f'<message{kind} to="{bob.jid}"><composing xmlns="http://jabber.org/protocol/chatstates"/></message>'
            )
            id_ = node.message_id()
            standard.send(
                f'<message{kind} id="{id_}" to="{bob.jid}"><active xmlns="http://jabber.org/protocol/chatstates"/>'
                "<body>Lunch?</body></message>"
            )
            sender, message = await app.event("message")
            assert (sender, message["id"], message["body"]) == (ann.id, id_, "Lunch?")
            assert message["extension"] is not None
            assert await app.event("typing") == [True, ann.id, None]
            await app.settle()
            reported = ("message", "typing", "delivered", "read", "lastActivity", "messageError", "system", "joined")
            assert {name: app.waiting(name) for name in reported} == {name: [] for name in reported}
            # The app says by itself that it has the text, and nothing else.
            await standard.ping()
            assert not [stanza for stanza in standard.take_all("message") if markers.decode(stanza) is not None]
        await node.hang_up()
