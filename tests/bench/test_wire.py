"""Messages from templates, and finding them again in received bytes, however they are cut."""

import pytest

from voxcube.bench import wire
from voxcube.xmpp.parser import StreamParser
from voxcube.xmpp.payloads import extra_params
from voxcube.xmpp.xml import Element

RUN = "0a1b2c3d"
HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


def parsed(data: bytes) -> list[Element]:
    """Top-level elements, read by the real parser."""
    tokens = StreamParser(max_stanza=100_000).feed(HEADER + data)
    return [token for token in tokens if isinstance(token, Element)]


def message(number: int, **changes: object) -> bytes:
    options: dict[str, object] = {"run": RUN, "to": "8-1@localhost", "kind": "chat", "saved": True, **changes}
    return wire.fill(wire.template(**options), number, 1_700_000_000)  # type: ignore[arg-type]


@pytest.mark.parametrize("saved", [True, False])
def test_a_filled_template_is_a_message(saved: bool) -> None:
    number = 7 * wire.LARGEST + 12
    (stanza,) = parsed(message(number, saved=saved, size=60))
    assert stanza.attrs == {"to": "8-1@localhost", "type": "chat", "id": f"{RUN}{number:016x}"}
    body = stanza.find("body")
    assert body is not None
    assert len(body.text) == 60
    assert body.text.startswith(f"@{RUN} 000070000012 ")
    params = extra_params.decode(stanza.find("extraParams"))
    assert (params.save, params.date_sent) == (saved, 1_700_000_000)


def test_addresses_are_escaped_and_may_hold_percent_signs() -> None:
    (stanza,) = parsed(message(1, to='100%d&"<>@example.org', kind="groupchat", xmlns=' xmlns="jabber:client"'))
    assert stanza.attrs["to"] == '100%d&"<>@example.org'
    assert stanza.xmlns == "jabber:client"


def test_ids_differ_and_look_like_object_ids() -> None:
    ids = {parsed(message(number))[0].attrs["id"] for number in (0, 1, wire.LARGEST, 99_999 * wire.LARGEST)}
    assert len(ids) == 4
    assert all(len(id_) == 24 and not set(id_) - set("0123456789abcdef") for id_ in ids)


def test_numbers_are_found_in_order_and_other_runs_are_not() -> None:
    data = message(3) + message(4, run="ffffffff") + b'<a xmlns="urn:xmpp:sm:3" h="1"/>' + message(5)
    assert [int(number) for number in wire.Finder(RUN).numbers(data)] == [3, 5]


def test_errors_are_told_from_messages() -> None:
    refused = message(2).replace(b'type="chat"', b"type='error'")
    delivered, errors = wire.Finder(RUN).delivered(message(1) + refused + message(3))
    assert [int(number) for number in delivered] == [1, 3]
    assert [int(number) for number in errors] == [2]


PIECES = [
    b'<r xmlns="urn:xmpp:sm:3"/>',
    message(1),
    b'<message from="a@b" type="groupchat"><subject/></message><message from="a@b"/>',
    b'<iq type="get" id="x>y" from="localhost"><ping xmlns="urn:xmpp:ping"/></iq>',
    message(2),
    b'<a xmlns="urn:xmpp:sm:3" h="2"/>',
    message(3).replace(b"chat", b"error", 1),
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 333, 10_000])
def test_input_may_be_cut_anywhere(step: int) -> None:
    data, finder = b"".join(PIECES), wire.Finder(RUN)
    carry = b""
    delivered: list[int] = []
    errors: list[int] = []
    acks: list[int | None] = []
    for at in range(0, len(data), step):
        received = carry + data[at : at + step]
        end = wire.whole(received)
        received, carry = received[:end], received[end:]
        good, bad = finder.delivered(received)
        delivered += map(int, good)
        errors += map(int, bad)
        acks += [wire.acknowledged(received)]
    assert carry == b""
    assert (delivered, errors) == ([1, 2], [3])
    assert [h for h in acks if h is not None] == [2]


def test_what_can_be_searched() -> None:
    assert wire.whole(b"<a h='1'/>") == 10
    assert wire.whole(b"<a h='1'/><r") == 10
    assert wire.whole(b"<r/><message to='a'><body>x</body>") == 4
    assert wire.whole(b"<r/><message to='a'/>") == 21
    assert wire.whole(b"half") == 0


def test_the_newest_acknowledgement_counts() -> None:
    assert wire.acknowledged(b"<a xmlns='urn:xmpp:sm:3' h='3'/><a h=\"17\" xmlns='urn:xmpp:sm:3'/>") == 17
    assert wire.acknowledged(b"<active xmlns='x' h='3'/>") is None


def test_stanzas_are_counted_without_what_is_in_them() -> None:
    assert wire.stanzas(b"<message><message_id>1</message_id></message><presence/><iq id='1'/><r/><a h='1'/>") == 3
    assert wire.requests(b'<r xmlns="urn:xmpp:sm:3"/><room/><r/>') == 2


@pytest.mark.parametrize(
    ("tag", "value"),
    [(b"<iq id='a\"b'>", b'a"b'), (b'<iq type="get" id = "1">', b"1"), (b"<iq myid='2'>", b""), (b"<iq id=''/>", b"")],
)
def test_attributes_are_read_as_written(tag: bytes, value: bytes) -> None:
    assert wire.attribute(tag, b"id") == value
