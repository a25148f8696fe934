"""The filters of lists as keyword arguments: ``field`` for equality, ``field__operator`` for the others.

Type checkers refuse names that do not exist, and so do the methods, with ValueError: a filter is never ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypedDict

Time = datetime | int  # aware datetimes, or unix seconds


class DialogFilters(TypedDict, total=False):
    """Filters of ``dialogs.list``, ``iterate`` and ``count``."""

    id: str
    id__ne: str
    id__in: Iterable[str]
    id__nin: Iterable[str]
    id__or: Iterable[str]
    id__lt: str
    id__lte: str
    id__gt: str
    id__gte: str
    id__ctn: str
    id__start_with: str
    type: int
    type__ne: int
    type__in: Iterable[int]
    type__nin: Iterable[int]
    type__or: Iterable[int]
    type__lt: int
    type__lte: int
    type__gt: int
    type__gte: int
    name: str
    name__ne: str
    name__in: Iterable[str]
    name__nin: Iterable[str]
    name__or: Iterable[str]
    name__lt: str
    name__lte: str
    name__gt: str
    name__gte: str
    name__ctn: str
    name__start_with: str
    user_id: int
    user_id__ne: int
    user_id__in: Iterable[int]
    user_id__nin: Iterable[int]
    user_id__or: Iterable[int]
    user_id__lt: int
    user_id__lte: int
    user_id__gt: int
    user_id__gte: int
    occupants_ids: int
    occupants_ids__ne: int
    occupants_ids__in: Iterable[int]
    occupants_ids__nin: Iterable[int]
    occupants_ids__all: Iterable[int]
    occupants_ids__or: Iterable[int]
    last_message_date_sent: Time
    last_message_date_sent__ne: Time
    last_message_date_sent__in: Iterable[Time]
    last_message_date_sent__nin: Iterable[Time]
    last_message_date_sent__or: Iterable[Time]
    last_message_date_sent__lt: Time
    last_message_date_sent__lte: Time
    last_message_date_sent__gt: Time
    last_message_date_sent__gte: Time
    created_at: Time
    created_at__ne: Time
    created_at__in: Iterable[Time]
    created_at__nin: Iterable[Time]
    created_at__or: Iterable[Time]
    created_at__lt: Time
    created_at__lte: Time
    created_at__gt: Time
    created_at__gte: Time
    updated_at: Time
    updated_at__ne: Time
    updated_at__in: Iterable[Time]
    updated_at__nin: Iterable[Time]
    updated_at__or: Iterable[Time]
    updated_at__lt: Time
    updated_at__lte: Time
    updated_at__gt: Time
    updated_at__gte: Time


class MessageFilters(TypedDict, total=False):
    """Filters of ``messages.list``, ``iterate`` and ``count``. ``attachments_type`` is the type of any attachment."""

    id: str
    id__ne: str
    id__in: Iterable[str]
    id__nin: Iterable[str]
    id__or: Iterable[str]
    id__lt: str
    id__lte: str
    id__gt: str
    id__gte: str
    id__ctn: str
    id__start_with: str
    message: str
    message__ne: str
    message__in: Iterable[str]
    message__nin: Iterable[str]
    message__or: Iterable[str]
    message__lt: str
    message__lte: str
    message__gt: str
    message__gte: str
    message__ctn: str
    message__start_with: str
    date_sent: Time
    date_sent__ne: Time
    date_sent__in: Iterable[Time]
    date_sent__nin: Iterable[Time]
    date_sent__or: Iterable[Time]
    date_sent__lt: Time
    date_sent__lte: Time
    date_sent__gt: Time
    date_sent__gte: Time
    sender_id: int
    sender_id__ne: int
    sender_id__in: Iterable[int]
    sender_id__nin: Iterable[int]
    sender_id__or: Iterable[int]
    sender_id__lt: int
    sender_id__lte: int
    sender_id__gt: int
    sender_id__gte: int
    recipient_id: int
    recipient_id__ne: int
    recipient_id__in: Iterable[int]
    recipient_id__nin: Iterable[int]
    recipient_id__or: Iterable[int]
    recipient_id__lt: int
    recipient_id__lte: int
    recipient_id__gt: int
    recipient_id__gte: int
    created_at: Time
    created_at__ne: Time
    created_at__in: Iterable[Time]
    created_at__nin: Iterable[Time]
    created_at__or: Iterable[Time]
    created_at__lt: Time
    created_at__lte: Time
    created_at__gt: Time
    created_at__gte: Time
    updated_at: Time
    updated_at__ne: Time
    updated_at__in: Iterable[Time]
    updated_at__nin: Iterable[Time]
    updated_at__or: Iterable[Time]
    updated_at__lt: Time
    updated_at__lte: Time
    updated_at__gt: Time
    updated_at__gte: Time
    attachments_type: str
    attachments_type__ne: str
    attachments_type__in: Iterable[str]
    attachments_type__nin: Iterable[str]
    attachments_type__or: Iterable[str]
    attachments_type__lt: str
    attachments_type__lte: str
    attachments_type__gt: str
    attachments_type__gte: str
    attachments_type__ctn: str
    attachments_type__start_with: str


class UserFilters(TypedDict, total=False):
    """Filters of ``users.list``; which combinations are possible is told there."""

    id: int
    id__in: Iterable[int]
    id__nin: Iterable[int]
    login: str
    login__in: Iterable[str]
    login__nin: Iterable[str]
    login__start_with: str
    email: str
    email__in: Iterable[str]
    email__nin: Iterable[str]
    email__start_with: str
    full_name: str
    full_name__in: Iterable[str]
    full_name__nin: Iterable[str]
    full_name__start_with: str
    phone: str
    phone__in: Iterable[str]
    phone__nin: Iterable[str]
    phone__start_with: str
    external_id: str
    external_id__in: Iterable[str]
    external_id__nin: Iterable[str]
    external_id__start_with: str
    facebook_id: str
    facebook_id__in: Iterable[str]
    facebook_id__nin: Iterable[str]
    facebook_id__start_with: str
    twitter_id: str
    twitter_id__in: Iterable[str]
    twitter_id__nin: Iterable[str]
    twitter_id__start_with: str
    user_tags: str
    user_tags__in: Iterable[str]
    user_tags__nin: Iterable[str]
    user_tags__start_with: str
    created_at__gt: Time
    created_at__gte: Time
    created_at__lt: Time
    created_at__lte: Time
    updated_at__gt: Time
    updated_at__gte: Time
    updated_at__lt: Time
    updated_at__lte: Time
    last_request_at__gt: Time
    last_request_at__gte: Time
    last_request_at__lt: Time
    last_request_at__lte: Time
