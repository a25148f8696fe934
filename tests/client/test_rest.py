"""The REST namespaces against a server in memory."""

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.client.fake_rest import (
    DIALOG,
    DIALOG_ID,
    EXPIRED,
    EXPIRY,
    MESSAGE,
    USER,
    FakeRest,
    session_json,
    with_session,
)
from voxcube.client import (
    ApiError,
    BadRequest,
    Client,
    CubeError,
    Dialog,
    DialogType,
    Forbidden,
    MessageState,
    NotFound,
    RateLimited,
    ServerError,
    Session,
    SessionExpired,
    TransportError,
    Unauthorized,
    ValidationFailed,
)


async def test_session_by_login_becomes_the_current_one() -> None:
    rest = FakeRest(
        {"POST /session": (201, session_json(), EXPIRY), "GET /users/88": (200, {"user": USER | {"id": 88}})}
    )
    async with rest.client() as cube:
        session = await cube.auth.create_session(login="ann", password="s3cret-pass")
        assert session == cube.session
        assert (session.user_id, session.app_id, session.token) == (77, 3, "token-1")
        assert session.user is not None
        assert session.user.user_tags == ("vip", "early")
        assert session.user.created_at == datetime(2026, 1, 1, tzinfo=UTC)
        assert "token-1" not in repr(session)
        assert rest.body() == {
            "application_id": 3,
            "auth_key": "key",
            "user": {"login": "ann", "password": "s3cret-pass"},
        }
        assert (await cube.users.get(88)).id == 88
        assert rest.requests[1].headers["CB-Token"] == "token-1"


async def test_session_by_email_of_the_application_and_by_token() -> None:
    rest = FakeRest(
        {"POST /session": (201, session_json(user=None)), "GET /session": (200, session_json("kept"), EXPIRY)}
    )
    async with rest.client() as cube:
        await cube.auth.create_session(email="ann@example.org", password="s3cret-pass")
        assert rest.body()["user"] == {"email": "ann@example.org", "password": "s3cret-pass"}
        session = await cube.auth.create_session()
        assert "user" not in rest.body()
        assert (session.user_id, session.user) == (0, None)
        await cube.auth.get_session("kept")
        assert rest.requests[-1].headers["CB-Token"] == "kept"
        assert cube.session is not None
        assert cube.session.token == "kept"


async def test_session_request_is_signed_when_there_is_a_secret() -> None:
    rest = FakeRest({"POST /session": (201, session_json())})
    async with rest.client(auth_secret="shh") as cube:
        await cube.auth.create_session(login="ann", password="p&ss=word")
    body = rest.body()
    text = (
        f"application_id=3&auth_key=key&nonce={body['nonce']}&timestamp={body['timestamp']}"
        "&user[login]=ann&user[password]=p&ss=word"
    )
    assert body["signature"] == hmac.new(b"shh", text.encode(), hashlib.sha1).hexdigest()


async def test_login_and_logout_change_the_current_session() -> None:
    rest = FakeRest(
        {
            "POST /session": (201, session_json(user=None)),
            "POST /login": (202, {"user": USER}),
            "DELETE /login": (200, "{}"),
            "DELETE /session": (200, "{}"),
        }
    )
    async with rest.client() as cube:
        await cube.auth.create_session()
        user = await cube.auth.login(login="ann", password="s3cret-pass")
        assert cube.session is not None
        assert (user.login, cube.session.user_id, cube.session.token) == ("ann", 77, "token-1")
        await cube.auth.logout()
        assert (cube.session.user_id, cube.session.user) == (0, None)
        await cube.auth.destroy_session()
        assert cube.session is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"login": "ann"},
        {"password": "x"},
        {"login": "a", "email": "b", "password": "x"},
    ],
)
async def test_half_given_credentials_are_refused(arguments: dict[str, Any]) -> None:
    async with FakeRest().client() as cube:
        with pytest.raises(ValueError, match="give"):
            await cube.auth.create_session(**arguments)
    async with FakeRest().client() as cube:
        with pytest.raises(ValueError, match="give"):
            await cube.auth.login()


