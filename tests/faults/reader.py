"""A raw session that writes down each message it is given, and acknowledges at once where it uses XEP-0198."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

from tests.support.xmpp_peer import Peer
from voxcube.xmpp.xml import Element

SECONDS = 15.0  # how long a condition is waited for


class Reader(Peer):
    """`got`: the ids of messages with a body, in the order received, copies (XEP-0280) included."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.got: list[str] = []
        self.received = 0  # stanzas since stream management is on
        self.counting = False
        self.acknowledging = True
        self._news = asyncio.Event()

    @classmethod
    async def enter(
        cls, address: tuple[str, int], username: str, password: str, *, resource: str, sm: bool, resume: bool = False
    ) -> Self:
        """Log in, enable what is wished for, and become available."""
        self = await cls.connect(address)
        self.seconds = SECONDS
        await self.login(username, password, resource)
        if sm:
            self.send(f'<enable xmlns="urn:xmpp:sm:3" resume="{str(resume).lower()}"/>')
            await self.wait("enabled")
        self.send('<iq type="set" id="c1" xmlns="jabber:client"><enable xmlns="urn:xmpp:carbons:2"/></iq>')
        await self.wait("iq", id="c1", type="result")
        await self.available()
        return self

    def _take(self, tokens: list[Any]) -> None:
        super()._take(tokens)
        before = self.received
        for token in tokens:
            if not isinstance(token, Element):
                continue
            if token.name == "enabled":
                self.counting = True
            elif token.name in ("message", "iq", "presence"):
                self.received += self.counting
                if token.name == "message" and (found := message_id(token)):
                    self.got.append(found)
        if self.counting and self.acknowledging and self.received != before:
            self.send(f'<a xmlns="urn:xmpp:sm:3" h="{self.received}"/>')
        self._news.set()

    def of(self, ids: Sequence[str]) -> list[str]:
        """Those of `ids` that were received, in the order received, repetitions included."""
        return [id_ for id_ in self.got if id_ in ids]

    async def until(self, met: Callable[[], bool], what: object = "") -> None:
        """Wait for a condition on what was received."""
        try:
            async with asyncio.timeout(self.seconds):
                while not met():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.jid} waited in vain for {what}; it has {self.got[-12:]}") from None


def message_id(stanza: Element) -> str:
    """The id of a message with a body, unwrapped when it is a copy; "" for everything else."""
    copy = stanza.find("sent")
    if copy is not None:
        forwarded = copy.find("forwarded")
        assert forwarded is not None
        stanza = next(iter(forwarded.elements()))
    if stanza.get("type") == "error" or stanza.find("body") is None:
        return ""
    return stanza.get("id") or ""
