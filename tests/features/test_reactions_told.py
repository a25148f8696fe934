"""The notice of a reaction, byte by byte: to all sessions of everybody in the dialog (realtime §9.5)."""

import pytest

from tests.support.node import Node
from voxcube.xmpp.xml import to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_notices(stage: Node) -> None:
    ann, bob, cyd = (stage.people[name] for name in ("ann", "bob", "cyd"))
    group = await stage.dialog(ann, bob)
    sessions = [await stage.login(ann), await stage.login(ann, door="ws"), await stage.login(bob, carbons=True)]
    outsider = await stage.login(cyd)
    save = "<extraParams><save_to_history>1</save_to_history></extraParams>"
    in_group, in_private = stage.message_id(), stage.message_id()
    sessions[0].send(f'<message type="groupchat" id="{in_group}" to="{ann.room(group)}"><body>x</body>{save}</message>')
    sessions[0].send(f'<message type="chat" id="{in_private}" to="{bob.jid}"><body>x</body>{save}</message>')
    await sessions[2].wait("message", id=in_group)
    await sessions[2].wait("message", id=in_private)
    for peer in sessions:
        await peer.ping()
        peer.take_all("message")
    async with await stage.rest_login(bob) as client:
        private = (await client.get("/chat/Dialog?type=3")).json()["items"][0]["_id"]
        for message_id, kind, sender, dialog_id in (
            (in_private, "chat", bob.jid, private),
            (in_group, "groupchat", f"{bob.room(group)}/{bob.id}", group),
        ):
            for body, halves in (
                ({"add": "👍"}, '<reaction add="true" type="👍"/>'),
                ({"add": '<&">', "remove": "👍"}, None),
                ({"remove": '<&">'}, '<reaction remove="true" type="&lt;&amp;&quot;&gt;"/>'),
            ):
                answer = await client.put(f"/chat/Message/{message_id}/reactions", json=body)
                assert (answer.status_code, answer.json()) == (200, {})
                for peer in sessions:
                    notice = await peer.wait("message")
                    assert len(notice.attrs["id"]) == 24
                    children = halves or (
                        '<reaction add="true" type="&lt;&amp;&quot;&gt;"/><reaction remove="true" type="👍"/>'
                    )
                    assert to_xml(notice) == (
                        f'<message xmlns="jabber:client" from="{sender}" to="{peer.jid}" type="{kind}"'
                        f' id="{notice.attrs["id"]}">'
                        f'<extraParams xmlns="jabber:client"><dialog_id>{dialog_id}</dialog_id>'
                        f'</extraParams><reactions user_id="{bob.id}" message_id="{message_id}">{children}</reactions>'
                        "</message>"
                    )
            assert (await client.put(f"/chat/Message/{message_id}/reactions", json={"remove": "👍"})).status_code == 200
    for peer in (*sessions, outsider):
        await peer.ping()
        assert peer.take_all("message") == []
