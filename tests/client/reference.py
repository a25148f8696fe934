"""Writes the part of docs/reference/sdk.md that follows from the docstrings: python -m tests.client.reference"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import voxcube.client
from voxcube.client import Client, new_message_id, tls_context
from voxcube.client.auth import Auth
from voxcube.client.chat import Chat
from voxcube.client.contacts import Contacts
from voxcube.client.dialogs import Dialogs
from voxcube.client.last_activity import LastActivity
from voxcube.client.messages import Messages
from voxcube.client.privacy import Privacy
from voxcube.client.rooms import Rooms
from voxcube.client.signalling import Signalling
from voxcube.client.system import System
from voxcube.client.users import Users

PAGE = Path(__file__).parents[2] / "docs/reference/sdk.md"
MARK = "<!-- From here on written from the docstrings by: python -m tests.client.reference -->\n"
WIDTH = 110

SPACES: dict[str, type[Any]] = {
    "cube.auth": Auth,
    "cube.users": Users,
    "cube.dialogs": Dialogs,
    "cube.messages": Messages,
    "cube.chat": Chat,
    "cube.chat.rooms": Rooms,
    "cube.chat.privacy": Privacy,
    "cube.chat.last_activity": LastActivity,
    "cube.chat.system": System,
    "cube.chat.signalling": Signalling,
    "cube.chat.contacts": Contacts,
}
LISTS = {"Args": "Arguments", "Raises": "Raises"}


def page() -> str:
    """The whole page: what was written by hand up to the mark, and the rest anew."""
    by_hand, mark, _ = PAGE.read_text().partition(MARK)
    assert mark, f"no mark in {PAGE}"
    return by_hand + MARK + "\n" + "\n".join(written())


def written() -> Iterator[str]:
    """The parts of the page below the mark."""
    yield "## The client\n"
    yield from entry("Client", Client, "Client")
    for name, member in members(Client):
        yield from entry(f"cube.{name}", member, name)
    for space, cls in SPACES.items():
        yield f"## {space}\n"
        yield f"{inspect.getdoc(cls)}\n"
        for name, member in members(cls):
            yield from entry(f"{space}.{name}", member, name)
    yield "## Functions\n"
    for function in (new_message_id, tls_context):
        yield from entry(function.__name__, function, function.__name__)
    yield "## Types\n"
    for name in voxcube.client.__all__:
        thing = getattr(voxcube.client, name)
        if inspect.isclass(thing) and thing is not Client and not issubclass(thing, Exception):
            yield from described(name, thing)
    yield "## Errors\n"
    tree = inspect.getdoc(voxcube.client.errors) or ""
    yield f"```\n{textwrap.dedent(tree.split(chr(10) * 2)[1])}\n```\n"


def members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Public methods and properties in the order of the source, inherited ones last."""
    seen = set()
    for owner in cls.__mro__:
        for name, member in vars(owner).items():
            if not name.startswith("_") and name not in seen and (callable(member) or isinstance(member, property)):
                seen.add(name)
                yield name, member


def entry(title: str, member: Any, name: str) -> Iterator[str]:
    """One method, property or function."""
    if isinstance(member, property):
        assert member.fget is not None
        returns = annotation(inspect.signature(member.fget).return_annotation)
        yield f"### {title}\n"
        yield f"`{name}: {returns}`: {inspect.getdoc(member)}\n"
        return
    yield f"### {title}\n"
    yield f"```python\n{form(title, member)}\n```\n"
    yield from prose(inspect.getdoc(member) or "")


def form(title: str, member: Callable[..., Any]) -> str:
    """How it is called."""
    signature = inspect.signature(member)
    given = [p for p in signature.parameters.values() if p.name != "self"]
    words = []
    for before, parameter in zip([None, *given], given, strict=False):
        if parameter.kind is parameter.KEYWORD_ONLY and (before is None or before.kind is not parameter.KEYWORD_ONLY):
            words.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        words.append(f"{stars}{parameter.name}: {annotation(parameter.annotation)}{default}")
    returns = "" if inspect.isclass(member) else f" -> {annotation(signature.return_annotation)}"
    how = "await " if inspect.iscoroutinefunction(member) else ""
    if inspect.isasyncgenfunction(inspect.unwrap(member)):
        how, returns = "async with ", ""
    line = f"{how}{title}({', '.join(words)}){returns}"
    if len(line) <= WIDTH:
        return line
    inside = "".join(f"    {word},\n" for word in words)
    return f"{how}{title}(\n{inside}){returns}"


def annotation(given: Any) -> str:
    """A type as it is written in the source."""
    return given if isinstance(given, str) else inspect.formatannotation(given)


def prose(doc: str) -> Iterator[str]:
    """A docstring as Markdown."""
    parts = re.split(r"^(Args|Returns|Raises|Source|Example):", doc, flags=re.MULTILINE)
    yield f"{code(parts[0].strip())}\n"
    for kind, text in zip(parts[1::2], parts[2::2], strict=True):
        body = textwrap.dedent(text).strip() if kind != "Source" else text.strip()
        if kind == "Example":
            yield f"```python\n{program(body)}\n```\n"
        elif kind in LISTS:
            yield f"{LISTS[kind]}:\n"
            yield "".join(f"- {item}\n" for item in items(body))
        else:
            yield f"{kind}: {code(' '.join(body.split()))}\n"


def items(body: str) -> Iterator[str]:
    """`name: text` entries, whose text may go on in indented lines."""
    for item in re.split(r"\n(?=\S)", body):
        name, colon, text = " ".join(item.split()).partition(": ")
        yield f"`{name}`: {code(text)}" if colon and re.fullmatch(r"[\w, *]+", name) else code(" ".join(item.split()))


def code(text: str) -> str:
    """Marked-up names as Markdown has them."""
    return text.replace("``", "`")


def program(example: str) -> str:
    """The lines of an interactive session as a program, what is shown as comments."""
    lines = []
    for line in example.splitlines():
        lines.append(line[4:] if line.startswith((">>> ", "... ")) else f"# {line}")
    return "\n".join(lines)


def described(name: str, cls: type[Any]) -> Iterator[str]:
    """A type that methods take or return."""
    yield f"### {name}\n"
    yield from prose(inspect.getdoc(cls) or "")
    if issubclass(cls, Enum):
        yield f"Values: {', '.join(f'`{member.name}`' for member in cls)}\n"
    elif dataclasses.is_dataclass(cls):
        yield f"Fields: {', '.join(f'`{field.name}: {field.type}`' for field in dataclasses.fields(cls))}\n"
    for method, member in vars(cls).items():
        if not method.startswith(("_", "from_", "to_", "push")) and isinstance(member, property | type(page)):
            yield from entry(f"{name}.{method}", member, method)


if __name__ == "__main__":
    PAGE.write_text(page())
