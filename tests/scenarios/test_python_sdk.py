"""Stories of people with our own SDK against a server process: what the JavaScript SDK's stories tell, and accounts."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tests.scenarios.support_people import PASSWORD, Meeting, me, next_of
from voxcube.client import (
    CLEAR,
    ApiError,
    Attachment,
    AuthenticationFailed,
    Client,
    ConnectionState,
    DeliveryStatus,
    DialogType,
    Forbidden,
    MessageState,
    NotFound,
    Session,
    SessionExpired,
    StanzaError,
    TypingEvent,
    Unauthorized,
    ValidationFailed,
)

HELLO = "Lunch? 🍕 <b>&amp;</b> ünïcode"
DEEP = {"city": "Oslo 🌧", "meta": {"a": "1", "b": {"c": "x 👍"}}}
NOBODY = 99_999_999


# Sessions


async def test_sessions_of_a_user(meeting: Meeting) -> None:
    cube = await meeting.come(online=False)
    assert cube.session is not None
    assert cube.session.user is not None
    assert cube.session.app_id == meeting.world.app["app_id"]
    assert len(cube.session.token) >= 32
    assert cube.session_expires_at is not None
    assert timedelta(minutes=119) < cube.session_expires_at - datetime.now(UTC) <= timedelta(hours=2)
    login, token = cube.session.user.login, cube.session.token
    async with meeting.world.client() as other:
        assert (await other.auth.get_session(token)).user_id == me(cube)
        await other.auth.create_session()
        assert me(other) == 0
        with pytest.raises(Forbidden):
            await other.dialogs.list()
        assert (await other.auth.login(login=login, password=PASSWORD)).id == me(cube) == me(other)
        await other.dialogs.list()
        await other.auth.logout()
        assert me(other) == 0
        await other.auth.destroy_session()
        with pytest.raises(SessionExpired):
            await other.users.get(1)


async def test_ending_one_and_all_other_sessions(meeting: Meeting) -> None:
    cube = await meeting.come(online=False)
    assert cube.session is not None
    assert cube.session.user is not None
    login = cube.session.user.login
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(meeting.world.client()) for _ in range(3)]
        sessions = [await other.auth.create_session(login=login, password=PASSWORD) for other in others]
        await others[1].chat.connect(me(cube))  # by token: ends with it
        states = others[1].chat.states()
        await cube.auth.destroy_session(sessions[0].id)
        with pytest.raises(SessionExpired):
            await others[0].auth.get_session()
        await others[1].auth.get_session()
        await cube.auth.destroy_other_sessions()
        for other in others[1:]:
            with pytest.raises(SessionExpired):
                await other.auth.get_session()
        assert (await next_of(states)).new is ConnectionState.FORCE_CLOSED
        await cube.auth.get_session()
        with pytest.raises(NotFound):
            await cube.auth.destroy_session(NOBODY)


async def test_a_guest_chats(meeting: Meeting) -> None:
    host = await meeting.come()
    messages = host.chat.messages()
    async with meeting.world.client() as cube:
        session = await cube.auth.create_session(guest=True, full_name="Passer-by 🚶")
        assert session.user is not None
        assert (session.user.is_guest, session.user.full_name) == (True, "Passer-by 🚶")
        await cube.chat.connect(session.user_id)
        sent = await cube.chat.send(to_user=me(host), body="Hello?")
        got = await next_of(messages)
        assert (got.id, got.sender_id) == (sent.id, session.user_id)


async def test_an_external_token_needs_an_identity_provider(meeting: Meeting) -> None:
    async with meeting.world.client() as cube:
        with pytest.raises(ValidationFailed, match="identity provider"):
            await cube.auth.create_session(external_token="from elsewhere")


async def test_a_session_is_restored_when_it_ended(meeting: Meeting) -> None:
    login = meeting.world.login()
    cube: Client

    async def restore() -> Session:
        return await cube.auth.create_session(login=login, password=PASSWORD)

    async with meeting.world.client(on_session_expired=restore) as cube:
        await cube.users.signup(login=login, password=PASSWORD)
        first = await cube.auth.create_session(login=login, password=PASSWORD)
        async with meeting.world.client() as thief:
            await thief.auth.get_session(first.token)
            await thief.auth.destroy_session()
        dialogs = await asyncio.gather(*(cube.dialogs.list() for _ in range(5)))
        assert [len(page) for page in dialogs] == [0] * 5
        assert cube.session is not None
        assert cube.session.token != first.token


async def test_wrong_passwords_and_keys(meeting: Meeting) -> None:
    cube = await meeting.come(online=False)
    assert cube.session is not None
    assert cube.session.user is not None
    async with meeting.world.client() as other:
        with pytest.raises(Unauthorized):
            await other.auth.create_session(login=cube.session.user.login, password="wrong password")
        with pytest.raises(AuthenticationFailed) as refused:
            await other.chat.connect(me(cube), "wrong password")
        assert refused.value.condition == "not-authorized"
        assert other.chat.state is ConnectionState.CLOSED
    async with meeting.world.client(auth_key="wrong key") as other:
        with pytest.raises(ValidationFailed, match="Bad credentials"):
            await other.auth.create_session()
        with pytest.raises(ApiError) as unknown:
            await other.users.signup(login=meeting.world.login(), password=PASSWORD)
        assert unknown.value.status in (401, 422)


# Accounts


async def test_the_own_account(meeting: Meeting) -> None:
    cube, other = await meeting.come(online=False), await meeting.come(online=False)
    user = await cube.users.update(
        full_name="Ann Lee 🌸", phone="+4722334455", tags=["vip", "early bird"], custom_data='{"a": 1}', timezone=-60
    )
    assert (user.id, user.full_name, user.phone) == (me(cube), "Ann Lee 🌸", "+4722334455")
    assert (user.user_tags, user.custom_data, user.timezone) == (("vip", "early bird"), '{"a": 1}', -60)
    assert await other.users.get(user.id) == user
    user = await cube.users.update(phone=CLEAR, tags=[], external_id=f"crm/{user.id} ü")
    assert (user.phone, user.user_tags, user.full_name) == (None, (), "Ann Lee 🌸")
    assert (await other.users.by_external_id(f"crm/{user.id} ü")).id == user.id

    with pytest.raises(ValidationFailed) as wrong:
        await cube.users.update(password="n3w secret", old_password="wrong password")
    assert "old_password" in wrong.value.errors
    await cube.users.update(password="n3w secret", old_password=PASSWORD)
    await cube.auth.create_session(login=user.login, password="n3w secret")
    assert other.session is not None
    assert other.session.user is not None
    with pytest.raises(ValidationFailed) as taken:
        await cube.users.update(login=other.session.user.login)
    assert "login" in taken.value.errors
    with pytest.raises(ValidationFailed) as many:
        await cube.users.update(tags=[f"tag {n}" for n in range(6)], phone="12")
    assert set(many.value.errors) == {"user_tags", "phone"}


async def test_deleting_the_account(meeting: Meeting) -> None:
    cube, other = await meeting.come(), await meeting.come()
    states, gone = cube.chat.states(), me(cube)
    await cube.users.delete()
    assert cube.session is None
    assert (await next_of(states)).new is ConnectionState.FORCE_CLOSED
    with pytest.raises(NotFound):
        await other.users.get(gone)
    with pytest.raises(StanzaError) as refused:
        await other.chat.send(to_user=gone, body="Are you there?")
    assert (refused.value.code, refused.value.condition) == (404, "item-not-found")
    with pytest.raises(AuthenticationFailed):
        await cube.chat.connect(gone, PASSWORD)


async def test_finding_users(meeting: Meeting) -> None:
    cube = await meeting.come(online=False)
    tag = f"tag of {me(cube)}"
    made = [
        await cube.users.signup(
            login=f"Finding {me(cube)} {name}",
            email=f"{name}.{me(cube)}@example.org",
            password=PASSWORD,
            full_name=f"{name} of {me(cube)}",
            phone=f"{4700000000 + me(cube) * 10 + number}",
            facebook_id=f"fb{me(cube)}{number}",
            twitter_id=f"tw{me(cube)}{number}",
            tags=[tag, name],
        )
        for number, name in enumerate(("ada", "bea", "cleo"))
    ]
    ada = made[0]
    ids = [user.id for user in made]
    assert await cube.users.get(ada.id) == ada
    assert await cube.users.by_login(f"finding {me(cube)} ADA") == ada
    assert await cube.users.by_email(f"ADA.{me(cube)}@example.org") == ada
    assert await cube.users.by_phone(f"+{ada.phone}") == ada
    assert await cube.users.by_facebook_id(f"fb{me(cube)}0") == ada
    assert await cube.users.by_twitter_id(f"tw{me(cube)}0") == ada
    for missing in (cube.users.by_login("nobody at all"), cube.users.get(NOBODY), cube.users.by_external_id("none")):
        with pytest.raises(NotFound):
            await missing

    page = await cube.users.by_full_name(f"OF {me(cube)}", page=2, per_page=2)
    assert (len(page), page.skip, page.limit, page.total) == (1, 2, 2, 3)
    assert {user.id for user in await cube.users.by_tags([tag, "no such tag"])} == set(ids)

    page = await cube.users.list(id__in=ids, sort="-id", limit=2)
    assert ([user.id for user in page], page.total) == (ids[:0:-1], 3)
    page = await cube.users.list(id__in=ids, sort="id", limit=2, skip=2)
    assert ([user.id for user in page], page.skip) == (ids[2:], 2)
    page = await cube.users.list(login__start_with=f"finding {me(cube)}")
    assert {user.id for user in page} == set(ids)
    assert {user.id for user in await cube.users.list(user_tags=tag, id__nin=ids[:1])} == set(ids[1:])
    assert {user.id for user in await cube.users.list(user_tags__in=["ada", "bea"], id__in=ids)} == set(ids[:2])
    since = datetime.now(UTC) - timedelta(hours=1)
    assert (await cube.users.list(id__in=ids, created_at__gte=since)).total == 3
    assert (await cube.users.list(id__in=ids, created_at__lt=since)).total == 0
    for refused in (
        cube.users.list(),
        cube.users.list(login__start_with="fin"),
        cube.users.list(user_tags__nin=["ada"]),
    ):
        with pytest.raises(ValidationFailed):
            await refused


async def test_who_is_online(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()

    async def until(wanted: set[int], unwanted: set[int]) -> set[int]:
        """Who is online, once that is known on all nodes."""
        async with asyncio.timeout(30):
            while True:
                online = {user.id for user in await ann.users.online()}
                if wanted <= online and not unwanted & online:
                    return online
                await asyncio.sleep(0.02)

    online = await until({me(ann), me(bob)}, set())
    assert await ann.users.online_count() == len(online)
    assert len(await ann.users.online(limit=1)) == 1
    await bob.chat.disconnect()
    await until({me(ann)}, {me(bob)})


# Chat


async def test_private_chat_both_ways_with_history_and_unread(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    to_ann, to_bob = ann.chat.messages(), bob.chat.messages()
    delivered, read, confirmed = ann.chat.delivered(), ann.chat.read(), ann.chat.sent()
    dialog = await ann.dialogs.create_private(me(bob))
    assert (dialog.type, set(dialog.occupants_ids)) == (DialogType.PRIVATE, {me(ann), me(bob)})

    photo = Attachment("image", uid="9a8b7c", name="a.png", content_type="image/png", size=34567, width=640, height=480)
    place = Attachment("location", data='{"lat": 59.9, "lng": 10.7}', extra={"mood": "good"})
    sent = await ann.chat.send(dialog, HELLO, properties=DEEP, attachments=[photo, place])
    assert (sent.state, (await next_of(confirmed)).id) == (MessageState.SENT, sent.id)
    got = await next_of(to_bob)
    assert (got.id, got.body, got.sender_id, got.recipient_id) == (sent.id, HELLO, me(ann), me(bob))
    assert (got.dialog_id, got.is_group, got.delayed) == (dialog.id, False, False)
    assert (got.properties, got.attachments) == (DEEP, (photo, place))
    assert await next_of(delivered) == DeliveryStatus(me(bob), sent.id, dialog.id)

    assert (await bob.messages.unread([dialog.id])).by_dialog == {dialog.id: 1}
    await bob.chat.mark_read(got)
    assert await next_of(read) == DeliveryStatus(me(bob), sent.id, dialog.id)
    assert (await bob.messages.unread([dialog.id])).total == 0
    back = await bob.chat.send(to_user=me(ann), body="Yes! 🎉")
    assert (await next_of(to_ann)).id == back.id

    first, second = await ann.messages.list(dialog.id)
    assert (first.id, first.body, first.properties, first.attachments) == (sent.id, HELLO, DEEP, (photo, place))
    assert (first.state, set(first.read_ids)) == (MessageState.READ, {me(ann), me(bob)})
    assert (second.id, second.body, second.sender_id) == (back.id, "Yes! 🎉", me(bob))
    shown = await ann.dialogs.get(dialog.id)
    assert (shown.last_message, shown.last_message_id, shown.last_message_user_id) == ("Yes! 🎉", back.id, me(bob))

    await ann.chat.send(to_user=me(bob), body="not kept", save_to_history=False)
    assert (await next_of(to_bob)).body == "not kept"
    assert len(await ann.messages.list(dialog.id)) == 2


async def test_group_chat(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come() for _ in range(3)]
    group = await ann.dialogs.create_group("Lunch 🍕", [me(bob), me(cyd)], description="Daily at noon")
    assert (group.type, set(group.occupants_ids)) == (DialogType.GROUP, {me(ann), me(bob), me(cyd)})
    streams = [cube.chat.messages(group.id, include_own=True) for cube in (ann, bob, cyd)]
    read = ann.chat.read()
    sent = await ann.chat.send(group, HELLO, properties=DEEP)
    for stream in streams:
        got = await next_of(stream)
        assert (got.id, got.body, got.sender_id, got.is_group) == (sent.id, HELLO, me(ann), True)
        assert (got.dialog_id, got.properties, got.is_own) == (group.id, DEEP, stream is streams[0])
    await bob.chat.mark_read(got)
    assert await next_of(read) == DeliveryStatus(me(bob), sent.id, group.id)
    await asyncio.gather(*(cyd.chat.send(dialog_id=group.id, body=f"burst {n}") for n in range(50)))
    for stream in streams:
        assert [(await next_of(stream)).body for _ in range(50)] == [f"burst {n}" for n in range(50)]
    assert (await bob.messages.unread([group.id])).total == 50
    newest = await bob.messages.list(group.id, limit=1, sort="-date_sent")
    assert newest[0].sender_id == me(cyd)
    assert len(await bob.messages.list(group.id, limit=100)) == 51
    assert (await bob.messages.unread([group.id])).total == 0  # listing marks as read


async def test_strangers_and_what_is_not_there(meeting: Meeting) -> None:
    ann, bob, cyd = [await meeting.come() for _ in range(3)]
    group = await ann.dialogs.create_group("Two of us", [me(bob)])
    to_bob, errors = bob.chat.messages(), cyd.chat.errors()
    with pytest.raises(StanzaError) as refused:
        await cyd.chat.send(dialog_id=group.id, body="let me in")
    assert (refused.value.code, refused.value.condition) == (403, "forbidden")
    assert (await next_of(errors)).stanza_id == refused.value.stanza_id
    with pytest.raises(StanzaError) as nowhere:
        await cyd.chat.send(dialog_id="0" * 24, body="echo?")
    assert nowhere.value.code == 404
    with pytest.raises(StanzaError) as nobody:
        await cyd.chat.send(to_user=NOBODY, body="hello?")
    assert nobody.value.code == 404
    with pytest.raises((Forbidden, NotFound)):
        await cyd.messages.list(group.id)
    with pytest.raises(NotFound):
        await cyd.messages.list("0" * 24)
    with pytest.raises(NotFound):
        await cyd.dialogs.get(group.id)
    with pytest.raises(ValidationFailed):
        await cyd.dialogs.create_private(NOBODY)
    await ann.chat.send(group, "only we read this")
    assert (await next_of(to_bob)).body == "only we read this"


async def test_typing(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    group = await ann.dialogs.create_group("Typing", [me(bob)])
    seen = bob.chat.typing_events()
    await ann.chat.typing(to_user=me(bob))
    await ann.chat.stop_typing(to_user=me(bob))
    async with ann.chat.typing_in(group):
        pass
    expected = [(None, True), (None, False), (group.id, True), (group.id, False)]
    assert [await next_of(seen) for _ in expected] == [TypingEvent(me(ann), *what) for what in expected]


async def test_messages_wait_for_somebody_who_is_offline(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come(online=False)
    sent = [await ann.chat.send(to_user=me(bob), body=f"while you were away {n}") for n in range(3)]
    to_bob, delivered = bob.chat.messages(), ann.chat.delivered()
    await bob.chat.connect(me(bob))
    for message in sent:
        got = await next_of(to_bob)
        assert (got.id, got.body, bool(got.delayed)) == (message.id, message.body, True)
    assert {(await next_of(delivered)).message_id for _ in sent} == {message.id for message in sent}
    await bob.chat.disconnect()
    await bob.chat.connect(me(bob))
    await ann.chat.send(to_user=me(bob), body="now")
    assert (await next_of(to_bob)).body == "now"  # nothing comes twice


async def test_the_other_device_sees_what_this_one_sends(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    async with meeting.world.client() as phone:
        await phone.chat.connect(me(ann), PASSWORD, "phone")
        copies, to_both = phone.chat.messages(include_own=True), ann.chat.messages()
        sent = await ann.chat.send(to_user=me(bob), body=HELLO)
        copy = await next_of(copies)
        assert (copy.id, copy.body, copy.is_own, copy.is_carbon) == (sent.id, HELLO, True, True)
        back = await bob.chat.send(to_user=me(ann), body="Yes")
        assert (await next_of(copies)).id == (await next_of(to_both)).id == back.id


async def test_the_same_id_again_is_stored_and_shown_once(meeting: Meeting) -> None:
    ann, bob = await meeting.come(), await meeting.come()
    to_bob = bob.chat.messages()
    dialog = await ann.dialogs.create_private(me(bob))
    sent = await ann.chat.send(dialog, "once")
    assert (await ann.chat.send(dialog, "once", id=sent.id)).id == sent.id
    await ann.chat.send(dialog, "twice")
    assert [(await next_of(to_bob)).body for _ in range(2)] == ["once", "twice"]
    assert [message.body for message in await ann.messages.list(dialog.id)] == ["once", "twice"]
