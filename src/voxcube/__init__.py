"""Voxcube: an open chat platform. `voxcube.client` is the asyncio SDK, `voxcube.server` the server."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxcube.client import Client

__all__ = ["Client", "__version__"]

__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    # Imported on first use: the server has no need for the SDK and its HTTP library.
    if name == "Client":
        from voxcube.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
