"""``cube.messages``: the message history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Unpack

from voxcube.client import paging, query
from voxcube.client.filters import MessageFilters
from voxcube.client.history_changes import HistoryChanges
from voxcube.client.ids import object_id, object_ids
from voxcube.client.models import Message, Page, SearchResult, UnreadCounts
from voxcube.client.values import unix_seconds


class Messages(HistoryChanges):
    """Reads, counts and searches stored messages, and changes them."""

    async def list(
        self,
        dialog_id: str,
        *,
        limit: int = 100,
        skip: int = 0,
        sort: str = "date_sent",
        mark_as_read: bool = True,
        preview: bool = False,
        properties: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **filters: Unpack[MessageFilters],
    ) -> Page[Message]:
        """Fetches messages of a dialog, the oldest first unless sorted otherwise.

        Messages of the same second come in the order in which the server got them.

        Args:
            dialog_id: the dialog.
            limit: the most messages to return, at most 1000.
            skip: how many to pass over.
            sort: ``date_sent``, ``_id``, ``created_at`` or ``updated_at``, descending with a leading ``-``.
            mark_as_read: whether fetching counts as reading; senders are not told of it in the chat.
            preview: as somebody who is not in the dialog, where that is permitted: the last 20 messages, whatever the
                other arguments, and none counts as read.
            properties: only messages whose properties have these values; names may have operators, too.
            params: further query parameters under exactly these names.
            filters: ``field=value`` or ``field__operator=value``, see ``MessageFilters``: ``date_sent__gt`` with a
                datetime or unix seconds, ``sender_id__in`` with a list, ``message__ctn`` with a part of the text,
                ``attachments_type``, and so on.

        Returns:
            A page of messages; ``total`` is None, see ``count``.

        Raises:
            Forbidden: this user is not in the dialog, or there is no preview.
            NotFound: there is no such dialog.
            SessionExpired: the session has ended.
            ApiError: the server refused a filter.
            TransportError: the network failed.
            ValueError: an unknown filter, operator or sort, a limit above 1,000, an empty list, or an unfit id.

        Source: ConnectyCube REST API, "Retrieve messages".

        Example:
            >>> newest = await cube.messages.list(dialog.id, limit=20, sort="-date_sent", mark_as_read=False)
            >>> seen = await cube.messages.list("64c0ffee64c0ffee64c0ffee", preview=True)
        """
        pairs = _of(dialog_id, mark_as_read) + (query.raw({"preview": True}) if preview else [])
        pairs += query.page(limit, skip, sort, most=_MOST, sorts=_SORTS) + _wanted(properties, filters)
        pairs += query.raw(params, pairs)
        return await self._page(pairs)

    def iterate(
        self,
        dialog_id: str,
        *,
        newest_first: bool = True,
        by: Literal["date_sent", "created_at"] = "date_sent",
        mark_as_read: bool = True,
        page_size: int = 100,
        properties: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **filters: Unpack[MessageFilters],
    ) -> AsyncIterator[Message]:
        """All messages of a dialog that fit, page by page, each once, also while messages come and go.

        Args:
            dialog_id: the dialog.
            newest_first: the other way round when False; then messages that come meanwhile are found too.
            by: ``date_sent`` is the sender's clock. To catch up on what one has not seen use ``created_at``, the
                server's: what somebody sent while offline may be older than what one has.
            mark_as_read: whether fetching counts as reading; senders are not told of it in the chat.
            page_size: how many to fetch at once, from 2 to 1000.
            properties: as in ``list``.
            params: as in ``list``.
            filters: as in ``list``.

        Raises:
            Forbidden: this user is not in the dialog.
            NotFound: there is no such dialog.
            SessionExpired: the session has ended.
            ApiError: the server refused a filter.
            TransportError: the network failed.
            ValueError: an unknown filter or operator, an empty list, an unfit id or page size.

        Source: ConnectyCube REST API, "Retrieve messages" with ``date_sent[lt]`` or ``date_sent[gte]``.

        Example:
            >>> async for message in cube.messages.iterate(dialog.id, date_sent__gte=last_week):
            ...     print(message.date_sent, message.body)
            >>> async for message in cube.messages.iterate(dialog.id, by="created_at", created_at__gte=last_seen):
            ...     show(message)
        """
        if page_size < 2:
            raise ValueError("page_size must be at least 2")
        query.check_limit(page_size, _MOST, "page_size")
        if by not in ("date_sent", "created_at"):
            raise ValueError('by is "date_sent" or "created_at"')
        if by in filters:
            raise ValueError(f"{by} is what the pages go by: give it with an operator")
        edge = f"{by}__{'lt' if newest_first else 'gte'}"
        given: dict[str, Any] = {**filters}
        bound = given.pop(edge, None)
        wanted = _of(dialog_id, mark_as_read) + _wanted(properties, given)
        wanted += query.raw(params, wanted + query.page(page_size, 0, by, most=_MOST, sorts=_SORTS))
        query.filters({} if bound is None else {edge: bound})  # refused now rather than by the first step

        async def fetch(bound: Any, skip: int) -> Page[Message]:
            beginning = [] if bound is None else query.filters({edge: bound})
            sort = f"-{by}" if newest_first else by
            page = query.page(page_size, skip, sort, most=_MOST, sorts=_SORTS)
            return await self._page(page + wanted + beginning)

        return paging.messages(fetch, by=by, newest_first=newest_first, bound=bound)

    async def count(
        self,
        dialog_id: str,
        *,
        properties: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **filters: Unpack[MessageFilters],
    ) -> int:
        """Counts the messages of a dialog that fit; arguments and errors as ``list``.

        Source: Flutter SDK ``getMessagesCount``.

        Example:
            >>> await cube.messages.count(dialog.id, sender_id=88)
            12
        """
        pairs = [("count", "1"), *_of(dialog_id, False), *_wanted(properties, filters)]
        pairs += query.raw(params, pairs)
        reply = await self._http.request("GET", "chat/Message", params=pairs)
        return reply.read(lambda data: int(data["items"]["count"]))

    async def search(
        self,
        text: str,
        dialog_ids: str | Iterable[str] | None = None,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        limit: int | None = None,
    ) -> SearchResult:
        """Finds a text in the messages and the names of this user's dialogs, upper and lower case apart.

        Args:
            text: part of what was written, 4 characters or more.
            dialog_ids: only in these dialogs.
            start: only messages up to this time: ``start`` is the end nearer to now.
            end: only messages from this time on; needed with ``start``.
            limit: the most dialogs and the most messages to return, at most 100.

        Returns:
            The dialogs and the messages.

        Raises:
            ValidationFailed: the text is too short.
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: no text, ``start`` without ``end`` or before it, no dialogs, an unfit id, or a limit above 100.

        Source: ConnectyCube REST API, "Global search".

        Example:
            >>> found = await cube.messages.search("lunch", [dialog.id], start=datetime.now(UTC), end=last_year)
            >>> [message.body for message in found.messages]
            ['Where do we have lunch?']
        """
        if not text:
            raise ValueError("give a text to search for")
        if start is not None and end is None:
            raise ValueError("start needs end, the time to search back to")
        if start is not None and end is not None and unix_seconds(start) < unix_seconds(end):
            raise ValueError("start is the later of the two times: the search goes back from it to end")
        if limit is not None:
            query.check_limit(limit, 100)
        given = {
            "search_text": text,
            "chat_dialog_ids": None if dialog_ids is None else object_ids(dialog_ids, "dialog_ids"),
            "start_date": start,
            "end_date": end,
            "limit": limit,
        }
        pairs = query.raw({name: value for name, value in given.items() if value is not None})
        reply = await self._http.request("GET", "chat/search", params=pairs)
        return reply.read(self._found)

    async def unread(self, dialog_ids: str | Iterable[str] | None = None) -> UnreadCounts:
        """Counts unread messages.

        Args:
            dialog_ids: the dialogs to count; None counts all of this user.

        Returns:
            The total, and the count of each dialog: of all that were asked for, or of all that have any.

        Raises:
            SessionExpired, Forbidden: no session of a user.
            TransportError: the network failed.
            ValueError: an empty list of dialogs, or an unfit id.

        Source: ConnectyCube REST API, "Retrieve unread messages count".

        Example:
            >>> (await cube.messages.unread([dialog.id])).total
            3
        """
        params = None if dialog_ids is None else query.raw({"chat_dialog_ids": object_ids(dialog_ids, "dialog_ids")})
        reply = await self._http.request("GET", "chat/Message/unread", params=params)
        return reply.read(_unread)

    def _found(self, data: dict[str, Any]) -> SearchResult:
        found = SearchResult.from_json(data, self._http.user_id)
        for message in found.messages:
            self._made(message)
        return found

    async def _page(self, pairs: query.Params) -> Page[Message]:
        reply = await self._http.request("GET", "chat/Message", params=pairs)
        viewer = self._http.user_id
        return reply.read(lambda data: Page.from_json(data, lambda item: self._made(Message.from_json(item, viewer))))


def _of(dialog_id: str, mark_as_read: bool) -> query.Params:
    return query.raw({"chat_dialog_id": object_id(dialog_id, "dialog_id"), "mark_as_read": mark_as_read})


def _wanted(properties: Mapping[str, Any] | None, filters: Mapping[str, object]) -> query.Params:
    return query.filters(filters, MessageFilters, id_name="_id") + query.filters(properties or {})


# The server gives at most so many at once.
_MOST = 1000
_SORTS = ("date_sent", "_id", "created_at", "updated_at")


def _unread(data: dict[str, Any]) -> UnreadCounts:
    counts = {key: int(count) for key, count in data.items()}
    return UnreadCounts(counts.pop("total"), counts)
