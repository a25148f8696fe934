"""Privacy lists through the XMPP door: requests and answers byte for byte, and whom a list keeps out (realtime §15)."""

import itertools

import pytest
from sqlalchemy import bindparam, select

from tests.support.node import Node, Person
from tests.support.xmpp_peer import Peer
from voxcube.server.storage.schema import privacy_defaults, privacy_lists
from voxcube.server.storage.sql import Query
from voxcube.xmpp.xml import Element, to_xml

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUERY = '<query xmlns="jabber:iq:privacy">'
KINDS = "<message/><presence-in/><presence-out/><iq/>"
_numbers = itertools.count(1)
_KEPT = [
    Query(select(table.c.name).where(table.c.user_id == bindparam("user")), "user")
    for table in (privacy_lists, privacy_defaults)
]


def item(value: str, order: int, *, action: str = "deny", mutual: bool = False) -> str:
    """One item as the JavaScript SDK writes it."""
    head = f'<item type="jid" value="{value}" action="{action}" order="{order}"'
    return f"{head}/>" if mutual else f"{head}>{KINDS}</item>"


def pair(person: Person, order: int, *, action: str = "deny", mutual: bool = False) -> str:
    """The two items of a person: in private, and in groups."""
    nick = f"muc.localhost/{person.id}"
    return item(person.jid, order, action=action, mutual=mutual) + item(nick, order + 1, action=action, mutual=mutual)


async def ask(peer: Peer, kind: str, inner: str = "") -> Element:
    """A request about lists; returns the whole answer."""
    id_ = f"p{next(_numbers)}"
    query = f"{QUERY}{inner}</query>" if inner else f"{QUERY[:-1]}/>"
    peer.send(f'<iq type="{kind}" id="{id_}" xmlns="jabber:client">{query}</iq>')
    return await peer.wait("iq", id=id_)


async def done(peer: Peer, inner: str) -> None:
    """A change that must succeed: the answer is an empty result."""
    answer = await ask(peer, "set", inner)
    assert answer.get("type") == "result", to_xml(answer)
    assert not answer.children


async def read(peer: Peer, inner: str = "") -> str:
    """The query of an answer, as text."""
    answer = await ask(peer, "get", inner)
    assert answer.get("type") == "result", to_xml(answer)
    (query,) = answer.elements()
    return to_xml(query)


async def refused(peer: Peer, kind: str, inner: str, code: str) -> None:
    answer = await ask(peer, kind, inner)
    error = answer.find("error")
    assert error is not None
    assert error.get("code") == code


async def block(peer: Peer, *items: str) -> None:
    """Makes these items the default list."""
    await done(peer, f'<list name="bl">{"".join(items)}</list>')
    await done(peer, '<default name="bl"/>')


def message(node: Node, to: str, body: str = "hello", *, kind: str = "chat", save: bool = True) -> str:
    extra = '<extraParams xmlns="jabber:client"><save_to_history>1</save_to_history></extraParams>' if save else ""
    return f'<message type="{kind}" id="{node.message_id()}" to="{to}"><body>{body}</body>{extra}</message>'


async def unavailable(peer: Peer) -> None:
    """The refusal of a message: 503, and nothing that tells why."""
    error = (await peer.wait("message", type="error")).find("error")
    assert error is not None
    assert to_xml(error) == (
        '<error code="503" type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>'
        '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas" xml:lang="en">Service not available.</text></error>'
    )


