"""SASL PLAIN: what `<auth>` carries, read and written (RFC 6120 §6, RFC 4616)."""

import base64
import binascii
from typing import NamedTuple

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["PlainCredentials", "SaslError", "decode", "failure", "plain_auth", "read_plain"]


class SaslError(Exception):
    """The exchange fails; `condition` is one of RFC 6120 §6.5."""

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition


class PlainCredentials(NamedTuple):
    """What a PLAIN response says; `authzid` is "" when the user acts as himself."""

    authzid: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"PlainCredentials({self.authzid!r}, {self.username!r}, …)"  # passwords never reach a log


def decode(element: Element) -> bytes | None:
    """The data of an `<auth>`, `<challenge>` or `<response>`: None when it carries none, b"" for the single equals sign
    that stands for no data (RFC 6120 §6.4.2). Raises SaslError."""
    text = element.text.strip()  # clients that indent leave white space around (realtime §2)
    if not text or text == "=":
        return b"" if text else None
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise SaslError("incorrect-encoding") from None


def read_plain(response: bytes, domain: str) -> PlainCredentials:
    """Read the message of PLAIN (RFC 4616 §2); raises SaslError.

    `authzid` must be empty or the bare JID of the user at `domain` (realtime §2.3).
    """
    try:
        authzid, username, password = response.decode("utf-8").split("\0")
    except ValueError:  # not UTF-8, or not three parts
        raise SaslError("malformed-request") from None
    if not username or not password:
        raise SaslError("malformed-request")
    if authzid and authzid.lower() != f"{username}@{domain}".lower():
        raise SaslError("invalid-authzid")
    return PlainCredentials(authzid, username, password)


def plain_auth(username: str, password: str) -> Element:
    """The `<auth>` of a client."""
    response = base64.b64encode(f"\0{username}\0{password}".encode()).decode("ascii")
    return Element("auth", {"xmlns": ns.SASL, "mechanism": "PLAIN"}, [response])


def failure(condition: str, text: str = "") -> Element:
    """The `<failure>` of a server."""
    element = Element("failure", {"xmlns": ns.SASL}, [Element(condition)])
    if text:
        element.children.append(Element("text", {"xml:lang": "en"}, [text]))
    return element
