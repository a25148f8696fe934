"""Every public method of the SDK says what it does and shows an example."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import voxcube.client
from voxcube.client.auth import Auth
from voxcube.client.chat import Chat
from voxcube.client.client import Client
from voxcube.client.dialogs import Dialogs
from voxcube.client.endpoint import tls_context
from voxcube.client.ids import new_message_id
from voxcube.client.messages import Messages
from voxcube.client.users import Users

NAMESPACES = (Auth, Users, Dialogs, Messages, Chat)
METHODS = [
    pytest.param(method, id=f"{space.__name__}.{name}")
    for space in NAMESPACES
    for name, method in inspect.getmembers(space, inspect.isfunction)
    if not name.startswith("_")
]


@pytest.mark.parametrize("method", [*METHODS, Client, tls_context, new_message_id])
def test_there_is_an_example(method: Callable[..., Any]) -> None:
    text = inspect.getdoc(method) or ""
    assert "Example:" in text
    assert ">>>" in text


def test_what_is_exported_is_documented() -> None:
    for name in voxcube.client.__all__:
        thing = getattr(voxcube.client, name)
        if inspect.isclass(thing):
            assert inspect.getdoc(thing), name
