"""Turns every accepted encoding of a request into one nested structure (rest §1.4).

Query string first, then the body; where both name the same key, the body wins. The result is made of dicts, lists,
strings, numbers, booleans and None: JSON as it came, bracket names (``user[login]=x``, ``id[in][]=1``, ``a[0]=x``) as
dicts and lists. What a *string* means (a number, a flag, the list ``"1, 2"``) depends on the field it is for: see
``shape.py``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from voxcube.server.core.errors import BadRequest, Invalid

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one request, so that none of them costs much before it is understood."""

    body: int = 1024 * 1024  # bytes
    depth: int = 32  # containers inside each other
    values: int = 20_000  # keys and list items together


@dataclass(frozen=True, slots=True)
class Parameters:
    """``tree``: query and body together. ``body``: the body alone (signatures cover no more than that, rest §3.2)."""

    tree: Tree
    body: Tree


_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
# XML 1.0 §2.2: whatever comes by REST must be able to go out over XMPP.
_NOT_IN_XML = re.compile("[^\\t\\n\\r -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def normalise(query: bytes, content_type: str, body: bytes, limits: Limits | None = None) -> Parameters:
    """The parameters of one request.

    Raises ``BadRequest``: broken JSON, percent-encoding that is not UTF-8, NUL, a body that is not an object, a bound
    exceeded. Raises ``Invalid``: any other character that XML cannot carry.
    """
    limits = limits or Limits()
    if len(body) > limits.body:
        raise BadRequest(f"Request body is too large (maximum is {limits.body} bytes)")
    found = _pairs_to_tree(_urlencoded(query, limits), limits) if query else {}
    sent = _body(content_type, body, limits) if body else {}
    return Parameters(_merge(found, sent) if found else sent, sent)


#: Names of passwords, tokens, keys and signatures, in lower case without `-` and `_`.
CREDENTIALS = frozenset(
    (
        *("password", "oldpassword", "authkey", "authsecret", "signature", "token", "cbtoken", "cbauthkey"),
        *("accesstoken", "secret", "adminapikey", "cbadministrationapikey", "authorization"),
    )
)


def check_query(query: bytes, limits: Limits, *, token: bool = False) -> None:
    """URLs end in logs, histories and Referer headers: a query with a credential is refused.

    `token`: whether a session token is taken all the same. Raises Invalid, BadRequest.
    """
    for name, _ in _urlencoded(query, limits):
        for part in re.split(r"[\[\]]+", name):
            plain = part.strip().lower().replace("-", "").replace("_", "")
            if plain in CREDENTIALS and not (token and name == "token"):
                raise Invalid(f"{part} must not be in the URL, which ends in logs: send it in the body or in a header")


def _body(content_type: str, body: bytes, limits: Limits) -> Tree:
    kind, _, options = content_type.partition(";")
    kind = kind.strip().lower()
    charset = _option(options, "charset").lower()
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise BadRequest(f"Unsupported charset {charset}")
    if kind == "multipart/form-data":
        return _pairs_to_tree(_multipart(body, _option(options, "boundary"), limits), limits)
    if kind != "application/x-www-form-urlencoded" and (kind.endswith("json") or body.lstrip()[:1] == b"{"):
        return _json(body, limits)
    return _pairs_to_tree(_urlencoded(body, limits), limits)


def _option(options: str, name: str) -> str:
    """One parameter of a Content-Type value (RFC 9110 §8.3.1), unquoted; empty when absent."""
    for option in options.split(";"):
        key, _, value = option.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"')
    return ""


def _json(body: bytes, limits: Limits) -> Tree:
    if not body.strip():
        return {}  # a JSON content type without a body is valid (quirks A29)
    try:
        tree = msgspec.json.decode(body)
    except RecursionError:
        raise BadRequest("JSON is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise BadRequest("Request body is not valid JSON") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise BadRequest("Request body must be a JSON object")
    _check(tree, limits)
    return tree


def _check(tree: Tree, limits: Limits) -> None:
    """Depth, number of values, and no NUL: PostgreSQL has no place for it."""
    count = 0
    level: list[Any] = [tree]
    for _depth in range(limits.depth):
        below: list[Any] = []
        for container in level:
            count += len(container)
            if count > limits.values:
                raise BadRequest("Request has too many parameters")
            if isinstance(container, dict):
                for key in container:
                    _check_text(key)
                items: Iterable[Any] = container.values()
            else:
                items = container
            for item in items:
                if isinstance(item, str):
                    _check_text(item)
                elif isinstance(item, (dict, list)):
                    below.append(item)
        if not below:
            return
        level = below
    raise BadRequest("Request is nested too deeply")


def _check_text(text: str) -> None:
    found = _NOT_IN_XML.search(text)
    if found is not None:
        if found[0] == "\0":
            raise BadRequest("Request contains a NUL character")
        raise Invalid(f"Request contains the character U+{ord(found[0]):04X}, which chat messages cannot carry")


def _urlencoded(data: bytes, limits: Limits) -> Iterable[tuple[str, str]]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("Request is not valid UTF-8") from None
    if text.count("&") > limits.values:
        raise BadRequest("Request has too many parameters")
    for pair in text.strip().split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        try:
            # A percent-encoded surrogate is not UTF-8 either, so strict decoding refuses it too.
            yield unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise BadRequest("Request is not valid UTF-8") from None


def _multipart(body: bytes, boundary: str, limits: Limits) -> Iterable[tuple[str, str]]:
    """Fields of a ``multipart/form-data`` body (RFC 7578). Parts with a file name are no parameters: left out."""
    if not boundary:
        raise BadRequest("multipart/form-data needs a boundary")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise BadRequest("multipart/form-data is incomplete")
    if len(parts) > limits.values:
        raise BadRequest("Request has too many parameters")
    for part in parts[1:-1]:
        head, separator, value = part.partition(b"\r\n\r\n")
        if not separator:
            raise BadRequest("multipart/form-data is malformed")
        disposition = _disposition(head)
        if "filename" in disposition or "name" not in disposition:
            continue
        try:
            yield disposition["name"], value.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest("Request is not valid UTF-8") from None


_DISPOSITION = re.compile(r';\s*([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))', re.IGNORECASE)


def _disposition(head: bytes) -> dict[str, str]:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            return {name.lower().rstrip("*"): quoted or plain for name, quoted, plain in _DISPOSITION.findall(value)}
    return {}


class Numbered(list[Any]):
    """A list whose items were given by number, ``a[7]=x``; ``names`` are the numbers, where they are keys after all."""

    def __init__(self, by_name: Tree) -> None:
        self.names = in_number_order(by_name)
        super().__init__(by_name[name] for name in self.names)


class _Items(dict[str, Any]):
    """A list that is still being collected: keys are list indexes, ``[]`` takes the next free one."""


def _pairs_to_tree(pairs: Iterable[tuple[str, str]], limits: Limits) -> Tree:
    tree: Tree = {}
    for name, value in pairs:
        _check_text(name)
        _check_text(value)
        matched = _NAME.fullmatch(name)
        if matched is None:  # brackets that do not pair: an ordinary, unknown name
            tree[name] = value
            continue
        path = [matched[1], *_BRACKETS.findall(matched[2])]
        if len(path) > limits.depth:
            raise BadRequest("Request is nested too deeply")
        _place(tree, path, value)
    return {key: _finished(value) for key, value in tree.items()}


def _place(node: Tree, path: list[str], value: str) -> None:
    for key, following in itertools.pairwise(path):
        if key == "":
            key = str(len(node))
        child = node.get(key)
        if not isinstance(child, dict):
            # ``a=1&a[gt]=5``: a plain value beside an operator is equality.
            child = _Items() if following == "" else {}
            if key in node:
                child["eq"] = node[key]
            node[key] = child
        node = child
    last = path[-1] if path[-1] != "" else str(len(node))
    present = node.get(last)
    if isinstance(present, _Items):
        present[str(len(present))] = value  # ``a[]=1&a=2``
    elif isinstance(present, dict):
        present["eq"] = value
    else:
        node[last] = value  # of a name given twice the last counts


def _finished(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    done = {key: _finished(value) for key, value in node.items()}
    if isinstance(node, _Items) and "eq" not in done:
        return list(done.values())
    if done and all(key.isascii() and key.isdigit() for key in done):
        return Numbered(done)
    return done


def in_number_order(keys: Iterable[str]) -> list[str]:
    """Keys of digits by their value, however many digits there are: ``int`` refuses very long ones."""
    return sorted(keys, key=lambda key: (len(key.lstrip("0")), key.lstrip("0")))


def _merge(under: Tree, over: Tree) -> Tree:
    merged = dict(under)
    for key, value in over.items():
        present = merged.get(key)
        both = isinstance(value, dict) and isinstance(present, dict)
        merged[key] = _merge(present, value) if both and isinstance(present, dict) else value
    return merged
