"""The archive (XEP-0313): pages against a naive model on both databases, and queries byte by byte."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.features.world import World
from tests.support.node import Node, running
from tests.support.xmpp_peer import Peer
from voxcube.server.core.errors import NotFound
from voxcube.server.core.models import DialogType
from voxcube.server.features.dialogs.service import NewDialog
from voxcube.server.storage import archive as archive_store
from voxcube.server.storage import receipts
from voxcube.server.storage.archive import ArchiveStore, Span
from voxcube.xmpp.frames import parse_frame
from voxcube.xmpp.payloads import archive
from voxcube.xmpp.xml import Element

node_loop = pytest.mark.asyncio(loop_scope="module")


async def test_pages_are_those_of_a_naive_model(world: World) -> None:
    chance = random.Random(7)
    ann = await world.user("ann")
    others = [await world.user(f"other {number}") for number in range(5)]
    dialogs = [
        (await world.dialogs.create(world.app.id, ann.id, NewDialog(type=3, occupants=[other.id]))).view.dialog
        for other in others
    ]
    group = (
        await world.dialogs.create(
            world.app.id, ann.id, NewDialog(type=int(DialogType.GROUP), name="G", occupants=[others[0].id])
        )
    ).view.dialog
    line: list[tuple[int, str, int, str]] = []
    for number in range(120):
        place = chance.randrange(6)
        dialog = group if place == 5 else dialogs[place]
        sender = chance.choice([ann, others[0 if place == 5 else place]])
        sent = await world.send(dialog.id, sender, f"text {number}", recipient_id=0 if place == 5 else 1)
        if place != 5:
            line.append((sent.created_at, dialog.id, sent.seq, sent.message_id))
        if chance.random() < 0.5:
            world.clock.advance(chance.choice([0.001, 1, 60]))
    # One deleted for ann, one for everyone, and a dialog cleared up to its middle.
    gone = chance.sample(line, 2)
    await world.writer.run(lambda tx: receipts.hide_for(tx, gone[0][1], ann.id, [gone[0][2]]))
    store = ArchiveStore(world.database)
    line = sorted(item for item in line if item[3] != gone[0][3])

    for _ in range(150):
        inside = chance.choice([None, *dialogs])
        shown = [item for item in line if inside is None or item[1] == inside.id]
        start, end = (chance.choice([None, chance.choice(line)[0]]) for _ in range(2))
        after, before = (chance.choice([None, chance.choice(shown)]) for _ in range(2))
        backwards, limit = chance.random() < 0.5, chance.randint(0, 12)
        expected = [
            item
            for item in shown
            if (start is None or item[0] >= start)
            and (end is None or item[0] <= end)
            and (after is None or item > after)
            and (before is None or item < before)
        ]
        page = (expected[-limit:] if limit else []) if backwards else expected[:limit]
        span = Span(
            start=start,
            end=end,
            after=after and after[3],
            before=before and before[3],
            backwards=backwards,
        )
        found, complete = await store.page(
            app_id=world.app.id, viewer=ann.id, dialog_id=None if inside is None else inside.id, span=span, limit=limit
        )
        assert [message.id for message in found] == [item[3] for item in page]
        assert complete is (len(expected) <= limit)

    for unknown in ("f" * 24, (await world.send(group.id, ann, "elsewhere")).message_id):
        with pytest.raises(NotFound):
            await store.page(app_id=world.app.id, viewer=ann.id, dialog_id=None, span=Span(after=unknown), limit=10)


@pytest.mark.parametrize("backwards", [False, True])
async def test_pages_of_long_messages_are_cut_and_lead_to_all_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch, backwards: bool
) -> None:
    monkeypatch.setattr(archive_store, "PAGE_CHARACTERS", 5_000)
    monkeypatch.setattr(archive_store, "PIECE", 3)
    chance = random.Random(3)
    ann = await world.user("ann")
    others = [await world.user(f"other {number}") for number in range(3)]
    dialogs = [
        (await world.dialogs.create(world.app.id, ann.id, NewDialog(type=3, occupants=[other.id]))).view.dialog
        for other in others
    ]
    sizes: dict[str, int] = {}
    for _ in range(60):
        size = chance.choice([10, 10, 10, 1_500, 8_000])
        sent = await world.send(chance.choice(dialogs).id, ann, "x" * size, recipient_id=1)
        sizes[sent.message_id] = size
        world.clock.advance(1)
    store = ArchiveStore(world.database)
    seen: list[str] = []
    end: str | None = None
    for _ in range(100):
        span = Span(before=end, backwards=True) if backwards else Span(after=end)
        page, complete = await store.page(app_id=world.app.id, viewer=ann.id, dialog_id=None, span=span, limit=50)
        ids = [message.id for message in page]
        in_order = [*reversed(ids)] if backwards else ids
        assert sum(sizes[id_] for id_ in in_order[:-1]) < 5_000  # all but the one that fills it
        seen += in_order
        if complete:
            break
        assert page, "a page holds one message at least"
        end = ids[0] if backwards else ids[-1]
    assert seen == ([*reversed(sizes)] if backwards else [*sizes])


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("", archive.Query()),
        ('<set xmlns="http://jabber.org/protocol/rsm"><max>7</max><before/></set>', archive.Query(before="", max=7)),
        (
            (
                '<x xmlns="jabber:x:data" type="submit"><field var="FORM_TYPE"><value>urn:xmpp:mam:2</value></field>'
                '<field var="start"><value>2026-01-01T00:00:00Z</value></field>'
                '<field var="with"><value>2-1@localhost</value></field></x>'
                '<set xmlns="http://jabber.org/protocol/rsm"><after>abc</after></set>'
            ),
            archive.Query(with_="2-1@localhost", start=1767225600000, after="abc"),
        ),
    ],
)
def test_queries_are_read(inner: str, expected: archive.Query) -> None:
    assert archive.decode_query(element(f'<query xmlns="urn:xmpp:mam:2">{inner}</query>')) == expected


@pytest.mark.parametrize(
    "inner",
    [
        '<set xmlns="http://jabber.org/protocol/rsm"><max>-1</max></set>',
        '<set xmlns="http://jabber.org/protocol/rsm"><max>many</max></set>',
        '<set xmlns="http://jabber.org/protocol/rsm"><index>3</index></set>',
        '<x xmlns="jabber:x:data"><field var="start"><value>yesterday</value></field></x>',
        '<x xmlns="jabber:x:data"><field var="moon"><value>full</value></field></x>',
    ],
)
def test_bad_queries_are_refused(inner: str) -> None:
    with pytest.raises(ValueError, match=r"^(max|pages|times|there is)"):
        archive.decode_query(element(f'<query xmlns="urn:xmpp:mam:2">{inner}</query>'))


def element(text: str) -> Element:
    return parse_frame(text.encode(), max_stanza=10_000)


# -- at the door -------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    async with running(Path(tmp_path_factory.mktemp("archive")) / "node", "ann", "bob", "eve") as node:
        yield node


_numbers = itertools.count(1)


async def ask(peer: Peer, inner: str = "", to: str = "", query: str = ' queryid="q1"') -> tuple[Element, list[Element]]:
    """The answer to a query, and the messages that came before it."""
    id_ = f"a{next(_numbers)}"
    address = f' to="{to}"' if to else ""
    peer.send(f'<iq type="set" id="{id_}"{address}><query xmlns="urn:xmpp:mam:2"{query}>{inner}</query></iq>')
    answer = await peer.wait("iq", id=id_)
    results = [one for one in peer.waiting if one.name == "message" and one.find("result") is not None]
    for one in results:
        peer.waiting.remove(one)
    return answer, results


def stored(node: Node, to: str, kind: str = "chat", body: str = "Hej") -> str:
    saved = "<extraParams><save_to_history>1</save_to_history></extraParams>"
    return f'<message type="{kind}" id="{node.message_id()}" to="{to}"><body>{body}</body>{saved}</message>'


def bodies(results: list[Element]) -> list[str]:
    return [message(one).find("body").text for one in results]  # type: ignore[union-attr]


def message(result: Element) -> Element:
    found: Any = result.find("result")
    inner = found.find("forwarded").find("message")
    assert isinstance(inner, Element)
    return inner


@node_loop
async def test_own_archive(node: Node) -> None:
    ann, bob = node.people["ann"], node.people["bob"]
    alice, bo = await node.login(ann, sm=True), await node.login(bob)
    for number in range(3):
        alice.send(stored(node, bob.jid, body=f"to bob {number}"))
    await alice.ping()
    bo.send(stored(node, ann.jid, body="to ann"))
    await bo.ping()
    answer, results = await ask(bo)
    assert bodies(results) == ["to bob 0", "to bob 1", "to bob 2", "to ann"]
    fin: Any = answer.find("fin")
    page = fin.find("set")
    first = results[0].find("result")
    assert first is not None
    assert (fin.get("complete"), page.find("first").text) == ("true", first.get("id"))
    assert results[0].get("to") == bo.jid
    assert results[0].get("from") == bob.jid
    assert first.get("queryid") == "q1"
    inner = message(results[0])
    assert (inner.get("from"), inner.get("to"), inner.get("type")) == (ann.jid, bob.jid, "chat")
    delay: Any = first.find("forwarded").find("delay")  # type: ignore[union-attr]
    assert delay.get("stamp").endswith("Z")

    rsm = '<set xmlns="http://jabber.org/protocol/rsm"><max>2</max>{}</set>'
    answer, results = await ask(bo, rsm.format("<before/>"))
    assert bodies(results) == ["to bob 2", "to ann"]
    fin = answer.find("fin")
    assert fin.get("complete") is None
    answer, results = await ask(bo, rsm.format(f"<before>{fin.find('set').find('first').text}</before>"))
    assert bodies(results) == ["to bob 0", "to bob 1"]
    assert answer.find("fin").get("complete") == "true"  # type: ignore[union-attr]
    with_ = '<x xmlns="jabber:x:data" type="submit"><field var="with"><value>{}</value></field></x>'
    assert bodies((await ask(bo, with_.format(ann.jid)))[1]) == bodies((await ask(alice, with_.format(bob.jid)))[1])
    assert (await ask(bo, with_.format(node.people["eve"].jid)))[1] == []
    assert (await ask(bo, with_.format("2-999@localhost")))[1] == []
    answer, results = await ask(bo, rsm.format(f"<after>{'0' * 24}</after>"))
    assert answer.get("type") == "error"
    assert answer.find("error").find("item-not-found") is not None  # type: ignore[union-attr]


@node_loop
async def test_others_archives_and_rooms(node: Node) -> None:
    ann, bob, eve = (node.people[name] for name in ("ann", "bob", "eve"))
    dialog = await node.dialog(ann, bob)
    alice, ev = await node.login(ann), await node.login(eve)
    alice.send(stored(node, ann.room(dialog), "groupchat", "in the room"))
    await alice.wait("message", type="groupchat")
    _, results = await ask(alice, to=ann.room(dialog))
    assert bodies(results) == ["in the room"]
    assert message(results[0]).get("from") == f"{ann.room(dialog)}/{ann.id}"
    assert bodies((await ask(alice))[1]).count("in the room") == 0
    for to in (ann.room(dialog), ann.jid):
        answer, results = await ask(ev, to=to)
        assert (answer.get("type"), results) == ("error", [])
        assert answer.find("error").find("forbidden") is not None  # type: ignore[union-attr]
    stranger = await node.login(node.stranger)
    answer, results = await ask(stranger, to=ann.room(dialog))
    assert (answer.get("type"), results) == ("error", [])
    for nowhere in ("@muc.localhost", "lobby@muc.localhost"):
        answer, results = await ask(ev, to=nowhere)
        error = answer.find("error")
        assert error is not None
        assert error.find("item-not-found") is not None


@node_loop
async def test_advertised_on_the_account_not_on_the_host(node: Node) -> None:
    ann = node.people["ann"]
    alice = await node.login(ann)

    async def features(to: str) -> list[str | None]:
        id_ = f"d{next(_numbers)}"
        alice.send(f'<iq type="get" id="{id_}" to="{to}"><query xmlns="http://jabber.org/protocol/disco#info"/></iq>')
        query = (await alice.wait("iq", id=id_)).find("query")
        return [] if query is None else [one.get("var") for one in query.elements() if one.name == "feature"]

    assert "urn:xmpp:mam:2" in await features(ann.jid)
    assert "urn:xmpp:mam:2" not in await features("localhost")
    assert "urn:xmpp:mam:2" not in await features(node.people["bob"].jid)
    alice.send('<iq type="get" id="form"><query xmlns="urn:xmpp:mam:2"/></iq>')
    form: Any = (await alice.wait("iq", id="form")).find("query").find("x")  # type: ignore[union-attr]
    assert [field.get("var") for field in form.elements()] == ["FORM_TYPE", "with", "start", "end"]


@node_loop
async def test_who_reads_the_archive_is_in_it(node: Node) -> None:
    bob = node.people["bob"]
    ann = await node.person()
    plain = '<message type="chat" to="{}" id="m{}"><body>{}</body>{}</message>'
    alice = await node.login(ann)
    alice.send(plain.format(bob.jid, 1, "before", ""))
    alice.send(plain.format(bob.jid, 2, "hinted", '<store xmlns="urn:xmpp:hints"/>'))
    await alice.ping()
    assert bodies((await ask(alice))[1]) == ["hinted"]
    alice.send(plain.format(bob.jid, 3, "after", ""))
    alice.send(plain.format(bob.jid, 4, "secret", '<no-store xmlns="urn:xmpp:hints"/>'))
    alice.send(plain.format(bob.jid, 5, "sdk", "<extraParams><save_to_history>0</save_to_history></extraParams>"))
    await alice.ping()
    assert bodies((await ask(alice))[1]) == ["hinted", "after"]
