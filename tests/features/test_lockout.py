"""An attack on an account from many addresses, at both adapters: the owner still logs in, the attackers do not."""

import contextlib
from collections.abc import Awaitable, Callable

import pytest

from tests.features.world import PASSWORD, World
from voxcube.server.core.errors import TooManyRequests, Unauthorized
from voxcube.server.features.sessions.service import Credentials
from voxcube.server.features.users.doorkeeper import SHARED

HOME, ELSEWHERE = "192.0.2.1", "203.0.113.5"
Login = Callable[[str, str], Awaitable[bool]]


@pytest.fixture(params=["rest", "email", "xmpp"])
async def login(request: pytest.FixtureRequest, world: World) -> Login:
    """Logs ann in with a password from an address; whether it was right."""
    ann = await world.user("ann", email="ann@example.org")

    async def rest(password: str, address: str) -> bool:
        names = {"email": "ann@example.org"} if request.param == "email" else {"login": "ann"}
        credentials = Credentials(**names, password=password)
        try:
            await world.sessions.create(
                app_id=world.app.id, auth_key=world.app.auth_key, credentials=credentials, address=address
            )
        except Unauthorized:
            return False
        return True

    async def xmpp(password: str, address: str) -> bool:
        return await world.sessions.check_credentials(world.app.id, ann.id, password, address) is not None

    return xmpp if request.param == "xmpp" else rest


async def attack(login: Login) -> None:
    for number in range(2 * SHARED):
        for _ in range(5):
            with contextlib.suppress(TooManyRequests):
                assert not await login("a wrong guess", f"198.51.100.{number}")


async def test_the_owner_logs_in_where_it_has_before(login: Login, world: World) -> None:
    assert await login(PASSWORD, HOME)
    world.clock.advance(3600)  # nothing remembers the password any more
    await attack(login)
    assert await login(PASSWORD, HOME)
    for _ in range(5):
        assert not await login("a wrong guess", HOME)
    with pytest.raises(TooManyRequests):  # an attacker at that address is slowed down as before
        await login("a wrong guess", HOME)


async def test_a_remembered_password_is_taken_anywhere(login: Login) -> None:
    assert await login(PASSWORD, HOME)
    await attack(login)
    assert await login(PASSWORD, ELSEWHERE)
    with pytest.raises(TooManyRequests):
        await login("a wrong guess", "203.0.113.6")


async def test_a_stranger_with_the_right_password_waits_like_all_others(login: Login) -> None:
    await attack(login)
    with pytest.raises(TooManyRequests):
        await login(PASSWORD, ELSEWHERE)
