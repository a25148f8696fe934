"""What stanzas carry: element ↔ value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmpp.helpers import MESSAGE, element
from voxcube.xmpp import ns, stanza
from voxcube.xmpp.frames import parse_frame
from voxcube.xmpp.payloads import carbons, changes, chat_states, delay, disco, extra_params, markers, roster
from voxcube.xmpp.payloads.changes import Delete, Edit, Reactions
from voxcube.xmpp.payloads.extra_params import ExtraParams
from voxcube.xmpp.xml import Element, serialize

EXTRA = element(
    b"<extraParams xmlns='jabber:client'><save_to_history>1</save_to_history><date_sent>1767225600</date_sent>"
    b"<dialog_id>64c0ffee64c0ffee64c0ffee</dialog_id><city>Oslo</city><meta><a>1</a><b><c>x</c></b></meta>"
    b"<attachment type='image' uid='9a8b' id='5' data='%7B%22a%22%3A1%7D'/><silent>true</silent><empty/>"
    b"<attachment type='audio'/></extraParams>"
)


class TestExtraParams:
    def test_decode(self) -> None:
        assert extra_params.decode(EXTRA) == ExtraParams(
            save=True,
            date_sent=1767225600,
            dialog_id="64c0ffee64c0ffee64c0ffee",
            markable=False,
            silent=True,
            properties={"city": "Oslo", "meta": {"a": "1", "b": {"c": "x"}}, "empty": ""},
            attachments=[
                {"type": "image", "uid": "9a8b", "id": "5", "data": "%7B%22a%22%3A1%7D"},
                {"type": "audio"},
            ],
        )

    def test_nothing(self) -> None:
        assert extra_params.decode(None) == extra_params.decode(Element("extraParams")) == ExtraParams()

    def test_what_is_not_stored(self) -> None:
        names = [*extra_params.UNSTORED_KEYS, *extra_params.CORE_KEYS]
        extra = Element(
            "extraParams", None, [Element(name, None, ["x"]) for name in names] + [Element("city", None, ["x"])]
        )
        assert extra_params.decode(extra).properties == {"city": "x"}

    @pytest.mark.parametrize(
        ("text", "value"), [("1", True), ("true", True), (" 1\n", True), ("0", False), ("", False)]
    )
    def test_switches(self, text: str, value: bool) -> None:
        for name, field in (("save_to_history", "save"), ("markable", "markable"), ("silent", "silent")):
            extra = Element("extraParams", None, [Element(name, None, [text])])
            assert getattr(extra_params.decode(extra), field) is value

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1767225600", 1767225600),
            ("1767225600.9", 1767225600),
            ("1767225600123", 1767225600),
            ("1767225600123.456", 1767225600),
            ("100000000000", 100000000000),
            ("100000000001", 100000000),
            ("0", 0),
            ("9" * 30, None),
            ("9" * 10_000, None),
            ("-5", None),
            ("1e9", None),
            ("soon", None),
            ("", None),
            (".5", None),
            ("1.x", None),
            ("٣", None),
            (None, None),
        ],
    )
    def test_dates(self, text: str | None, value: int | None) -> None:
        assert extra_params.normalise_date(text) == value

    def test_javascript_array(self) -> None:
        frame = b"<message><extraParams xmlns='jabber:client'><arr><0>p</0><1>q</1></arr></extraParams></message>"
        message = parse_frame(frame, max_stanza=4096)
        properties = extra_params.decode(message.find("extraParams")).properties
        assert properties == {"arr": {"_0": "p", "_1": "q"}}
        assert extra_params.encode(properties={"arr": {"0": "p", "1": "q"}}).children == [
            Element("arr", None, [Element("_0", None, ["p"]), Element("_1", None, ["q"])])
        ]

    def test_repeated_names_and_mixed_content(self) -> None:
        extra = element(b"<e><a>1</a><a>2</a><b>x<c>1</c>y<c>2</c></b> <d f='1'/></e>")
        assert extra_params.decode(extra).properties == {"a": "2", "b": {"c": "2"}, "d": ""}

    def test_encode(self) -> None:
        params = extra_params.decode(EXTRA)
        encoded = extra_params.encode(
            save=params.save,
            date_sent=params.date_sent,
            dialog_id=params.dialog_id,
            silent=params.silent,
            properties=params.properties,
            attachments=params.attachments,
        )
        assert extra_params.decode(encoded) == params
        assert serialize(extra_params.encode(save=True, markable=True, properties={"a": ""})) == (
            b'<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history><markable>1</markable><a/>'
            b"</extraParams>"
        )

    @pytest.mark.parametrize("properties", [{"a b": "x"}, {"": "x"}, {"a": "\0"}, {"a": {"b:c": "x"}}, {"a": "\ud800"}])
    def test_what_xml_cannot_carry(self, properties: extra_params.Properties) -> None:
        with pytest.raises(ValueError, match="'"):
            extra_params.encode(properties=properties)
        with pytest.raises(ValueError, match="'"):
            extra_params.encode(attachments=[{"a": "\0"}])

    def test_stamp_keeps_the_rest(self) -> None:
        before = serialize(EXTRA)
        stamped = extra_params.stamp(EXTRA, {"date_sent": "5", "dialog_id": "d", "message_id": "m"})
        assert serialize(EXTRA) == before
        assert serialize(stamped) == before.replace(b"1767225600", b"5").replace(
            b"64c0ffee64c0ffee64c0ffee", b"d"
        ).replace(b"</extraParams>", b"<message_id>m</message_id></extraParams>")
        assert stamped.children[3] is EXTRA.children[3]

    def test_stamp_alone_and_doubled(self) -> None:
        assert serialize(extra_params.stamp(None, {"dialog_id": "d"})) == (
            b'<extraParams xmlns="jabber:client"><dialog_id>d</dialog_id></extraParams>'
        )
        doubled = element(b"<extraParams><dialog_id>x</dialog_id><a/><dialog_id>y</dialog_id></extraParams>")
        assert serialize(extra_params.stamp(doubled, {"dialog_id": "d"})) == (
            b'<extraParams xmlns="jabber:client"><dialog_id>d</dialog_id><a/></extraParams>'
        )


@given(
    st.recursive(
        st.dictionaries(st.from_regex(r"x[a-z]{0,3}", fullmatch=True), st.text("ab &<☕"), max_size=3),
        lambda inner: st.dictionaries(
            st.from_regex(r"x[a-z]{0,3}", fullmatch=True), inner | st.text("ab &<☕"), max_size=3
        ),
        max_leaves=6,
    )
)
def test_properties_round_trip(properties: extra_params.Properties) -> None:
    def without_empty(value: extra_params.Properties) -> extra_params.Properties:
        # An empty object has no other form than an empty text.
        return {name: (without_empty(item) or "") if isinstance(item, dict) else item for name, item in value.items()}

    data = serialize(extra_params.encode(properties=properties))
    assert extra_params.decode(parse_frame(data, max_stanza=65536)).properties == without_empty(properties)


def test_markers() -> None:
    for kind in (markers.DELIVERED, markers.READ):
        marker = markers.Marker(kind, "65a1")
        assert markers.decode(stanza.message(Element("x"), markers.encode(marker))) == marker
    assert serialize(markers.encode(markers.Marker("received", "65a1"))) == (
        b'<received xmlns="urn:xmpp:chat-markers:0" id="65a1"/>'
    )
    for xml in (
        b"<message/>",
        b"<message><received xmlns='urn:xmpp:carbons:2' id='1'/></message>",
        b"<message><displayed xmlns='urn:xmpp:chat-markers:0'/></message>",
    ):
        assert markers.decode(element(xml)) is None


def test_markable_either_way() -> None:
    assert markers.is_markable(element(MESSAGE))
    assert markers.is_markable(element(b"<message><extraParams><markable>1</markable></extraParams></message>"))
    assert not markers.is_markable(element(b"<message><extraParams><markable>0</markable></extraParams></message>"))
    assert not markers.is_markable(element(b"<message><markable/></message>"))
    assert markers.is_markable(stanza.message(markers.markable()))


def test_chat_states() -> None:
    for state in chat_states.STATES:
        assert chat_states.decode(stanza.message(chat_states.encode(state))) == state
    assert chat_states.decode(element(b"<message><composing/></message>")) is None
    assert chat_states.decode(element(b"<message><x xmlns='http://jabber.org/protocol/chatstates'/></message>")) is None


def test_carbons() -> None:
    message = element(b"<message from='77-3@h/a' to='88-3@h' type='chat' id='1'><body>x</body></message>")
    wrapped = carbons.encode_sent(message, from_="77-3@h", to="77-3@h/c")
    assert serialize(wrapped) == (
        b'<message xmlns="jabber:client" type="chat" from="77-3@h" to="77-3@h/c"><sent xmlns="urn:xmpp:carbons:2">'
        b'<forwarded xmlns="urn:xmpp:forward:0"><message xmlns="jabber:client" from="77-3@h/a" to="88-3@h" '
        b'type="chat" id="1"><body>x</body></message></forwarded></sent></message>'
    )
    carbon = carbons.decode(wrapped)
    assert carbon is not None
    assert carbon.sent
    assert carbon.message.children == message.children
    assert carbons.decode(carbons.encode_sent(carbon.message, from_="a", to="b")) == carbon
    assert carbons.decode(message) is None
    assert carbons.decode(element(b"<message><sent xmlns='urn:xmpp:carbons:2'/></message>")) is None
    received = carbons.decode(
        element(
            b"<message><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message/>"
            b"</forwarded>"
            b"</received></message>"
        )
    )
    assert received is not None
    assert not received.sent


def test_delay() -> None:
    value = delay.Delay(1767225600, "chat.example.org")
    assert serialize(delay.encode(value)) == (
        b'<delay xmlns="urn:xmpp:delay" from="chat.example.org" stamp="2026-01-01T00:00:00Z"/>'
    )
    assert delay.decode(stanza.message(delay.encode(value))) == value
    for stamp, seconds in {
        "2026-01-01T01:00:00.5+01:00": 1767225600,
        "2026-01-01T00:00:00": 1767225600,
        "x": None,
    }.items():
        decoded = delay.decode(stanza.message(Element("delay", {"xmlns": ns.DELAY, "stamp": stamp})))
        assert (decoded.stamp if decoded else None) == seconds
    assert delay.decode(stanza.message(Element("delay", {"xmlns": ns.DELAY}))) is None
    assert delay.decode(stanza.message()) is None


def test_disco() -> None:
    info = disco.DiscoInfo((disco.Identity("server", "im"), disco.Identity("a", "b", "c")), (ns.CARBONS, ns.PING))
    query = disco.encode_info(info)
    assert serialize(query) == (
        b'<query xmlns="http://jabber.org/protocol/disco#info"><identity category="server" type="im"/>'
        b'<identity category="a" type="b" name="c"/><feature var="urn:xmpp:carbons:2"/><feature var="urn:xmpp:ping"/>'
        b"</query>"
    )
    assert disco.decode_info(query) == info
    assert disco.decode_items(disco.encode_items(["a@b/1", "a@b/2"])) == ["a@b/1", "a@b/2"]


def test_roster() -> None:
    items = [roster.RosterItem("a@b"), roster.RosterItem("c@d", "Cee", "both", "subscribe", ("x", "y"))]
    query = roster.encode(items)
    assert serialize(query) == (
        b'<query xmlns="jabber:iq:roster"><item jid="a@b" subscription="none"/>'
        b'<item jid="c@d" subscription="both" name="Cee" ask="subscribe"><group>x</group><group>y</group></item>'
        b"</query>"
    )
    assert roster.decode(query) == items
    assert roster.decode(element(b"<query><item/><x/></query>")) == []
    assert serialize(roster.encode([])) == b'<query xmlns="jabber:iq:roster"/>'


class TestChanges:
    @pytest.mark.parametrize(
        ("xml", "value"),
        [
            (f"<replace xmlns='{ns.MESSAGE_CORRECT}' id='x' last='true'/>", Edit("x", last=True)),
            (f"<replace xmlns='{ns.MESSAGE_CORRECT}' id='x' last='false'/>", Edit("x")),
            (f"<remove xmlns='{ns.MESSAGE_DELETE}' id='x'/>", Delete("x")),
            (
                "<reactions user_id='77' message_id='x'><reaction add='true' type='👍'/></reactions>",
                Reactions("x", 77, ("👍",)),
            ),
            ("<reactions xmlns='jabber:client' user_id='77' message_id='x'/>", Reactions("x", 77)),
            (f"<replace xmlns='{ns.MESSAGE_CORRECT}'/>", None),
            ("<replace xmlns='other' id='x'/>", None),
            ("<remove id='x'/>", None),
            (f"<remove xmlns='{ns.MESSAGE_DELETE}' id=''/>", None),
            ("<reactions user_id='me' message_id='x'/>", None),
            ("<reactions user_id='77'/>", None),
            ("<body>x</body>", None),
        ],
    )
    def test_decode(self, xml: str, value: object) -> None:
        assert changes.decode(element(f"<message><body>new</body>{xml}</message>".encode())) == value

    @pytest.mark.parametrize(
        "change",
        [Edit("x", last=True), Edit("x"), Delete("x"), Reactions("x", 77, ("👍", "<&"), ("👎",)), Reactions("x", 77)],
    )
    def test_there_and_back(self, change: Edit | Delete | Reactions) -> None:
        assert changes.decode(element(serialize(Element("message", None, [changes.encode(change)])))) == change