async def test_lists_come_back_as_they_were_written(stage: Node) -> None:
    ann, bob, cyd = await stage.person(), stage.people["bob"], stage.people["cyd"]
    peer = await stage.login(ann)
    assert await read(peer) == '<query xmlns="jabber:iq:privacy"/>'
    # As Flutter writes: children in another order, all users before all rooms.
    flutter = "".join(
        f'<item type="jid" value="{value}" action="deny" order="{order}">'
        "<iq/><message/><presence-out/><presence-in/></item>"
        for order, value in enumerate((bob.jid, cyd.jid, f"muc.localhost/{bob.id}", f"muc.localhost/{cyd.id}"), start=1)
    )
    others = '<item action="allow" order="9"/><item type="subscription" value="none" action="deny" order="7"/>'
    script = pair(bob, 1) + pair(cyd, 3, mutual=True)
    for name, items in (("flutter", flutter), ("js", script), ("odd", others)):
        await done(peer, f'<list name="{name}">{items}</list>')
        listed = await read(peer, f'<list name="{name}"/>')
        assert listed == f'{QUERY}<list name="{name}">{items}</list></query>'
    names = '<list name="flutter"/><list name="js"/><list name="odd"/>'
    assert await read(peer) == f"{QUERY}{names}</query>"
    await done(peer, '<default name="js"/>')
    await done(peer, '<active name="odd"/>')
    assert await read(peer) == f'{QUERY}<active name="odd"/><default name="js"/>{names}</query>'
    other = await stage.login(ann)
    assert await read(other) == f'{QUERY}<default name="js"/>{names}</query>'  # active is a session's own
    await done(peer, "<active/>")
    await done(peer, "<default/>")
    assert await read(peer) == f"{QUERY}{names}</query>"
    # Removing or emptying the default list, in use or not, leaves none.
    for removal in ('<list name="js"/>', '<list name="flutter"></list>'):
        await done(other, f'<default name="{"js" if "js" in removal else "flutter"}"/>')
        await done(peer, removal)
        assert "<default" not in await read(peer)
    assert await read(peer) == f'{QUERY}<list name="odd"/></query>'
    await other.ping()
    assert other.take_all("iq") == []  # nothing is pushed


async def test_what_is_refused(stage: Node) -> None:
    peer = await stage.login(await stage.person())
    good = item("1-1@localhost", 1)
    for kind, inner, code in (
        ("get", '<list name="none"/>', "404"),
        ("set", '<list name="none"/>', "404"),
        ("set", '<default name="none"/>', "404"),
        ("set", '<active name="none"/>', "404"),
        ("get", '<list name="a"/><list name="b"/>', "400"),
        ("get", "<default/>", "400"),
        ("set", "", "400"),
        ("set", "<strange/>", "400"),
        ("set", f'<list name="a">{good}</list><default name="a"/>', "400"),
        ("set", f"<list>{good}</list>", "400"),
        ("set", f'<list name="">{good}</list>', "400"),
        ("set", f'<list name="{"n" * 129}">{good}</list>', "400"),
        ("set", '<list name="a"><item action="deny"/></list>', "400"),
        ("set", '<list name="a"><item action="deny" order="x"/></list>', "400"),
        ("set", '<list name="a"><item action="deny" order="-1"/></list>', "400"),
        ("set", '<list name="a"><item action="deny" order="4294967296"/></list>', "400"),
        ("set", '<list name="a"><item action="maybe" order="1"/></list>', "400"),
        ("set", '<list name="a"><item order="1"/></list>', "400"),
        ("set", f'<list name="a">{good}{good}</list>', "400"),
        ("set", '<list name="a"><item type="jid" action="deny" order="1"/></list>', "400"),
        ("set", '<list name="a"><item value="1-1@localhost" action="deny" order="1"/></list>', "400"),
        ("set", '<list name="a"><item type="jid" value="@" action="deny" order="1"/></list>', "400"),
        ("set", '<list name="a"><item type="odd" value="x" action="deny" order="1"/></list>', "400"),
        ("set", '<list name="a"><item type="subscription" value="x" action="deny" order="1"/></list>', "400"),
        ("set", '<list name="a"><item type="group" value="Friends" action="deny" order="1"/></list>', "404"),
        ("set", '<list name="a"><item action="deny" order="1"><strange/></item></list>', "400"),
        ("set", '<list name="a"><strange/></list>', "400"),
    ):
        await refused(peer, kind, inner, code)
    assert await read(peer) == '<query xmlns="jabber:iq:privacy"/>'
    await done(peer, f'<list name="{"n" * 128}">{good}</list>')


