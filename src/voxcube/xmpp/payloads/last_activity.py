"""Last activity, and the wish to be told of it (XEP-0012, realtime §12)."""

from voxcube.xmpp.xml import Element

__all__ = ["NAMESPACE", "STREAMING", "decode", "encode", "read_subscribe", "subscribe"]

NAMESPACE = "jabber:iq:last"
STREAMING = "https://connectycube.com/protocol/status_streaming"


def encode(seconds: int | None = None) -> Element:
    """The `<query>` that asks, or that answers with the seconds since; 0 is online."""
    attrs = {"xmlns": NAMESPACE}
    if seconds is not None:
        attrs["seconds"] = str(seconds)
    return Element("query", attrs)


def decode(stanza: Element) -> int | None:
    """The seconds that an iq tells; None when it tells none."""
    query = stanza.find("query", NAMESPACE)
    seconds = "" if query is None else query.get("seconds") or ""
    return int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) <= 12 else None


def subscribe(jid: str, enable: bool) -> Element:
    """The `<subscribe>` that begins or ends being told of a user."""
    return Element("subscribe", {"xmlns": STREAMING, "user_jid": jid, "enable": "true" if enable else "false"})


def read_subscribe(element: Element) -> tuple[str, bool]:
    """The user's address, and whether it begins; raises ValueError for what is neither beginning nor end."""
    enable = element.get("enable")
    if enable not in ("true", "false", "1", "0"):
        raise ValueError("enable is true or false")
    return element.get("user_jid") or "", enable in ("true", "1")
