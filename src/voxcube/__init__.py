"""Voxcube: an open chat platform. `voxcube.client` is the asyncio SDK, `voxcube.server` the server."""

__version__ = "0.1.0.dev0"
