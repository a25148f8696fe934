"""How the SDK is used: replies, objects as keys, what errors say, filters, sorts, limits, and what a client costs."""

import dataclasses
import inspect
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import voxcube.client
from tests.client.fake_chat import DIALOG_ID, MESSAGE_ID, FakeChat
from tests.client.fake_rest import DIALOG, MESSAGE, FakeRest, with_session
from tests.client.test_connection import self_signed
from tests.client.test_receiving import GROUP, PRIVATE, chat, group
from voxcube.client import (
    ApiError,
    Attachment,
    Client,
    Event,
    Message,
    NotFound,
    TransportError,
    endpoint,
    tls_context,
)


class TestReplies:
    @pytest.mark.parametrize(
        ("stanza", "kind", "to"),
        [(chat(), "chat", "88-3@"), (group(88, more=""), "groupchat", f"3_{DIALOG_ID}@muc.")],
        ids=["private", "group"],
    )
    async def test_to_a_message_that_arrived(self, stanza: str, kind: str, to: str) -> None:
        async with FakeChat() as server, server.ready() as (cube, session):
            messages = cube.chat.messages()
            session.send(stanza)
            message = await anext(messages)
            answers = (
                await message.reply("Thanks", properties={"a": "1"}),
                await cube.chat.send(message, "Thanks"),
                await (await cube.chat.send(message, "first")).reply("Thanks"),  # to one's own
            )
            assert [answer.body for answer in answers] == ["Thanks"] * 3
            found = [await session.next() for _ in range(4)]
            assert {(each.get("type"), (each.get("to") or "")[: len(to)]) for each in found} == {(kind, to)}
            await cube.chat.typing(message)
            assert (await session.next()).get("type") == kind
            await cube.chat.stop_typing(message)

    async def test_to_a_message_of_the_history(self) -> None:
        answer = {"skip": 0, "limit": 100, "items": [MESSAGE | {"sender_id": 88, "recipient_id": 77}]}
        found = {"results": {"messages": [MESSAGE], "dialogs": [DIALOG]}}
        rest = FakeRest(
            {
                "GET /chat/Message": (200, answer),
                "GET /chat/search": (200, found),
                "POST /chat/Message": (201, MESSAGE),
            }
        )
        async with FakeChat() as server, server.client(http_transport=httpx.MockTransport(rest.handle)) as cube:
            with_session(cube, "secret")
            await cube.chat.connect(77)
            session = await server.connected.get()
            for message in (
                (await cube.messages.list(DIALOG_ID))[0],
                (await cube.messages.search("Lunch")).messages[0],
                await cube.messages.create(dialog_id=DIALOG_ID, body="x"),
                await anext(cube.messages.iterate(DIALOG_ID)),
            ):
                await message.reply("Thanks")
                assert (await session.next()).get("to") == "88-3@chat.example.org"

    async def test_to_a_message_of_nobody(self) -> None:
        with pytest.raises(ValueError, match="came from no client"):
            await Message.from_json(MESSAGE, 77).reply("x")

    async def test_exactly_one_destination(self) -> None:
        async with FakeChat() as server, server.ready() as (cube, _):
            with pytest.raises(ValueError, match="exactly one"):
                await cube.chat.send(Message.from_json(MESSAGE, 77), "x", to_user=5)
            with pytest.raises(ValueError, match="Message"):
                await cube.chat.send(DIALOG_ID, "x")  # type: ignore[arg-type]

    def test_a_copy_is_plain_data(self) -> None:
        message = Message.from_json(MESSAGE, 77)
        assert dataclasses.asdict(message)["id"] == MESSAGE_ID
        assert dataclasses.replace(message, body="x").body == "x"


def test_all_objects_can_be_keys() -> None:
    """Equal ones are one key."""
    for one, other in (
        (Message.from_json(MESSAGE, 77), Message.from_json(MESSAGE, 77)),
        (PRIVATE, voxcube.client.Dialog.from_json(DIALOG, 77)),
        (Attachment("image", extra={"a": "1"}), Attachment("image", extra={"a": "1"})),
    ):
        assert len({one, other}) == 1
        assert hash(one) == hash(other)
    assert len({PRIVATE, GROUP}) == 2
    for name in voxcube.client.__all__:
        kind = getattr(voxcube.client, name)
        if not inspect.isclass(kind) or not dataclasses.is_dataclass(kind):
            continue
        for field in dataclasses.fields(kind):
            if field.hash is not False:
                assert not str(field.type).startswith(("dict", "list", "set")), (name, field.name)