async def test_how_much_a_user_may_keep(stage: Node) -> None:
    peer = await stage.login(await stage.person())
    many = "".join(f'<item type="jid" value="{n}-1@localhost" action="deny" order="{n}"/>' for n in range(2001))
    await refused(peer, "set", f'<list name="a">{many}</list>', "406")
    few = "".join(f'<item type="jid" value="{n}-1@localhost" action="deny" order="{n}"/>' for n in range(2000))
    await done(peer, f'<list name="list0">{few}</list>')
    for number in range(1, 50):
        await done(peer, f'<list name="list{number}">{item("1-1@localhost", 1)}</list>')
    await refused(peer, "set", f'<list name="more">{item("1-1@localhost", 1)}</list>', "406")
    await done(peer, f'<list name="list7">{item("2-1@localhost", 1)}</list>')  # a change is no further one


@pytest.mark.parametrize("save", [True, False])
async def test_a_blocked_sender_gets_an_error_and_nothing_is_stored(stage: Node, save: bool) -> None:
    ann, bob, cyd = await stage.person(), await stage.person(), stage.people["cyd"]
    mine, theirs, third = await stage.login(ann), await stage.login(bob), await stage.login(cyd)
    theirs.send(message(stage, ann.jid, "before"))
    await mine.wait("message", from_=theirs.jid)
    await block(mine, pair(bob, 1))
    theirs.send(message(stage, ann.jid, "after", save=save))
    await unavailable(theirs)
    third.send(message(stage, ann.jid, "others may"))
    await mine.wait("message", from_=third.jid)
    mine.send(message(stage, bob.jid, "one-way: I may"))
    await theirs.wait("message", from_=mine.jid)
    dialog = await stage.dialog(ann, bob, kind=3)
    assert [found["message"] for found in await stage.history(bob, dialog)] == ["before", "one-way: I may"]
    await mine.close()  # nor is it kept for later
    theirs.send(message(stage, ann.jid, "nobody there", save=save))
    await unavailable(theirs)
    mine = await stage.login(ann)
    await mine.ping()
    assert mine.take_all("message") == []
    await done(mine, "<default/>")
    theirs.send(message(stage, ann.jid, "again"))
    await mine.wait("message", from_=theirs.jid)


