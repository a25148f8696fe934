"""``limit``, ``skip``, ``count`` and ``sort_asc``/``sort_desc``, the same on every list (rest §6.1, §7.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from voxcube.server.core.errors import Invalid
from voxcube.server.core.listing import MAX_SKIP, Condition, Listing, Order


class Paged(msgspec.Struct):
    """The parameters of a list; a list with more of them inherits from it."""

    limit: int | None = None
    skip: int | None = None
    offset: int | None = None  # /users/v2 says offset where the others say skip
    count: bool | None = None
    sort_asc: str | None = None
    sort_desc: str | None = None


class Numbered(msgspec.Struct):
    """The parameters of a list that is paged by number (rest §4.4)."""

    page: int | None = None
    per_page: int | None = None


class Count(msgspec.Struct):
    count: int


class CountAnswer(msgspec.Struct):
    """The answer to ``count=1``."""

    items: Count


def listing(
    params: Paged,
    conditions: list[Condition],
    *,
    sortable: Collection[str],
    aliases: Mapping[str, str] | None = None,
    default: int = 100,
    largest: int = 100,
    asker: int = 0,
) -> Listing:
    """The page that ``params`` ask for. More than ``largest`` is capped; a sort by an unknown field is ignored.

    ``asker`` is the user who asks. Raises Invalid for a negative number, or a skip that is too deep.
    """
    limit = default if params.limit is None else params.limit
    skip = params.skip if params.skip is not None else params.offset or 0
    if limit < 0:
        raise Invalid({"limit": ["must not be negative"]})
    if skip < 0:
        raise Invalid({"skip": ["must not be negative"]})
    if skip > MAX_SKIP:
        raise Invalid({"skip": [f"is too large (maximum is {MAX_SKIP})"]})
    order = None
    for name, descending in ((params.sort_asc, False), (params.sort_desc, True)):
        name = (aliases or {}).get(name or "", name)
        if name in sortable and name is not None:
            order = Order(name, descending)
    return Listing(conditions=tuple(conditions), order=order, limit=min(limit, largest), skip=skip, asker=asker)


def numbered(params: Numbered, *, default: int = 10, largest: int = 100, asker: int = 0) -> tuple[int, Listing]:
    """The number of the page that ``params`` ask for, from 1, and the page as a listing.

    Raises Invalid for a number below 1, or a page that is too deep.
    """
    page = 1 if params.page is None else params.page
    size = default if params.per_page is None else params.per_page
    for name, number in (("page", page), ("per_page", size)):
        if number < 1:
            raise Invalid({name: ["must be at least 1"]})
    size = min(size, largest)
    skip = (page - 1) * size
    if skip > MAX_SKIP:
        raise Invalid({"page": [f"is too large (maximum is {MAX_SKIP // size + 1})"]})
    return page, Listing(limit=size, skip=skip, asker=asker)