async def test_on_message_is_on_event_message() -> None:
    """Neither has one's own messages unless they are asked for."""
    async with FakeChat() as server, server.ready() as (cube, session):
        seen: list[tuple[str, str | None]] = []
        cube.chat.on(Event.MESSAGE, lambda message: seen.append(("on", message.body)))
        cube.chat.on_message(lambda message: seen.append(("on_message", message.body)))
        cube.chat.on_message(lambda message: seen.append(("own too", message.body)), include_own=True)
        session.send(group(77, "own", "1" * 24), group(88, "bob", "2" * 24))
        await cube.chat.ping()
        assert sorted(seen) == [("on", "bob"), ("on_message", "bob"), ("own too", "bob"), ("own too", "own")]


@pytest.mark.parametrize("event", Event)
async def test_on_is_the_generic_form_of_every_event(event: Event) -> None:
    async with FakeChat() as server, server.ready() as (cube, _):
        before = len(cube.chat._feeds[event]._callbacks)
        stop = cube.chat.on(event, print)
        assert len(cube.chat._feeds[event]._callbacks) == before + 1
        stop()
        assert len(cube.chat._feeds[event]._callbacks) == before


class TestErrors:
    async def test_they_name_the_request_without_its_secrets(self) -> None:
        rest = FakeRest({"GET /api/users/by_email": (404, None), "GET /api/users/7": (200, {"unfit": 1})})
        url = "http://user:pass@127.0.0.1:1/api/"
        async with with_session(rest.client(api_url=url)) as cube:
            with pytest.raises(NotFound) as caught:
                await cube.users.by_email("ann@example.org")
            assert (caught.value.method, caught.value.url) == ("GET", "http://127.0.0.1:1/api/users/by_email")
            assert str(caught.value) == "404: no reason given (GET http://127.0.0.1:1/api/users/by_email)"
            with pytest.raises(ApiError, match=r"unexpected form.*\(GET http://127\.0\.0\.1:1/api/users/7\)"):
                await cube.users.get(7)

    async def test_transport_errors_name_host_and_port(self) -> None:
        def fail(_: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("no route")

        async with FakeRest().client(http_transport=httpx.MockTransport(fail)) as cube:
            with pytest.raises(TransportError, match=r"POST http://127\.0\.0\.1:1/session: no route") as caught:
                await cube.auth.create_session()
            assert (caught.value.host, caught.value.port) == ("127.0.0.1", 1)
            assert caught.value.url == "http://127.0.0.1:1/session"

    @pytest.mark.parametrize("failure", ["refused", "silent", "closed", "broken"])
    async def test_of_the_chat_too(self, failure: str) -> None:
        async with FakeChat() as server:
            server.silent_at_login = failure == "silent"
            async with server.client(timeout=0.2 if failure == "silent" else 5) as cube:
                if failure in ("refused", "silent"):
                    if failure == "refused":
                        server.server.close()
                    with pytest.raises(TransportError) as caught:
                        await cube.chat.connect(77, "secret")
                    error: Any = caught.value
                else:
                    await cube.chat.connect(77, "secret")
                    session = await server.connected.get()
                    session.send("</stream:stream>" if failure == "closed" else "<<>>")
                    error = await cube.chat.closed()
                assert isinstance(error, TransportError)
                assert (error.host, error.port) == ("127.0.0.1", server.port)
                assert str(error).count(f"127.0.0.1:{server.port}") == 1


Act = Callable[[Client], Awaitable[Any]]


async def _all(iterator: Any) -> None:
    async for _ in iterator:
        pass


REFUSED: list[tuple[str, Act]] = [
    (r"there is no filter 'nmae'", lambda c: c.dialogs.list(nmae="x")),  # type: ignore[call-arg]
    (r"there is no filter 'nmae'", lambda c: c.dialogs.count(nmae="x")),  # type: ignore[call-arg]
    (r"there is no filter 'nmae'", lambda c: _all(c.dialogs.iterate(nmae="x"))),  # type: ignore[call-arg]
    (r"type has no operator 'ctn'", lambda c: c.dialogs.list(type__ctn=2)),  # type: ignore[call-arg]
    (r"no operator 'over'", lambda c: c.messages.list(DIALOG_ID, date_sent__over=2)),  # type: ignore[call-arg]
    (r"there is no filter 'city'", lambda c: c.messages.list(DIALOG_ID, city="Oslo")),  # type: ignore[call-arg]
    (r"there is no filter 'city'", lambda c: c.messages.count(DIALOG_ID, city="Oslo")),  # type: ignore[call-arg]
    (r"there is no filter 'city'", lambda c: _all(c.messages.iterate(DIALOG_ID, city="Oslo"))),  # type: ignore[call-arg]
    (r"there is no filter 'name'", lambda c: c.users.list(name="x")),  # type: ignore[call-arg]
    (r"id has no operator 'gt'", lambda c: c.users.list(id__gt=1)),  # type: ignore[call-arg]
    (r"no field 'tag_list'", lambda c: c.users.signup(login="a", password="b", tag_list="x")),  # type: ignore[call-arg]
    (r"cannot sort by 'nmae'", lambda c: c.dialogs.list(sort="nmae")),
    (r"cannot sort by ''", lambda c: c.dialogs.list(sort="")),
    (r"cannot sort by '--name'", lambda c: c.dialogs.list(sort="--name")),
    (r"cannot sort by 'message'", lambda c: c.messages.list(DIALOG_ID, sort="message")),
    (r"cannot sort by 'password'", lambda c: c.users.list(id=1, sort="password")),
    (r"limit must be at most 100", lambda c: c.dialogs.list(limit=101)),
    (r"limit must be at most 100", lambda c: c.dialogs.occupants(DIALOG_ID, limit=101)),
    (r"limit must be at most 1000", lambda c: c.messages.list(DIALOG_ID, limit=1001)),
    (r"page_size must be at most 1000", lambda c: _all(c.messages.iterate(DIALOG_ID, page_size=1001))),
    (r"limit must be at most 100", lambda c: c.messages.search("text", limit=101)),
    (r"limit must be at most 100", lambda c: c.users.list(id=1, limit=101)),
    (r"limit must be at most 100", lambda c: c.users.online(limit=101)),
    (r"per_page must be at most 100", lambda c: c.users.by_tags(["a"], per_page=101)),
    (r"per_page must be at most 100", lambda c: c.users.by_full_name("a", per_page=101)),
    (r"params sets limit a second time", lambda c: c.dialogs.list(params={"limit": 5})),
    (r"params sets sort_desc a second time", lambda c: _all(c.dialogs.iterate(params={"sort_desc": "name"}))),
    (r"params sets type a second time", lambda c: c.dialogs.count(type=2, params={"type": 3})),
    (r"params sets mark_as_read a second", lambda c: c.messages.list(DIALOG_ID, params={"mark_as_read": 0})),
    (r"params sets limit a second time", lambda c: _all(c.messages.iterate(DIALOG_ID, params={"limit": 5}))),
    (r"params sets count a second time", lambda c: c.messages.count(DIALOG_ID, params={"count": 0})),
]


@pytest.mark.parametrize(("reason", "act"), REFUSED)
async def test_nothing_is_silently_ignored_or_replaced(reason: str, act: Act) -> None:
    rest = FakeRest()
    async with with_session(rest.client()) as cube:
        with pytest.raises(ValueError, match=reason):
            await act(cube)
    assert rest.requests == []


async def test_filters_that_exist() -> None:
    rest = FakeRest({"GET /chat/Message": (200, {"skip": 0, "limit": 100, "items": []})})
    async with with_session(rest.client()) as cube:
        await cube.messages.list(
            DIALOG_ID, id__in=[MESSAGE_ID], attachments_type="image", properties={"city__ctn": "Os"}, params={"x": 1}
        )
    assert rest.query()[2:] == [
        ("limit", "100"),
        ("skip", "0"),
        ("sort_asc", "date_sent"),
        ("_id[in][]", MESSAGE_ID),
        ("attachments.type", "image"),
        ("city[ctn]", "Os"),
        ("x", "1"),
    ]


class TestContexts:
    def _client(self, **more: Any) -> Client:
        given: dict[str, Any] = {
            "app_id": 1,
            "auth_key": "k",
            "api_url": "https://api.example.org",
            "chat_host": "chat.example.org",
        }
        return Client(**(given | more))

    async def test_they_are_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Any] = []

        def make(*given: Any) -> ssl.SSLContext:
            made.append(given)
            return tls_context(*given)

        monkeypatch.setattr(endpoint, "tls_context", make)
        monkeypatch.setattr(endpoint, "_contexts", {})
        clients = [self._client() for _ in range(20)]
        assert len(made) == 2  # for the chat and for the REST API, whose application protocols differ
        for client in clients:
            await client.close()

    async def test_a_replaced_file_is_read_anew(self, tmp_path: Path) -> None:
        path, _ = self_signed(tmp_path)
        first = endpoint.shared_context(path)
        assert endpoint.shared_context(str(path)) is first
        path.write_bytes(path.read_bytes() + b"\n")
        assert endpoint.shared_context(path) is not first
        with pytest.raises(ValueError, match=r"no certificates in .*none\.pem"):
            endpoint.shared_context(tmp_path / "none.pem")
        assert endpoint.tls_context(path) is not endpoint.tls_context(path)  # these are the caller's own

    async def test_they_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endpoint, "_contexts", {})
        monkeypatch.setattr(endpoint, "_CONTEXTS", 3)
        for number in range(5):
            endpoint.shared_context(None, [f"p{number}"])
        assert len(endpoint._contexts) == 3
