"""``cube.messages``: the message history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from voxcube.client import query
from voxcube.client.http import Http
from voxcube.client.models import Message, Page, UnreadCounts


class Messages:
    """Reads stored messages and counts the unread ones."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(
        self,
        dialog_id: str,
        *,
        limit: int = 100,
        skip: int = 0,
        sort: str = "date_sent",
        mark_as_read: bool = True,
        **filters: Any,
    ) -> Page[Message]:
        """Fetches messages of a dialog, the oldest first unless sorted otherwise.

        Args:
            dialog_id: the dialog.
            limit: the most messages to return, at most 1000.
            skip: how many to pass over.
            sort: ``date_sent``, ``_id``, ``created_at`` or ``updated_at``, descending with a leading ``-``.
            mark_as_read: whether fetching counts as reading; senders are not told of it in the chat.
            filters: ``field=value`` or ``field__operator=value``, e.g. ``date_sent__gt`` with a datetime or unix
                seconds.

        Returns:
            A page of messages; ``total`` is None.

        Raises:
            Forbidden: this user is not in the dialog.
            NotFound: there is no such dialog.
            SessionExpired: the session has ended.
            TransportError: the network failed.
            ValueError: an unknown operator, or an empty list.

        Source: ConnectyCube REST API, "Retrieve messages".

        Example:
            >>> newest = await cube.messages.list(dialog.id, limit=20, sort="-date_sent", mark_as_read=False)
        """
        params = query.raw({"chat_dialog_id": dialog_id, "mark_as_read": mark_as_read})
        params += query.page(limit, skip, sort) + query.filters(filters, id_name="_id")
        reply = await self._http.request("GET", "chat/Message", params=params)
        viewer = self._http.user_id
        return reply.read(lambda data: Page.from_json(data, lambda item: Message.from_json(item, viewer)))

    async def unread(self, dialog_ids: Iterable[str] | None = None) -> UnreadCounts:
        """Counts unread messages.

        Args:
            dialog_ids: the dialogs to count; None counts all of this user.

        Returns:
            The total, and the count of each dialog: of all that were asked for, or of all that have any.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: an empty list of dialogs.

        Source: ConnectyCube REST API, "Retrieve unread messages count".

        Example:
            >>> (await cube.messages.unread([dialog.id])).total
            3
        """
        params = query.raw({"chat_dialog_ids": list(_one_or_many(dialog_ids))}) if dialog_ids is not None else None
        reply = await self._http.request("GET", "chat/Message/unread", params=params)
        return reply.read(_unread)


def _one_or_many(ids: Iterable[str]) -> Iterable[str]:
    return (ids,) if isinstance(ids, str) else ids


def _unread(data: dict[str, Any]) -> UnreadCounts:
    counts = {key: int(count) for key, count in data.items()}
    return UnreadCounts(counts.pop("total"), counts)
