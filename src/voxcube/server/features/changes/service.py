"""The rules of changing messages: who may edit, delete and mark what (rest §5.1, §7.5, §7.6, realtime §9.4).

What was changed over the chat connection is relayed by its face, which has the stanza; what was changed by REST is told
by `notices`. Both after the commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Blocked, Forbidden, Invalid, NotFound
from voxcube.server.core.ids import is_object_id
from voxcube.server.core.models import DELIVERED, NO_TURN, READ, DialogType, Turn
from voxcube.server.features.messages.service import Facts, FactSource, facts_for, may_write, user_exists
from voxcube.server.features.privacy.service import PrivacyService
from voxcube.server.storage import broadcasts, changes, offline, receipts
from voxcube.server.storage.changes import Found
from voxcube.server.storage.database import Tx
from voxcube.server.storage.writer import Writer

MOST_EDITED = 100  # messages that one request gives a new text: each of them tells it to everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class NewText:
    """What a message shall say. Custom parameters are merged into those there are; None keeps what is there."""

    body: str
    properties: Mapping[str, Any] | None = None
    attachments: Sequence[Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a list of ids (rest §6.4)."""

    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Notices(Protocol):
    """Tells the others what somebody has changed by REST (`features.changes.encode`)."""

    def check(self, body: str) -> None:
        """Raises ValueError for a text that cannot be told."""

    def edited(self, facts: Facts, user_id: int, message_id: str, turn: Turn, body: str, *, last: bool) -> None: ...

    def deleted(self, facts: Facts, user_id: int, message_id: str, turn: Turn) -> None: ...

    def marked(self, facts: Facts, user_id: int, message_id: str, sender_id: int, *, read: bool) -> None: ...


