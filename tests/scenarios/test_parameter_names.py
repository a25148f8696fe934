"""Custom parameters have one name and one value on every way, or are refused: REST, live, history, archive, XMPP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.scenarios.test_forged import archive
from tests.support.node import Node, running
from voxcube.xmpp.payloads import extra_params
from voxcube.xmpp.xml import Element

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture"),
]

#: What is given by REST → what everybody has. None: 422.
GIVEN: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({"city": "Oslo"}, {"city": "Oslo"}),
    ({"1abc": "v"}, {"_1abc": "v"}),  # as JavaScript's `{"1abc": "v"}` comes over the chat connection
    ({"1": {"2": "v"}}, {"_1": {"_2": "v"}}),
    ({"list": ["a", "b", ["c"]]}, {"list": {"_0": "a", "_1": "b", "_2": {"_0": "c"}}}),
    ({"1a": "x", "_1a": "y"}, None),
    ({"a": {"1": "x", "_1": "y"}}, None),
    ({"_x": "v", "x-y.z": "w"}, {"_x": "v", "x-y.z": "w"}),
    ({"a b": "v"}, None),
    ({"a:b": "v"}, None),
    ({"-a": "v"}, None),
    ({".a": "v"}, None),
    ({"": "v"}, None),
    ({"a": {"": "v"}}, None),
    ({"a": {"b c": "v"}}, None),
    ({"ключ": "v"}, None),
    ({"١": "v"}, None),  # a digit, but not one of ASCII
    ({"a<b": "v"}, None),
    ({"a\u0001": "v"}, None),
    ({"attachment": "v"}, None),
    ({"xmlns": "v"}, {"xmlns": "v"}),
    ({"deep": {"attachment": "v", "xmlns": "w"}}, {"deep": {"attachment": "v", "xmlns": "w"}}),
    ({"t": True, "f": False, "n": None}, {"t": "true", "f": "false", "n": ""}),
    ({"i": 5, "d": 1.5, "w": 2.0, "big": 2**60}, {"i": "5", "d": "1.5", "w": "2", "big": str(2**60)}),
    ({"o": {}, "l": []}, {"o": "", "l": ""}),
    ({"o": {"t": True, "n": None, "o": {"x": 1}}}, {"o": {"t": "true", "n": "", "o": {"x": "1"}}}),
    ({"v": " a \t\r\n <&>\"' ж😀 "}, {"v": " a \t\r\n <&>\"' ж😀 "}),
    ({"v": "a\u0001"}, None),
    ({"v": "a\uffff"}, None),
    ({"attachments": [{"type": "image", "1a": "v"}]}, None),
    ({"attachments": [{"type": "image", "xmlns": "v"}]}, None),
    ({"attachments": [{"type": "image", "a b": "v"}]}, None),
    ({"attachments": [{"type": "image", "size": 5, "n": None}]}, {}),
]


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the server runs on."""
    return uvloop.EventLoopPolicy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(tmp_path_factory.mktemp("names") / "node", "ann", "bob") as node:
        yield node


def parameters(stanza: Element) -> tuple[dict[str, Any], list[dict[str, str]]]:
    extra = extra_params.decode(stanza.find("extraParams"))
    return extra.properties, extra.attachments


@pytest.mark.parametrize(("given", "everywhere"), GIVEN, ids=[str(index) for index in range(len(GIVEN))])
async def test_given_by_rest(node: Node, given: dict[str, Any], everywhere: dict[str, Any] | None) -> None:
    ann, bob = await node.person(), await node.person()
    reader = await node.login(bob)
    async with await node.rest_login(ann) as rest:
        body = {"recipient_id": bob.id, "message": "x", "send_to_chat": 1, **given}
        made = await rest.post("/chat/Message", json=body)
        assert made.status_code == (422 if everywhere is None else 201), made.text
        if everywhere is not None:
            item = made.json()
            [history] = await node.history(ann, item["chat_dialog_id"])
            live = await reader.wait("message", id=item["_id"])
            [archived] = await archive(reader)
            attachments = given.get("attachments", [])
            files = [{"type": "image", "size": "5", "n": ""}] if attachments else []
            assert parameters(live) == parameters(archived) == (everywhere, files)
            for shown in (item, history):
                assert {**shown, **everywhere} == shown
                assert shown["attachments"] == files
                assert not (set(given) - set(everywhere) - {"attachments"}) & set(shown)
        else:
            assert not reader.take_all("message")
    await node.hang_up()


@pytest.mark.parametrize("kind", ["xmpp", "ws"])
async def test_given_over_the_chat(node: Node, kind: str) -> None:
    """What live readers get is in history and archive; the digits of JavaScript's arrays are repaired on WebSockets."""
    ann, bob = await node.person(), await node.person()
    sender, reader = await node.login(ann, door=kind), await node.login(bob)
    digits = "<arr><0>p</0><1>q</1></arr>" if kind == "ws" else "<arr><_0>p</_0><_1>q</_1></arr>"
    id_ = node.message_id()
    sender.send(
        f"<message xmlns='jabber:client' type='chat' id='{id_}' to='{bob.jid}'><body>x</body><extraParams>"
        f"<save_to_history>1</save_to_history>{digits}<ключ>v</ключ><x-y.z/><p:k xmlns:p='urn:x'>v</p:k>"
        f"<o><t>true</t></o><attachment type='image' size='5'/></extraParams></message>"
    )
    live = await reader.wait("message", id=id_)
    [archived] = await archive(reader)
    wanted = {"arr": {"_0": "p", "_1": "q"}, "ключ": "v", "x-y.z": "", "k": "v", "o": {"t": "true"}}
    assert parameters(live) == parameters(archived) == (wanted, [{"type": "image", "size": "5"}])
    dialog = extra_params.decode(live.find("extraParams")).dialog_id
    assert dialog is not None
    [item] = await node.history(ann, dialog)
    assert {**item, **wanted} == item
    await node.hang_up()


async def test_system_messages(node: Node) -> None:
    ann, bob = await node.person(), await node.person()
    reader = await node.login(bob)
    async with await node.rest_login(ann) as rest:
        made = await rest.post("/chat/Message/system", json={"recipientId": bob.id, "1abc": "v", "l": [1]})
        assert made.status_code == 201
        live, _ = parameters(await reader.wait("message", type="headline"))
        assert made.json()["extensionParams"] == live == {"_1abc": "v", "l": {"_0": "1"}}
        assert (await rest.post("/chat/Message/system", json={"recipientId": bob.id, "a b": "v"})).status_code == 422
    await node.hang_up()
