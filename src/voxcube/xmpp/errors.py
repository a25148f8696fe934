"""What can go wrong in the protocol, and the error conditions of stanzas.

ProtocolError
├── LocalProtocolError     we asked for something that the state of the stream does not allow: a bug of ours
└── RemoteProtocolError    the peer broke the rules; `condition` is the stream error it earns
"""

from typing import NamedTuple

__all__ = ["CONDITIONS", "Condition", "LocalProtocolError", "ProtocolError", "RemoteProtocolError"]


class ProtocolError(Exception):
    """The rules of XMPP were broken."""


class LocalProtocolError(ProtocolError):
    """Our own side asked for something that is not allowed now."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules.

    `condition` is a defined stream error condition (RFC 6120 §4.9.3), `text` an explanation in English, possibly empty.
    """

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text


class Condition(NamedTuple):
    """How a stanza error is written: `code` (XEP-0086, which both SDKs read), `type` and default text."""

    code: int
    type: str
    text: str


# RFC 6120 §8.3.3 with the codes of XEP-0086 §3; every error stanza carries code, type and text (quirks A21).
CONDITIONS: dict[str, Condition] = {
    "bad-request": Condition(400, "modify", "Bad request."),
    "conflict": Condition(409, "cancel", "Conflict."),
    "feature-not-implemented": Condition(501, "cancel", "Feature not implemented."),
    "forbidden": Condition(403, "auth", "Forbidden."),
    "gone": Condition(302, "cancel", "Gone."),
    "internal-server-error": Condition(500, "wait", "Internal server error."),
    "item-not-found": Condition(404, "cancel", "Item not found."),
    "jid-malformed": Condition(400, "modify", "Malformed address."),
    "not-acceptable": Condition(406, "modify", "Not acceptable."),
    "not-allowed": Condition(405, "cancel", "Not allowed."),
    "not-authorized": Condition(401, "auth", "Not authorized."),
    "policy-violation": Condition(403, "modify", "Policy violation."),
    "recipient-unavailable": Condition(404, "wait", "Recipient unavailable."),
    "redirect": Condition(302, "modify", "Redirect."),
    "registration-required": Condition(407, "auth", "Registration required."),
    "remote-server-not-found": Condition(404, "cancel", "Remote server not found."),
    "remote-server-timeout": Condition(504, "wait", "Remote server timeout."),
    "resource-constraint": Condition(500, "wait", "Resource constraint."),
    "service-unavailable": Condition(503, "cancel", "Service not available."),
    "subscription-required": Condition(407, "auth", "Subscription required."),
    "undefined-condition": Condition(500, "cancel", "Undefined condition."),
    "unexpected-request": Condition(400, "wait", "Unexpected request."),
}
