"""The optional signature of ``POST /session`` (rest §3.2): older Flutter SDKs send one, the others do not."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from typing import Any


def signature(secret: str, body: Mapping[str, Any]) -> str:
    """HMAC-SHA1, in hex, over the body's parameters but ``signature``: bracket names, sorted, values unescaped."""
    pairs = sorted(_flat("", {name: value for name, value in body.items() if name != "signature"}))
    text = "&".join(f"{name}={value}" for name, value in pairs)
    return hmac.new(secret.encode(), text.encode(errors="surrogatepass"), "sha1").hexdigest()


def is_signed(secret: str, body: Mapping[str, Any], given: str) -> bool:
    """Whether ``given`` is the signature of ``body``."""
    return hmac.compare_digest(signature(secret, body).encode(), given.lower().encode(errors="replace"))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{prefix}[{name}]" if prefix else name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(f"{prefix}[]", inner)
    elif isinstance(value, bool):
        yield prefix, "true" if value else "false"
    else:
        yield prefix, str(value)