async def test_signup_uses_the_auth_key_and_drops_what_is_not_given() -> None:
    rest = FakeRest({"POST /users": (201, {"user": USER})})
    async with rest.client() as cube:
        user = await cube.users.signup(login="ann", password="s3cret-pass", tags=["vip"])
        assert user.timezone == 60
        with pytest.raises(ValueError, match="login or email"):
            await cube.users.signup(password="s3cret-pass")
    assert rest.body() == {"user": {"login": "ann", "password": "s3cret-pass", "tag_list": ["vip"]}}
    assert rest.requests[0].headers["CB-AuthKey"] == "key"


async def test_users_list_is_a_page() -> None:
    answer = {"limit": 2, "skip": 0, "total_entries": 5, "items": [USER, USER | {"id": 88, "new_key": 1}]}
    rest = FakeRest({"GET /users/v2": (200, answer)})
    async with with_session(rest.client()) as cube:
        page = await cube.users.list(id__in=[77, 88], limit=2, sort="-id")
    assert (len(page), page.total, page[1].id, [user.id for user in page]) == (2, 5, 88, [77, 88])
    assert page[1].extra["new_key"] == 1
    assert page[:1] == (page[0],)
    assert rest.query() == [
        ("limit", "2"),
        ("offset", "0"),
        ("sort_desc", "id"),
        ("id[in][]", "77"),
        ("id[in][]", "88"),
    ]


async def test_dialogs_are_created_by_type() -> None:
    rest = FakeRest({"POST /chat/Dialog": (201, DIALOG)})
    async with with_session(rest.client()) as cube:
        private = await cube.dialogs.create_private(88)
        assert rest.body() == {"type": 3, "occupants_ids": [88]}
        await cube.dialogs.create_group("Lunch", [88, 99], extensions={"location": "Oslo"}, description="noon")
        assert rest.body() == {
            "type": 2,
            "name": "Lunch",
            "occupants_ids": [88, 99],
            "extensions": {"location": "Oslo"},
            "description": "noon",
        }
        await cube.dialogs.create_public("Square", permissions={"allow_preview": True})
        assert rest.body() == {"type": 4, "name": "Square", "permissions": {"allow_preview": True}}
    assert private.type is DialogType.PRIVATE
    assert private.opponent_id() == private.chat_target == 88
    assert private.last_message_status is MessageState.DELIVERED
    assert private.last_message_date_sent == datetime(2026, 1, 1, tzinfo=UTC)
    assert private.permissions is not None
    assert private.permissions.allow_preview
    assert private.is_muted is False


def test_a_group_has_a_room_and_no_opponent() -> None:
    group = Dialog.from_json(DIALOG | {"type": 2, "xmpp_room_jid": f"3_{DIALOG_ID}@muc.chat.example.org"})
    assert group.chat_target == f"3_{DIALOG_ID}@muc.chat.example.org"
    with pytest.raises(ValueError, match="private"):
        group.opponent_id(77)
    with pytest.raises(ValueError, match="not in this dialog"):
        Dialog.from_json(DIALOG).opponent_id(5)
    assert Dialog.from_json(DIALOG | {"type": 9}).type == 9


async def test_dialogs_list_filters_and_get() -> None:
    answer = {"total_entries": 1, "skip": 0, "limit": 100, "items": [DIALOG]}
    rest = FakeRest({"GET /chat/Dialog": (200, answer)})
    async with with_session(rest.client()) as cube:
        since = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
        await cube.dialogs.list(updated_at__gt=since, type__in=[2, 3], extensions={"location": "Oslo"}, sort="name")
        assert rest.query() == [
            ("limit", "100"),
            ("skip", "0"),
            ("sort_asc", "name"),
            ("updated_at[gt]", "1767225600"),
            ("type[in][]", "2"),
            ("type[in][]", "3"),
            ("extensions[location]", "Oslo"),
        ]
        assert (await cube.dialogs.get(DIALOG_ID)).name == "Bob Ray"
        assert ("_id", DIALOG_ID) in rest.query()
        with pytest.raises(NotFound):
            await cube.dialogs.get("0" * 24)


async def test_filters_that_cannot_be_meant_are_refused() -> None:
    async with with_session(FakeRest().client()) as cube:
        with pytest.raises(ValueError, match="operator 'over'"):
            await cube.dialogs.list(updated_at__over=5)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="is empty"):
            await cube.users.list(id__in=[])
        with pytest.raises(ValueError, match="is None"):
            await cube.users.list(id=None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="time zone"):
            await cube.dialogs.list(updated_at__gt=datetime(2026, 1, 1))  # noqa: DTZ001
        with pytest.raises(ValueError, match="limit"):
            await cube.dialogs.list(limit=0)
        with pytest.raises(ValueError, match="skip"):
            await cube.messages.list(DIALOG_ID, skip=-1)