class ChangeService:
    """Changes stored messages."""

    def __init__(
        self, *, facts: FactSource, privacy: PrivacyService, writer: Writer, notices: Notices, clock: Clock
    ) -> None:
        self._facts = facts
        self._privacy = privacy
        self._writer = writer
        self._notices = notices
        self._clock = clock

    # -- over the chat connection --------------------------------------------------------------------------------------

    async def place(
        self, app_id: int, user_id: int, to_user: int, dialog_id: str, *, origin: bytes = b""
    ) -> Facts | None:
        """The dialog that a change is addressed to: the private one with `to_user` (None: there is none), or a group.

        `origin` is the address of the session. Raises NotFound, Blocked, and Forbidden for a group that the user may
        not write to.
        """
        facts: Facts | None = None
        if to_user:
            allowed = await self._privacy.allows(app_id, user_id, to_user, origin=origin)
        else:
            allowed = await self._privacy.allows_room(app_id, user_id, dialog_id, origin=origin)
        if not allowed:
            raise Blocked
        if to_user:
            if not await user_exists(self._facts, app_id, user_id, to_user):
                raise NotFound("There is no such user")
            private = None if to_user == user_id else await self._facts.pair(app_id, user_id, to_user)
            if private is not None:
                facts = await self._facts.dialog(app_id, private)
        else:
            facts = await facts_for(self._facts, app_id, user_id, dialog_id, may_write)
            if facts is None or facts.type == DialogType.PRIVATE:
                raise NotFound("The dialog does not exist")
            if not may_write(facts, user_id):
                raise Forbidden("You may not write here")
        return facts

    async def edit(self, app_id: int, user_id: int, facts: Facts | None, message_id: str, text: NewText) -> Turn:
        """Edits a message of this dialog, behind all that was sent there before, and returns when it is told.

        Raises Forbidden for anybody else's, NotFound for a deleted one, Invalid for a text that leaves nothing of it.
        """

        async def run(tx: Tx) -> Turn:
            found = await _one(tx, app_id, message_id)
            if found is None:
                return NO_TURN
            if not _is_here(found, facts) or found.sender_id != user_id:
                raise Forbidden("Only its author may edit a message")
            await self._edit(tx, found, text)
            [turn] = await changes.take_turns(tx, found.dialog_id, [found.seq])
            return turn

        return await self._run(run, facts)

    async def delete(self, app_id: int, user_id: int, facts: Facts | None, message_id: str, to_user: int) -> Turn:
        """Deletes a message of this dialog for everyone and returns when it is told; one that is gone is no error.

        When no message with this id was ever stored it does not wait for `to_user` either. Raises Forbidden.
        """

        async def run(tx: Tx) -> Turn:
            found = await _one(tx, app_id, message_id)
            if found is None:
                if to_user:
                    await offline.withdraw(tx, to_user, message_id, f"{user_id}-{app_id}@")
                return NO_TURN
            if not _is_here(found, facts) or not may_delete(facts, user_id, found.sender_id):
                raise Forbidden("You may not delete this message")
            if found.there:
                await changes.remove(tx, found.dialog_id, [found.seq], self._clock.now_ms())
            [turn] = await changes.take_turns(tx, found.dialog_id, [found.seq])
            return turn

        return await self._run(run, facts)

    async def _run(self, run: Callable[[Tx], Coroutine[Any, Any, Turn]], facts: Facts | None) -> Turn:
        if facts is None:
            return await self._writer.run(run)
        await self._writer.settled(facts.id)
        return await self._writer.run(run, dialog=facts.id)

    async def _edit(self, tx: Tx, found: Found, text: NewText) -> bool:
        """Whether it is the dialog's last message."""
        last = await changes.edit(
            tx,
            found,
            body=text.body,
            properties=text.properties,
            attachments=text.attachments,
            now_ms=self._clock.now_ms(),
        )
        if last is None:
            raise NotFound("The message was deleted")
        return last

    # -- by REST -------------------------------------------------------------------------------------------------------

    async def update(
        self,
        app_id: int,
        user_id: int,
        dialog_id: str,
        ids: Sequence[str] | None,
        *,
        read: bool = False,
        delivered: bool = False,
        body: str | None = None,
    ) -> None:
        """Marks and edits messages of a dialog: those with these ids, or (None) all of them, which can only be marked.

        Of several ids those that are no messages of the dialog are passed over. Raises Invalid, NotFound, Forbidden;
        then nothing is changed.
        """
        if ids is None and body is not None:
            raise Invalid({"message": ["can only be changed for messages that are named"]})
        if ids is not None and body is not None and len(ids) > MOST_EDITED:
            raise Invalid({"message": [f"can only be changed for {MOST_EDITED} messages at once"]})
        if body is not None:
            try:
                self._notices.check(body)
            except ValueError as error:
                raise Invalid({"message": [str(error)]}) from None
        facts = await self._readable(app_id, user_id, dialog_id)
        if body is not None and not await self._may_reach(facts, user_id):
            raise Blocked
        kinds = [kind for kind, wanted in ((READ, read), (DELIVERED, delivered and not read)) if wanted]
        await self._writer.settled(dialog_id)
        if ids is None:

            async def mark_all(tx: Tx) -> None:
                await self._see(tx, facts, user_id)
                for kind in kinds:
                    await receipts.mark_all(tx, dialog_id, user_id, kind)

            await self._writer.run(mark_all, dialog=dialog_id)
            return

        async def run(tx: Tx) -> tuple[list[Found], list[Turn], bool, list[tuple[int, set[int]]]]:
            known = (await changes.find(tx, app_id, ids)).values()
            found = sorted((one for one in known if _is_here(one, facts) and one.there), key=lambda one: one.seq)
            if not found:
                raise NotFound("Message does not exist")
            seqs = [one.seq for one in found]
            turns, last = [NO_TURN for _ in found], False
            if body is not None:
                if not may_write(facts, user_id) or any(one.sender_id != user_id for one in found):
                    raise Forbidden("Only its author may edit a message")
                for one in found:
                    last = await self._edit(tx, one, NewText(body=body))
                turns = await changes.take_turns(tx, dialog_id, seqs)
            await self._see(tx, facts, user_id)
            marked = [(kind, await receipts.mark_seqs(tx, dialog_id, user_id, kind, seqs)) for kind in kinds]
            return found, turns, last, marked

        found, turns, last, marked = await self._writer.run(run, dialog=dialog_id)
        for one, turn in zip(found, turns, strict=True):
            if body is not None:
                self._notices.edited(facts, user_id, one.id, turn, body, last=last and one is found[-1])
            for kind, seqs in marked:
                if one.seq in seqs:
                    self._notices.marked(facts, user_id, one.id, one.sender_id, read=kind == READ)

    async def delete_many(self, app_id: int, user_id: int, ids: Iterable[str], *, for_all: bool) -> Outcome:
        """Deletes messages for the user, or for everyone; what the user cannot see does not exist for it."""
        outcome = Outcome()
        wanted = list(dict.fromkeys(ids))
        valid = [id_ for id_ in wanted if is_object_id(id_)]
        known = await self._writer.run(lambda tx: changes.find(tx, app_id, valid)) if valid else {}
        by_dialog: dict[str, list[Found]] = defaultdict(list)
        done: set[str] = set()
        for id_ in wanted:
            if (found := known.get(id_)) is not None and found.there:
                by_dialog[found.dialog_id].append(found)
        for dialog_id, messages in by_dialog.items():
            facts = await facts_for(self._facts, app_id, user_id, dialog_id, may_read)
            if facts is None or not may_read(facts, user_id):
                continue
            own = []
            may_reach = not for_all or await self._may_reach(facts, user_id)
            for one in messages:
                if may_reach and _may(facts, user_id, one, for_all=for_all):
                    own.append(one)
                else:
                    outcome.refused.append(one.id)
            if own:
                done |= await (self._delete_for_all if for_all else self._delete_for)(facts, user_id, own)
        outcome.done.extend(id_ for id_ in wanted if id_ in done)
        told = done.union(outcome.refused)
        outcome.missing.extend(id_ for id_ in wanted if id_ not in told)
        return outcome

    async def _delete_for_all(self, facts: Facts, user_id: int, messages: Sequence[Found]) -> set[str]:
        async def run(tx: Tx) -> list[tuple[str, Turn]]:
            gone = await changes.remove(tx, facts.id, [one.seq for one in messages], self._clock.now_ms())
            told = [one for one in messages if one.id in gone]
            turns = await changes.take_turns(tx, facts.id, [one.seq for one in told])
            return [(one.id, turn) for one, turn in zip(told, turns, strict=True)]

        removed = await self._writer.run(run, dialog=facts.id)
        for id_, turn in removed:
            self._notices.deleted(facts, user_id, id_, turn)
        return {id_ for id_, _ in removed}

    async def _delete_for(self, facts: Facts, user_id: int, messages: Sequence[Found]) -> set[str]:
        seqs = [one.seq for one in messages]

        async def run(tx: Tx) -> set[int]:
            await self._see(tx, facts, user_id)
            return await receipts.hide_for(tx, facts.id, user_id, seqs)

        hidden = await self._writer.run(run, dialog=facts.id)
        return {one.id for one in messages if one.seq in hidden}

    async def _may_reach(self, facts: Facts, user_id: int) -> bool:
        """Whether privacy lists let what the user says in this dialog go to the others (realtime §15)."""
        if facts.type != DialogType.PRIVATE:
            return await self._privacy.allows_room(facts.app_id, user_id, facts.id)
        return all([await self._privacy.allows(facts.app_id, user_id, other) for other in facts.members - {user_id}])

    async def _see(self, tx: Tx, facts: Facts, user_id: int) -> None:
        """Who marks in a broadcast has a row of its own from then on."""
        if facts.type == DialogType.BROADCAST:
            await broadcasts.see(tx, facts.app_id, user_id, [facts.id], self._clock.now())

    async def _readable(self, app_id: int, user_id: int, dialog_id: str) -> Facts:
        facts = await facts_for(self._facts, app_id, user_id, dialog_id, may_read)
        if facts is None:
            raise NotFound("Dialog does not exist")
        if not may_read(facts, user_id):
            raise Forbidden("You are not a member of this dialog")
        return facts


def may_read(facts: Facts, user_id: int) -> bool:
    """Whether the dialog's messages are the user's to see."""
    return facts.type == DialogType.BROADCAST or user_id in facts.members


def may_delete(facts: Facts | None, user_id: int, sender_id: int) -> bool:
    """Whether the user may delete a message of this sender for everyone."""
    if facts is None:
        return False
    if sender_id == user_id and may_write(facts, user_id):
        return True
    return facts.type != DialogType.PRIVATE and _leads(facts, user_id)


def _leads(facts: Facts, user_id: int) -> bool:
    return user_id == facts.owner_id or user_id in facts.admins


def _may(facts: Facts, user_id: int, message: Found, *, for_all: bool) -> bool:
    if for_all:
        return may_delete(facts, user_id, message.sender_id)
    return facts.type != DialogType.BROADCAST or _leads(facts, user_id)


def _is_here(found: Found, facts: Facts | None) -> bool:
    return facts is not None and found.dialog_id == facts.id


async def _one(tx: Tx, app_id: int, message_id: str) -> Found | None:
    if not is_object_id(message_id):
        return None
    return (await changes.find(tx, app_id, [message_id])).get(message_id)
