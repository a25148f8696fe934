"""Addresses (RFC 7622, realtime §1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxcube.xmpp.jid import Jid, parse_room_local, parse_user_local, room_local, user_jid


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("chat.example.org", ("", "chat.example.org", "")),
        ("77-3@Chat.Example.org", ("77-3", "chat.example.org", "")),
        ("A@b/C", ("a", "b", "C")),
        ("77-3@b/flutter_a/b+c==@d", ("77-3", "b", "flutter_a/b+c==@d")),
        ("muc.chat.example.org/88", ("", "muc.chat.example.org", "88")),
        ("a@b/☕ x", ("a", "b", "☕ x")),
        ("a@[::1]", ("a", "[::1]", "")),
    ],
)
def test_parse(text: str, parts: tuple[str, str, str]) -> None:
    jid = Jid.parse(text)
    assert jid == parts
    assert Jid.parse(str(jid)) == jid
    assert hash(Jid.parse(jid.full)) == hash(jid)
    assert Jid.parse(jid.bare) == (*parts[:2], "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@b",
        "a@",
        "a@b/",
        "/r",
        "a b@c",
        "a@b c",
        "a<@b",
        "a@b@c",
        "a\0@b",
        "a@b/\0",
        "a@b\n",
        "a@" + "b" * 1024,
        "'@b",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(ValueError, match="JID"):
        Jid.parse(text)


@given(st.text())
def test_never_anything_but_value_error(text: str) -> None:
    try:
        jid = Jid.parse(text)
    except ValueError:
        return
    assert jid.domain


def test_users_and_rooms() -> None:
    assert user_jid(77, 3, "chat.example.org") == "77-3@chat.example.org"
    assert parse_user_local("77-3") == (77, 3)
    assert room_local(3, "64c0ffee64c0ffee64c0ffee") == "3_64c0ffee64c0ffee64c0ffee"
    assert parse_room_local("3_64c0ffee64c0ffee64c0ffee") == (3, "64c0ffee64c0ffee64c0ffee")
    for bad in ("", "77", "77-", "-3", "77-3-4", "٧-3", "7" * 19 + "-3", "77-3\n", "x-3"):
        assert parse_user_local(bad) is None
    for bad in (
        "",
        "3_",
        "3_64c0",
        "3-64c0ffee64c0ffee64c0ffee",
        "3_64C0FFEE64c0ffee64c0ffee",
        "x_64c0ffee64c0ffee64c0ffee",
    ):
        assert parse_room_local(bad) is None