async def test_a_mutual_block_stops_both(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine, theirs = await stage.login(ann), await stage.login(bob)
    await block(mine, pair(bob, 1, mutual=True))
    for sender, other in ((mine, bob), (theirs, ann)):
        sender.send(message(stage, other.jid))
        await unavailable(sender)
        sender.send(
            f'<message type="chat" to="{other.jid}"><composing xmlns="http://jabber.org/protocol/chatstates"/></message>'
        )
        marker = f'<displayed xmlns="urn:xmpp:chat-markers:0" id="{stage.message_id()}"/>'
        sender.send(f'<message type="chat" to="{other.jid}" id="x">{marker}</message>')
        await sender.ping()
    for peer in (mine, theirs):
        await peer.ping()
        assert peer.take_all("message") == []
    mine.send(message(stage, ann.jid, "note to self"))
    await mine.ping()
    assert mine.take_all("message") == []


async def test_typing_and_markers_of_a_blocked_user_are_dropped_in_silence(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine, theirs = await stage.login(ann), await stage.login(bob)
    mine.send(message(stage, bob.jid))
    got = await theirs.wait("message", from_=mine.jid)
    await block(mine, pair(bob, 1))
    composing = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'
    theirs.send(f'<message type="chat" to="{ann.jid}">{composing}</message>')
    marker = f'<displayed xmlns="urn:xmpp:chat-markers:0" id="{got.get("id")}"/>'
    theirs.send(f'<message type="chat" to="{ann.jid}" id="m">{marker}</message>')
    await theirs.ping()
    await mine.ping()
    assert mine.take_all("message") == theirs.take_all("message") == []
    mine.send(f'<message type="chat" to="{bob.jid}">{composing}</message>')
    await theirs.wait("message", from_=mine.jid)  # one-way


async def test_groups_go_on_without_the_two(stage: Node) -> None:
    """Blocked: ann is not shown what bob says. Mutual: nor is bob what ann says. Everybody else is, and history is."""
    ann, bob, cyd = await stage.person(), await stage.person(), await stage.person()
    group = await stage.dialog(ann, bob, cyd)
    peers = [await stage.login(person) for person in (ann, bob, cyd)]
    mine, theirs, third = peers
    typing = '<composing xmlns="http://jabber.org/protocol/chatstates"/>'

    async def say(sender: Peer, body: str, *readers: Peer) -> None:
        sender.send(message(stage, ann.room(group), body, kind="groupchat"))
        sender.send(f'<message type="groupchat" to="{ann.room(group)}" id="t">{typing}</message>')
        await sender.wait("message", lambda found: found.find("body") is not None)  # its echo
        for peer in peers:
            await peer.ping()
            got = peer.take_all("message")
            assert len(got) == (2 if peer in readers else 0), (body, [to_xml(stanza) for stanza in got])

    await say(theirs, "open", mine, third)
    await block(mine, pair(bob, 1))
    await say(theirs, "blocked", third)
    await say(mine, "one-way", theirs, third)
    await block(mine, pair(bob, 1, mutual=True))
    await say(theirs, "blocked again", third)
    await say(mine, "mutual", third)
    await done(mine, "<default/>")
    await say(theirs, "open again", mine, third)
    await say(mine, "open too", theirs, third)
    bodies = ["open", "blocked", "one-way", "blocked again", "mutual", "open again", "open too"]
    for person in (ann, bob):
        assert [found["message"] for found in await stage.history(person, group)] == bodies
    async with await stage.rest_login(ann) as client:
        unread = (await client.get("/chat/Message/unread", params={"chat_dialog_ids": group})).json()
    assert unread[group] == 4  # what was not shown counts


async def test_the_active_list_is_the_sessions_own(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    phone, desk, theirs = await stage.login(ann), await stage.login(ann), await stage.login(bob)
    await done(phone, f'<list name="busy">{pair(bob, 1, mutual=True)}</list>')
    await done(phone, '<active name="busy"/>')
    theirs.send(message(stage, ann.jid, "to the account"))
    await desk.wait("message", from_=theirs.jid)
    await phone.ping()
    assert phone.take_all("message") == []
    phone.send(message(stage, bob.jid))
    await unavailable(phone)
    desk.send(message(stage, bob.jid, "the other session may"))
    await theirs.wait("message", from_=desk.jid)
    # Changed while it is in use, it applies at once; removed, it is over.
    await done(desk, f'<list name="busy">{item(bob.jid, 1, action="allow")}</list>')
    theirs.send(message(stage, ann.jid, "two"))
    await phone.wait("message", from_=theirs.jid)
    await done(desk, f'<list name="busy">{pair(bob, 1)}</list>')
    theirs.send(message(stage, ann.jid, "three"))
    await desk.wait("message", lambda found: "three" in to_xml(found))
    await done(desk, '<list name="busy"/>')
    theirs.send(message(stage, ann.jid, "four"))
    await phone.wait("message", lambda found: "four" in to_xml(found))
    assert await read(phone) == '<query xmlns="jabber:iq:privacy"/>'
    # An active list may also allow to a session what the default one keeps from the others.
    group = await stage.dialog(ann, bob)
    await done(desk, f'<list name="deny">{pair(bob, 1)}</list>')
    await done(desk, '<default name="deny"/>')
    await done(desk, f'<list name="allow">{pair(bob, 1, action="allow")}</list>')
    await done(desk, '<active name="allow"/>')
    theirs.send(message(stage, ann.room(group), "group", kind="groupchat"))
    await desk.wait("message", type="groupchat")
    await phone.ping()
    assert phone.take_all("message") == []


async def test_what_came_before_a_block_is_not_shown_after_it(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine, theirs = await stage.login(ann), await stage.login(bob)
    await done(mine, f'<list name="bl">{pair(bob, 1)}</list>')
    await mine.close()
    for save in (True, False):
        theirs.send(message(stage, ann.jid, "while she is away", save=save))
    await theirs.ping()
    quiet = await stage.login(ann, presence=False)
    await done(quiet, '<default name="bl"/>')
    mine = await stage.login(ann)
    await mine.ping()
    assert mine.take_all("message") == []
    await done(mine, "<default/>")
    theirs.send(message(stage, ann.jid, "now"))
    await mine.wait("message", lambda found: "now" in to_xml(found))
    await mine.close()
    mine = await stage.login(ann)  # nor is it brought later
    await mine.ping()
    assert not any("away" in to_xml(found) for found in mine.take_all("message"))


async def test_rest_refuses_as_the_chat_does(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine = await stage.login(ann)
    await block(mine, pair(bob, 1))
    dialog = await stage.dialog(bob, ann, kind=3)
    async with await stage.rest_login(bob) as client:
        answer = await client.post("/chat/Message", json={"chat_dialog_id": dialog, "message": "x", "send_to_chat": 1})
    assert answer.status_code == 403, answer.text
    assert answer.json() == {"errors": {"base": ["Service not available."]}}
    assert await stage.history(bob, dialog) == []


async def test_what_was_said_before_a_block_cannot_be_changed_after_it(stage: Node) -> None:
    """Else an edit by REST would bring any text into the history of who has blocked its author."""
    ann, bob = await stage.person(), await stage.person()
    mine, his = await stage.login(ann), await stage.login(bob)
    dialog = await stage.dialog(bob, ann, kind=3)
    his.send(message(stage, ann.jid, "before"))
    await mine.wait("message")
    [stored] = await stage.history(bob, dialog)
    await block(mine, pair(bob, 1))
    async with await stage.rest_login(bob) as client:
        path = f"/chat/Message/{stored['_id']}"
        edited = await client.put(path, json={"chat_dialog_id": dialog, "message": "after"})
        assert (edited.status_code, edited.json()) == (403, {"errors": {"base": ["Service not available."]}})
        await client.delete(path, params={"force": 1})
        assert [found["message"] for found in await stage.history(ann, dialog)] == ["before"]
        assert (await client.put(path, json={"chat_dialog_id": dialog, "read": 1})).status_code == 200
        await done(mine, "<default/>")
        assert (await client.put(path, json={"chat_dialog_id": dialog, "message": "after"})).status_code == 200
        assert [found["message"] for found in await stage.history(ann, dialog)] == ["after"]


async def test_another_application_has_its_own_lists(stage: Node) -> None:
    """A stranger with the same id in the other application is nobody here, whatever its lists say."""
    ann = await stage.person()
    mine, stranger = await stage.login(ann), await stage.login(stage.stranger)
    await done(stranger, f'<list name="bl">{pair(ann, 1)}</list>')
    await done(stranger, '<default name="bl"/>')
    assert await read(mine) == '<query xmlns="jabber:iq:privacy"/>'
    await refused(mine, "get", '<list name="bl"/>', "404")
    await refused(mine, "set", '<default name="bl"/>', "404")


async def test_the_lists_go_with_the_account(stage: Node) -> None:
    ann, bob = await stage.person(), await stage.person()
    mine, theirs = await stage.login(ann), await stage.login(bob)
    await block(mine, pair(bob, 1))
    async with await stage.rest_login(ann) as client:
        assert (await client.delete(f"/users/{ann.id}")).status_code == 200
    theirs.send(message(stage, ann.jid))
    error = (await theirs.wait("message", type="error")).find("error")
    assert error is not None
    assert error.get("code") == "404"
    for kept in _KEPT:
        assert await stage.app.database.fetch(kept, ann.id) == []