async def test_history_has_typed_messages() -> None:
    rest = FakeRest({"GET /chat/Message": (200, {"skip": 0, "limit": 100, "items": [MESSAGE]})})
    async with with_session(rest.client()) as cube:
        page = await cube.messages.list(DIALOG_ID, mark_as_read=False)
    assert rest.query() == [
        ("chat_dialog_id", DIALOG_ID),
        ("mark_as_read", "0"),
        ("limit", "100"),
        ("skip", "0"),
        ("sort_asc", "date_sent"),
    ]
    message = page[0]
    assert (message.body, message.sender_id, message.recipient_id, message.is_own) == ("Lunch?", 77, 88, True)
    assert message.properties == {"city": "Oslo", "meta": {"a": "1"}}
    assert message.extra == {"deleted_for_ids": []}
    assert message.state is MessageState.DELIVERED
    assert message.reactions is not None
    assert message.reactions.total == {"👍": 2}
    attachment = message.attachments[0]
    assert (attachment.width, attachment.data, attachment.extra) == (640, '{"a":1}', {"mood": "good"})
    assert attachment.to_attributes() == MESSAGE["attachments"][0]


async def test_unread_counts() -> None:
    rest = FakeRest({"GET /chat/Message/unread": (200, {"total": 5, DIALOG_ID: 5})})
    async with with_session(rest.client()) as cube:
        counts = await cube.messages.unread([DIALOG_ID])
        assert rest.query() == [("chat_dialog_ids[]", DIALOG_ID)]
        await cube.messages.unread(DIALOG_ID)
        assert rest.query() == [("chat_dialog_ids[]", DIALOG_ID)]
        await cube.messages.unread()
        assert rest.query() == []
    assert (counts.total, counts.by_dialog) == (5, {DIALOG_ID: 5})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"errors": {"base": ["broken"]}}, BadRequest),
        (401, {"errors": {"base": ["Unauthorized"]}}, Unauthorized),
        (401, {"errors": {"base": ["Required session does not exist"]}}, SessionExpired),
        (403, {"errors": {"base": ["Forbidden. Need user."]}}, Forbidden),
        (404, {"errors": {"base": ["Not found"]}}, NotFound),
        (422, {"errors": {"login": ["is too short"]}}, ValidationFailed),
        (503, {"errors": {"base": ["Later"]}}, ServerError),
        (502, "<html>Bad gateway</html>", ServerError),
        (409, {"errors": ["odd"]}, ApiError),
        (302, "", ApiError),
    ],
)
async def test_each_error_has_its_exception(status: int, body: object, kind: type[ApiError]) -> None:
    rest = FakeRest({"GET /users/88": (status, body)})
    async with with_session(rest.client()) as cube:
        with pytest.raises(kind) as caught:
            await cube.users.get(88)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert str(status) in str(caught.value)
    assert isinstance(caught.value, CubeError)


async def test_errors_keep_their_fields() -> None:
    rest = FakeRest({"GET /users/88": (422, {"errors": {"login": ["is too short"], "email": "is taken"}})})
    async with with_session(rest.client()) as cube:
        with pytest.raises(ValidationFailed) as caught:
            await cube.users.get(88)
    assert caught.value.errors == {"login": ["is too short"], "email": ["is taken"]}
    assert str(caught.value) == "422: login is too short; email is taken (GET http://127.0.0.1:1/users/88)"


async def test_rate_limit_says_when_to_come_back() -> None:
    rest = FakeRest({"GET /users/88": (429, {"errors": {"base": ["Slow down"]}}, {"Retry-After": "7"})})
    async with with_session(rest.client()) as cube:
        with pytest.raises(RateLimited) as caught:
            await cube.users.get(88)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("body", ["", "hello", "[]", '{"user":null}', '{"user":{}}', '{"user":{"id":"x"}}'])
async def test_a_reply_of_another_form_is_an_api_error(body: str) -> None:
    rest = FakeRest({"GET /users/88": (200, body)})
    async with with_session(rest.client()) as cube:
        with pytest.raises(ApiError, match="unexpected form"):
            await cube.users.get(88)


