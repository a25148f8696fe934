"""Messages whose commit was uncertain: looked for in storage once the database answers again.

The answer to a COMMIT was lost and the database stayed away for longer than the writer waits: the senders were refused,
and the messages may be stored all the same. Whether they are sent again or not, connected sessions must get them, in
the order of the dialog. So from the refusal on, the streams of these dialogs are delivered through the sequencer, which
lets nothing overtake a message that is known to be stored; and as soon as the database answers, the highest number of
each dialog says what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voxcube.server.cluster.gate import AGAIN, Gate, Stream

log = logging.getLogger(__name__)

Newest = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]


@dataclass(slots=True)
class _Uncertain:
    """A dialog: the lowest number that may be stored and was not delivered, and the streams it belongs to."""

    low: int
    streams: set[Stream] = field(default_factory=set)


class Reconciler:
    """Delivers messages of uncertain commits in their place."""

    def __init__(self, gate: Gate[Any], stored: Callable[[Stream, int], None], newest: Newest, *, alone: bool) -> None:
        """`stored(stream, seq)` has everything up to `seq` delivered, here and elsewhere. `newest(dialogs)` reads the
        highest number of each dialog behind all transactions under way (it locks the rows). On a node that is `alone`
        the sequencer knows only the streams of this class; with other nodes it knows all streams anyway."""
        self._gate = gate
        self._stored = stored
        self._newest = newest
        self._alone = alone
        self._uncertain: dict[str, _Uncertain] = {}
        self._task: asyncio.Task[None] | None = None

    def uncertain(self, dialog_id: str, seq: int, streams: Iterable[Stream]) -> None:
        """A message with this number may be stored; called in the order of the numbers, before later deliveries."""
        found = self._uncertain.setdefault(dialog_id, _Uncertain(seq))
        found.low = min(found.low, seq)
        for stream in streams:
            found.streams.add(stream)
            if self._alone:
                self._gate.start(stream, seq - 1)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while self._uncertain:
            batch, self._uncertain = self._uncertain, {}
            try:
                newest = await self._newest(sorted(batch))
            except Exception as error:  # the database is still away
                log.info("messages of an uncertain commit cannot be looked for yet: %s", type(error).__name__)
                for dialog_id, again in self._uncertain.items():
                    if dialog_id in batch:
                        batch[dialog_id].streams |= again.streams
                    else:
                        batch[dialog_id] = again
                self._uncertain = batch
                await asyncio.sleep(AGAIN)
                continue
            for dialog_id, found in batch.items():
                seq = newest.get(dialog_id, 0)
                for stream in found.streams:
                    if seq >= found.low:
                        self._stored(stream, seq)
                    if self._alone and dialog_id not in self._uncertain:
                        self._gate.finish(stream)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
