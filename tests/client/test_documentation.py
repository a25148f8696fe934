"""Every public method of the SDK says what it does and shows an example."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import voxcube.client
from tests.client.fake_rest import FakeRest
from tests.client.reference import PAGE, SPACES, page
from voxcube.client.client import Client
from voxcube.client.endpoint import tls_context
from voxcube.client.ids import new_message_id

METHODS = [
    pytest.param(method, id=f"{space.__name__}.{name}")
    for space in SPACES.values()
    for name, method in inspect.getmembers(space, inspect.isfunction)
    if not name.startswith("_")
]


@pytest.mark.parametrize("method", [*METHODS, Client, Client.close, tls_context, new_message_id])
def test_there_is_an_example(method: Callable[..., Any]) -> None:
    text = inspect.getdoc(method) or ""
    assert "Example:" in text
    assert ">>>" in text


def test_what_is_exported_is_documented() -> None:
    for name in voxcube.client.__all__:
        thing = getattr(voxcube.client, name)
        if inspect.isclass(thing):
            assert inspect.getdoc(thing), name


async def test_every_namespace_is_in_the_reference() -> None:
    async with FakeRest().client() as cube:
        parts = {f"cube.{name}": type(part) for name, part in vars(cube).items() if not name.startswith("_")}
        inner = {f"cube.chat.{name}": type(part) for name, part in vars(cube.chat).items() if not name.startswith("_")}
        parts |= inner
    assert parts == SPACES


def test_the_reference_says_what_the_docstrings_say() -> None:
    assert PAGE.read_text() == page(), "python -m tests.client.reference writes it anew"