async def test_network_trouble_is_a_transport_error() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with with_session(FakeRest().client(http_transport=httpx.MockTransport(refuse))) as cube:
        with pytest.raises(TransportError, match="refused"):
            await cube.users.get(88)


async def test_an_expiry_of_another_form_is_passed_over() -> None:
    odd = {"CB-Token-ExpirationDate": "soon"}
    rest = FakeRest({"GET /users/88": (200, {"user": USER}, odd), "GET /users/89": (429, "wait", {"Retry-After": "x"})})
    async with with_session(rest.client()) as cube:
        await cube.users.get(88)
        assert cube._http.expires_at is None
        with pytest.raises(RateLimited) as caught:
            await cube.users.get(89)
    assert caught.value.retry_after is None


class TestRestoringTheSession:
    async def test_many_requests_share_one_new_session(self) -> None:
        def users(request: httpx.Request) -> tuple[int, object]:
            return (200, {"user": USER}) if request.headers.get("CB-Token") == "token-2" else (EXPIRED[0], EXPIRED[1])

        rest = FakeRest({"GET /users/77": users, "POST /session": (201, session_json("token-2"), EXPIRY)})
        calls = 0

        async def restore() -> Session | None:
            nonlocal calls
            calls += 1
            return await cube.auth.create_session(login="ann", password="s3cret-pass")

        cube = with_session(rest.client(on_session_expired=restore))
        async with cube:
            users_ = await asyncio.gather(*(cube.users.get(77) for _ in range(10)))
        assert (len(users_), calls) == (10, 1)
        assert cube.session is not None
        assert cube.session.token == "token-2"

    async def test_known_expiry_is_not_waited_for(self) -> None:
        rest = FakeRest(
            {"GET /users/77": (200, {"user": USER}), "POST /session": (201, session_json("token-2"), EXPIRY)}
        )

        async def restore() -> Session | None:
            return await cube.auth.create_session(login="ann", password="s3cret-pass")

        cube = with_session(rest.client(on_session_expired=restore))
        cube._http.expires_at = datetime(2026, 1, 1, tzinfo=UTC)
        async with cube:
            await cube.users.get(77)
        assert [request.url.path for request in rest.requests] == ["/session", "/users/77"]
        assert cube._http.expires_at == datetime(2999, 1, 31, 10, 15, tzinfo=UTC)

    async def test_without_a_new_session_the_error_stands(self) -> None:
        rest = FakeRest({"GET /users/77": EXPIRED})

        async def restore() -> Session | None:
            return None

        async with with_session(rest.client(on_session_expired=restore)) as cube:
            with pytest.raises(SessionExpired):
                await cube.users.get(77)
        assert len(rest.requests) == 1

    async def test_the_retry_is_made_once(self) -> None:
        rest = FakeRest({"GET /users/77": EXPIRED, "POST /session": (201, session_json("token-2"))})

        async def restore() -> Session | None:
            return await cube.auth.create_session(login="ann", password="s3cret-pass")

        cube = with_session(rest.client(on_session_expired=restore))
        async with cube:
            with pytest.raises(SessionExpired):
                await cube.users.get(77)
        assert [request.url.path for request in rest.requests] == ["/users/77", "/session", "/users/77"]

    async def test_requests_inside_the_restorer_do_not_wait_for_it(self) -> None:
        rest = FakeRest({"GET /users/77": EXPIRED})

        async def restore() -> Session | None:
            await asyncio.gather(cube.users.get(77))
            return None

        cube = with_session(rest.client(on_session_expired=restore))
        async with cube, asyncio.timeout(5):
            with pytest.raises(SessionExpired):
                await cube.users.get(77)
        assert len(rest.requests) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"api_url": "http://api.example.org"}, "https"),
        ({"api_url": "api.example.org"}, "https"),
        ({"transport": "tcp"}, "unencrypted"),
        ({"transport": "tcp", "chat_address": "192.0.2.7"}, "unencrypted"),
        ({"transport": "quic"}, "transport"),
        ({"ca_file": "no-such-file.pem"}, "no certificates"),
    ],
)
def test_unsafe_or_impossible_settings_are_refused(options: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        FakeRest().client(**options)


async def test_plaintext_is_possible_when_asked_for() -> None:
    plain = Client(
        app_id=3,
        auth_key="key",
        api_url="http://api.example.org",
        chat_host="chat.example.org",
        transport="tcp",
        allow_plaintext=True,
    )
    await plain.close()
