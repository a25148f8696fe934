"""The objects the SDK gives out: frozen dataclasses, made from the server's JSON.

Times are aware UTC datetimes, lists are tuples, and keys unknown to this version are kept in ``extra``.
"""

from voxcube.client.models.account import Session, User
from voxcube.client.models.contact import Contact, Subscription
from voxcube.client.models.dialog import CustomData, Dialog, DialogPermissions, DialogType
from voxcube.client.models.message import Attachment, Message, MessageState, Reactions, SendOptions
from voxcube.client.models.page import Page
from voxcube.client.models.privacy import PrivacyAction, PrivacyItem, PrivacyLists
from voxcube.client.models.results import DeleteResult, SearchResult, UnreadCounts

__all__ = [
    "Attachment",
    "Contact",
    "CustomData",
    "DeleteResult",
    "Dialog",
    "DialogPermissions",
    "DialogType",
    "Message",
    "MessageState",
    "Page",
    "PrivacyAction",
    "PrivacyItem",
    "PrivacyLists",
    "Reactions",
    "SearchResult",
    "SendOptions",
    "Session",
    "Subscription",
    "UnreadCounts",
    "User",
]
