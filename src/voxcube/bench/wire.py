"""The bytes of the hot path: messages made from a template, and received bytes searched instead of parsed.

A message carries in its body a word `@RUN` and a number that says which sender's how many-th message it is. Whoever
receives bytes looks for these words and reads the numbers; no tree is built.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from voxcube.xmpp import ns

#: Messages of one sender in one run, at most: the number in a body is sender × LARGEST + message.
LARGEST = 10**7
_DIGITS = 12

_CHILDREN = (
    f'<extraParams xmlns="{ns.CLIENT}"><save_to_history>{{saved}}</save_to_history>'
    "<date_sent>%010d</date_sent></extraParams>"
    f'<markable xmlns="{ns.CHAT_MARKERS}"/>'
)


def template(*, run: str, to: str, kind: str, saved: bool, size: int = 48, xmlns: str = "") -> bytes:
    """A message stanza to be filled with `fill`. `kind` is chat or groupchat.

    ``run``    8 hexadecimal digits that tell this run's messages from others'
    ``saved``  whether a server of ConnectyCube's protocol is to store it; other servers ignore this
    ``size``   bytes of the body, at least 32
    ``xmlns``  the namespace attribute with a leading space where a stanza needs one
    """
    filler = "x" * (size - len(f"@{run} ") - _DIGITS - 1)
    head = f'<message{xmlns} to={quoteattr(to)} type="{kind}" id="{run}'.replace("%", "%%")
    tail = _CHILDREN.format(saved=int(saved)) + "</message>"
    return f'{head}%016x"><body>@{run} %0{_DIGITS}d {filler}</body>{tail}'.encode()


def fill(message: bytes, number: int, seconds: int) -> bytes:
    """The stanza of message `number`, written at `seconds` since the epoch."""
    return message % (number, number, seconds)


class Finder:
    """Finds what a run needs in received bytes."""

    def __init__(self, run: str) -> None:
        self._word = f"@{run} ".encode()
        self._numbers = re.compile(re.escape(self._word) + rb"(\d{%d}) " % _DIGITS)

    def numbers(self, data: bytes) -> list[bytes]:
        """The numbers of all messages of this run in `data`, in order, as digits."""
        return self._numbers.findall(data)

    def delivered(self, data: bytes) -> tuple[list[bytes], list[bytes]]:
        """The same where errors are among them: (numbers of messages, numbers of messages that came back as errors)."""
        good: list[bytes] = []
        bad: list[bytes] = []
        for found in self._numbers.finditer(data):
            start = data.rfind(b"<message", 0, found.start())
            tag = data[start : data.find(b">", start)] if start >= 0 else b""
            (bad if attribute(tag, b"type") == b"error" else good).append(found.group(1))
        return good, bad


def whole(data: bytes) -> int:
    """How many leading bytes of `data` can be searched: a message that is not complete yet stays together."""
    start = data.rfind(b"<message")
    if start > data.rfind(b"</message>"):
        end = data.find(b">", start)
        if end < 0 or data[end - 1] != 0x2F:  # not <message …/>
            return start
    return data.rfind(b">") + 1


_ACK = re.compile(rb"<a\s[^>]*?\bh=['\"](\d+)")
_REQUEST = re.compile(rb"<r[\s/>]")
_STANZA = re.compile(rb"<(?:message|presence|iq)[\s>/]")
_IQ = re.compile(rb"<iq\b[^>]*>")
_PRESENCE = re.compile(rb"<presence\b[^>]*>")


def acknowledged(data: bytes) -> int | None:
    """The newest count that `<a h="…"/>` brings (XEP-0198 §4), None without one."""
    found = _ACK.findall(data)
    return int(found[-1]) if found else None


def requests(data: bytes) -> int:
    """How often the server asks for an acknowledgement."""
    return len(_REQUEST.findall(data))


def stanzas(data: bytes) -> int:
    """How many stanzas begin in `data`."""
    return len(_STANZA.findall(data))


def iqs(data: bytes) -> list[bytes]:
    """The opening tags of all iq stanzas."""
    return _IQ.findall(data)


def presences(data: bytes) -> list[bytes]:
    """The opening tags of all presence stanzas."""
    return _PRESENCE.findall(data)


def attribute(tag: bytes, name: bytes) -> bytes:
    """The value of an attribute in an opening tag, as it is written there; b"" when it is not there."""
    found = re.search(rb"\s" + name + rb"\s*=\s*(?:'([^']*)'|\"([^\"]*)\")", tag)
    return b"" if found is None else found.group(1) or found.group(2) or b""


def join_room(occupant: str, *, xmlns: str) -> bytes:
    """Enters a room without its history (XEP-0045 §7.2, §7.2.13)."""
    return (
        f'<presence{xmlns} to={quoteattr(occupant)}><x xmlns="{ns.MUC}"><history maxstanzas="0"/></x></presence>'
    ).encode()


def accept_room(room: str, *, xmlns: str) -> bytes:
    """Takes a new room with its default settings (XEP-0045 §10.1.2)."""
    form = f'<query xmlns="{ns.MUC}#owner"><x xmlns="jabber:x:data" type="submit"/></query>'
    return f'<iq{xmlns} type="set" id="room-1" to={quoteattr(room)}>{form}</iq>'.encode()


def announce(domain: str, *, xmlns: str) -> tuple[bytes, bytes]:
    """Availability, and a ping whose answer (a result or an error) shows that it was handled."""
    ping = f'<iq{xmlns} type="get" id="ready-1" to="{escape(domain)}"><ping xmlns="{ns.PING}"/></iq>'
    return f"<presence{xmlns}/>".encode(), ping.encode()
