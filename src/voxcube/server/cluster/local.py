"""One node: a bus without anybody else on it. The default."""

from __future__ import annotations

from voxcube.server.cluster.bus import Listener


class LocalBus:
    """There is nobody to tell; local deliveries are direct calls."""

    alone = True

    async def start(self, listener: Listener) -> None:
        pass

    def subscribe(self, slot: int) -> None:
        pass

    def unsubscribe(self, slot: int) -> None:
        pass

    async def ready(self) -> None:
        pass

    def publish(self, slot: int, payload: bytes) -> None:
        pass

    def tell(self, payload: bytes) -> None:
        pass

    async def close(self) -> None:
        pass
