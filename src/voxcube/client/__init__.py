"""The asyncio SDK: sessions, dialogs and history over REST, messages over XMPP.

Start at ``Client``; everything an application needs is exported here.
"""

from voxcube.client.client import Client
from voxcube.client.endpoint import tls_context
from voxcube.client.errors import (
    ApiError,
    AuthenticationFailed,
    BadRequest,
    ChatError,
    ChatTimeout,
    CubeError,
    EventsLost,
    Forbidden,
    MessageLost,
    NotConnected,
    NotFound,
    RateLimited,
    ServerError,
    SessionExpired,
    StanzaError,
    TransportError,
    Unauthorized,
    ValidationFailed,
)
from voxcube.client.events import (
    ConnectionState,
    ConnectionStateChange,
    DeleteEvent,
    DeliveryStatus,
    EditEvent,
    Event,
    ReactionEvent,
    TypingEvent,
)
from voxcube.client.ids import new_message_id
from voxcube.client.models import (
    Attachment,
    Dialog,
    DialogPermissions,
    DialogType,
    Message,
    MessageState,
    Page,
    Reactions,
    Session,
    UnreadCounts,
    User,
)
from voxcube.client.streams import EventStream, Unsubscribe
from voxcube.client.values import CLEAR, Clear
from voxcube.xmpp.jid import Jid

__all__ = [
    "CLEAR",
    "ApiError",
    "Attachment",
    "AuthenticationFailed",
    "BadRequest",
    "ChatError",
    "ChatTimeout",
    "Clear",
    "Client",
    "ConnectionState",
    "ConnectionStateChange",
    "CubeError",
    "DeleteEvent",
    "DeliveryStatus",
    "Dialog",
    "DialogPermissions",
    "DialogType",
    "EditEvent",
    "Event",
    "EventStream",
    "EventsLost",
    "Forbidden",
    "Jid",
    "Message",
    "MessageLost",
    "MessageState",
    "NotConnected",
    "NotFound",
    "Page",
    "RateLimited",
    "ReactionEvent",
    "Reactions",
    "ServerError",
    "Session",
    "SessionExpired",
    "StanzaError",
    "TransportError",
    "TypingEvent",
    "Unauthorized",
    "UnreadCounts",
    "Unsubscribe",
    "User",
    "ValidationFailed",
    "new_message_id",
    "tls_context",
]
