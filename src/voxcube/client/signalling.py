"""``cube.chat.signalling``: what programs tell each other to set up a call, as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from voxcube.client import wire
from voxcube.client.events import Signal
from voxcube.client.headlines import MODULE, Headlines, data_of
from voxcube.client.streams import EventStream, Feed, Unsubscribe
from voxcube.xmpp.xml import Element

CALLS = "WebRTCVideoChat"
_LISTS = frozenset(("opponentID", "iceCandidate"))  # also when there is one


class Signalling:
    """Carries the signals of WebRTC calls in the form of the official SDKs. The SDK neither makes nor reads them: that
    is the work of a library for calls.

    A signal is a mapping of names to texts, to mappings of the same form, or to lists of these. The official SDKs use
    ``signalType`` (``call``, ``accept``, ``reject``, ``hangUp``, ``iceCandidates``, …), ``sessionID``, ``callType``
    (1 video, 2 audio), ``callerID``, ``sdp``, ``opponentsIDs``, ``iceCandidates`` and ``userInfo``.
    """

    def __init__(self, headlines: Headlines) -> None:
        self._headlines = headlines
        self._signals: Feed[Signal] = Feed(headlines.line, hold=True)

    async def send(self, user_id: int, signal: Mapping[str, Any]) -> str:
        """Sends a signal to all sessions that a user has at the moment.

        Args:
            user_id: the user.
            signal: what to tell; numbers become texts. At most 256 KiB.

        Returns:
            The id of the signal, when the server has relayed it. Errors as ``system.send``.

        Source: RFC 6121 §5.2.2.

        Example:
            >>> await cube.chat.signalling.send(
            ...     88,
            ...     {
            ...         "signalType": "call",
            ...         "sessionID": "5f1d…",
            ...         "callType": 1,
            ...         "callerID": 77,
            ...         "opponentsIDs": {"opponentID": [88]},
            ...         "sdp": offer.sdp,
            ...     },
            ... )
        """
        if not user_id:
            raise ValueError("give the user")
        data = {name: value for name, value in signal.items() if name != MODULE}
        return await self._headlines.send(user_id, CALLS, None, data)

    def signals(self) -> EventStream[Signal]:
        """Signals as they arrive. ``opponentID`` and ``iceCandidate`` are lists, also of one.

        Source: RFC 6121 §5.2.2.

        Example:
            >>> async for signal in cube.chat.signalling.signals():
            ...     print(signal.sender_id, signal.data["signalType"])
        """
        return self._signals.open()

    def on(self, fn: Callable[[Signal], Any]) -> Unsubscribe:
        """Calls ``fn`` with signals, as ``signals()``.

        Example:
            >>> stop = cube.chat.signalling.on(lambda signal: call.handle(signal.sender_id, signal.data))
        """
        return self._signals.subscribe(fn)

    # Inside

    def _receive(self, stanza: Element) -> None:
        sender = wire.user(stanza.get("from"))
        if sender:
            data = data_of(stanza.find("extraParams"), _LISTS)
            del data[MODULE]
            self._signals.emit(Signal(stanza.get("id") or "", sender, data))

    def _end_listening(self) -> None:
        self._signals.close()
