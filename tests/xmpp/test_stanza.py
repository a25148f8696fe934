"""Stanzas and the replies to them (realtime §7.2)."""

import pytest

from tests.xmpp.helpers import element
from voxcube.xmpp import stanza
from voxcube.xmpp.errors import CONDITIONS, LocalProtocolError, RemoteProtocolError
from voxcube.xmpp.xml import Element, serialize

REQUEST = element(b"<iq type='get' id='1' to='chat.example.org' from='77-3@chat.example.org/r'><q xmlns='u'/></iq>")


def test_error_reply() -> None:
    message = element(
        b"<message type='chat' id='65a1' to='88-3@chat.example.org' from='77-3@chat.example.org/res-a'>"
        b"<body>Lunch?</body><extraParams xmlns='jabber:client'><dialog_id>64c0</dialog_id></extraParams></message>"
    )
    assert serialize(stanza.error_reply(message, "service-unavailable")) == (
        b'<message xmlns="jabber:client" type="error" id="65a1" from="88-3@chat.example.org" '
        b'to="77-3@chat.example.org/res-a"><body>Lunch?</body>'
        b'<extraParams xmlns="jabber:client"><dialog_id>64c0</dialog_id></extraParams>'
        b'<error code="503" type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>'
        b'<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas" xml:lang="en">Service not available.</text>'
        b"</error></message>"
    )
    assert len(message.children) == 2


def test_error_reply_in_other_words() -> None:
    reply = stanza.error_reply(REQUEST, "forbidden", "No.", from_="a@b", type_="cancel")
    error = reply.find("error")
    assert error is not None
    assert (reply.get("from"), error.get("type"), error.get("code")) == ("a@b", "cancel", "403")
    assert [child.name for child in error.elements()] == ["forbidden", "text"]
    assert error.find("text") == stanza.stanza_error("forbidden", "No.").find("text")


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_has_all_that_clients_need(condition: str) -> None:
    error = stanza.stanza_error(condition)
    first, text = error.elements()
    assert first.name == condition
    assert text.text
    assert error.attrs["code"].isdigit()
    assert error.attrs["type"] in ("auth", "cancel", "modify", "wait")


@pytest.mark.parametrize("xml", [b"<message type='error'/>", b"<iq type='error'/>", b"<iq type='result'/>"])
def test_errors_and_results_are_never_answered(xml: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        stanza.error_reply(element(xml), "bad-request")


def test_iq_result() -> None:
    assert serialize(stanza.iq_result(REQUEST, Element("q", {"xmlns": "u"}))) == (
        b'<iq xmlns="jabber:client" type="result" id="1" from="chat.example.org" to="77-3@chat.example.org/r">'
        b'<q xmlns="u"/></iq>'
    )
    assert stanza.iq_result(REQUEST, from_="x").get("from") == "x"
    assert "from" not in stanza.iq_result(Element("iq", {"type": "set", "id": "2"})).attrs


def test_builders() -> None:
    body = Element("body", None, ["hi"])
    assert serialize(stanza.message(body, id_="1", from_="a@b", to="c@d")) == (
        b'<message xmlns="jabber:client" type="chat" id="1" from="a@b" to="c@d"><body>hi</body></message>'
    )
    assert serialize(stanza.presence()) == b'<presence xmlns="jabber:client"/>'
    assert serialize(stanza.presence(type_="unavailable", to="a@b")) == (
        b'<presence xmlns="jabber:client" type="unavailable" to="a@b"/>'
    )
    assert serialize(stanza.iq("get", "7", Element("ping", {"xmlns": "urn:xmpp:ping"}))) == (
        b'<iq xmlns="jabber:client" type="get" id="7"><ping xmlns="urn:xmpp:ping"/></iq>'
    )


def test_errors_say_what_happened() -> None:
    assert str(RemoteProtocolError("policy-violation", "too big")) == "policy-violation: too big"
    assert str(RemoteProtocolError("bad-format")) == "bad-format"
