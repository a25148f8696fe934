"""The XMPP protocol without I/O: bytes and events in, bytes and events out; the server and the SDK both stand on it."""
