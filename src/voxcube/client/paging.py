"""Walks through long lists page by page while they change underneath."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from voxcube.client.models import Dialog, Message, Page
from voxcube.client.values import unix_seconds


async def dialogs(fetch: Callable[[str | None], Awaitable[Page[Dialog]]], before: str | None) -> AsyncIterator[Dialog]:
    """Dialogs by descending id, which never changes; ``fetch`` gets the id that all of its page are below."""
    while True:
        page = await fetch(before)
        for dialog in page:
            yield dialog
        if not page.is_full:
            return
        before = page[-1].id


async def messages(
    fetch: Callable[[Any, int], Awaitable[Page[Message]]], *, by: str, newest_first: bool, bound: Any
) -> AsyncIterator[Message]:
    """Messages by ``date_sent`` or ``created_at``, which are known by the second.

    ``fetch`` gets where its page begins and how many to skip: ``bound`` is the first second, or when the newest come
    first the one after it. Each page begins at the second of the last message before, and there with that message
    itself: when it is found where it was, nothing before it has gone, so nothing is missed. Otherwise messages of that
    second were deleted meanwhile, and it is gone through again. Those given already are left out.
    """
    second: int | None = None
    given: set[str] = set()  # of that second
    skip = 0
    while True:
        page = await fetch(bound, skip)
        if skip and not (page and page[0].id in given):
            skip //= 2
            continue
        for message in page:
            if message.id not in given:
                yield message
        if not page.is_full:
            return
        last = _second(page[-1], by)
        same = [message.id for message in page if _second(message, by) == last]
        if last == second:
            given.update(same)
            skip += len(page) - 1
        else:
            second, given = last, set(same)
            bound = last + 1 if newest_first else last
            skip = len(same) - 1


def _second(message: Message, by: str) -> int:
    return unix_seconds(getattr(message, by))
