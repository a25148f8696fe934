"""A story that leaves something in every table, and what each user sees of it over REST and in the chat.

`python -m tests.upgrade.story REVISION` plays it on a server of the source tree named by SERVER_SOURCE (a checkout of
the version whose data is to be kept) and writes `landed/REVISION.*`: the SQLite file, a dump of the PostgreSQL
database, and what the users saw. It is run once for each landed version that has a new schema.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from tests.support.postgres import PostgresServer
from tests.support.server_process import ServerProcess
from voxcube.client import Attachment, Client, CustomData, DialogType, PrivacyAction, PrivacyItem

LANDED = Path(__file__).parent / "landed"
PASSWORD = "correct horse"
LOGINS = ("ann", "bob", "cyd", "dan", "eve")
SETTINGS = ("dialog_custom_fields=city,level", "message_days=30000")
BATCH = 30


async def play(server: ServerProcess) -> dict[str, Any]:
    """Play the story on a running server; return the application's keys and the users' ids by login."""
    app = server.create_app("Landed")
    app_id = app["app_id"]
    server.command("app", "set", str(app_id), *SETTINGS)
    ids = {login: server.create_user(app_id, login, PASSWORD) for login in LOGINS}
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(client(server, app)) for _ in LOGINS]
        ann, bob, cyd, dan, eve = people
        for cube, login in zip(people, LOGINS, strict=True):
            await cube.auth.create_session(login=login, password=PASSWORD)
        for cube, login in zip((ann, bob), LOGINS, strict=False):
            await cube.chat.connect(ids[login], PASSWORD)
        await ann.users.update(full_name="Änn Örtli", email="ann@example.org", phone="+4915123456789", tags=["vip"])
        await _dialogs(ann, bob, cyd, dan, ids)
        await _privacy(ann, bob, cyd, dan, ids)
        await eve.users.delete()
    return {"app": app, "ids": ids}


async def _dialogs(ann: Client, bob: Client, cyd: Client, dan: Client, ids: dict[str, int]) -> None:
    private = await ann.dialogs.create_private(ids["bob"])
    group = await ann.dialogs.create(
        type=DialogType.GROUP,
        name="Group",
        description="of four",
        occupants_ids=[ids["bob"], ids["cyd"], ids["dan"]],
        extensions={"city": "Oslo"},
        custom_data=CustomData("Room", {"seats": 4}),
    )
    public = await dan.dialogs.create_public("Public", permissions={"allow_preview": True})
    await cyd.dialogs.subscribe(public.id)
    sent = [
        await ann.chat.send(to_user=ids["bob"], body=f"Message {n}", properties={"n": str(n)}) for n in range(BATCH)
    ]
    sent.append(await bob.chat.send(to_user=ids["ann"], body="Ärger im Büro 👋"))
    await bob.messages.mark_all(private.id)
    await ann.chat.send(to_user=ids["bob"], body="unread")
    await ann.chat.edit(sent[1], new_body="edited")
    await ann.chat.delete(sent[2])
    await ann.messages.delete(sent[3].id)
    await bob.messages.react(sent[4].id, add="👍")
    in_group = [
        await ann.messages.create(dialog_id=group.id, body=f"Group {n}", send_to_chat=n % 2 == 0) for n in range(BATCH)
    ]
    await cyd.messages.create(
        dialog_id=group.id, body="with a picture", attachments=[Attachment(type="image", uid="9a8b", name="ä.png")]
    )
    await bob.messages.list(group.id, limit=5)
    await dan.messages.mark_all(group.id, read=False, delivered=True)
    await ann.messages.update(group.id, in_group[0].id, body="edited too")
    await cyd.messages.react(in_group[1].id, add="❤️")
    await ann.dialogs.update(group.id, pin=[in_group[2].id], add_admins=[ids["bob"]])
    await cyd.dialogs.set_notifications(group.id, False)
    await asyncio.sleep(1.1)  # older versions listed the dialogs of one second in any order
    await dan.messages.create(dialog_id=public.id, body="Hello, public")
    await dan.dialogs.delete(group.id)
    await cyd.dialogs.clear_history(public.id)
    hidden = await cyd.dialogs.create_private(ids["dan"])
    await cyd.messages.create(recipient_id=ids["dan"], body="hidden soon")
    await cyd.dialogs.delete(hidden.id)
    await ann.chat.send(to_user=ids["cyd"], body="not stored", save_to_history=False)
    ended = await dan.dialogs.create(type=DialogType.GROUP, name="Ended", occupants_ids=[ids["cyd"]])
    await dan.messages.create(dialog_id=ended.id, body="gone")
    await dan.dialogs.delete(ended.id, force=True)


async def _privacy(ann: Client, bob: Client, cyd: Client, dan: Client, ids: dict[str, int]) -> None:
    await bob.chat.privacy.create("quiet", [PrivacyItem(user_id=ids["dan"], action=PrivacyAction.DENY)])
    await bob.chat.privacy.set_default("quiet")
    await ann.chat.contacts.add(ids["bob"], name="Bobby", groups=["Friends"])
    await bob.chat.contacts.accept(ids["ann"])
    await ann.chat.contacts.add(ids["cyd"])


def client(server: ServerProcess, app: dict[str, Any]) -> Client:
    """A client of the server without a session."""
    return Client(
        app_id=app["app_id"],
        auth_key=app["auth_key"],
        api_url=server.api_url,
        chat_host="localhost",
        chat_port=server.addresses["xmpps"][1],
        ca_file=server.certificate,
    )


async def look(server: ServerProcess, told: dict[str, Any]) -> dict[str, Any]:
    """What each user sees: lists of dialogs, messages that are not marked by this, counts, contacts, privacy lists."""
    seen: dict[str, Any] = {}
    app = told["app"]
    for login in LOGINS[:4]:
        user_id = told["ids"][login]
        user = {"login": login, "password": PASSWORD}
        async with httpx.AsyncClient(base_url=server.api_url) as rest:

            async def get(path: str, rest: httpx.AsyncClient = rest, **query: Any) -> Any:
                answer = await rest.get(path, params=query)
                assert answer.status_code == 200, answer.text
                return answer.json()

            body = {"application_id": app["app_id"], "auth_key": app["auth_key"], "user": user}
            rest.headers["CB-Token"] = (await rest.post("/session", json=body)).json()["session"]["token"]
            found: dict[str, Any] = {"dialogs": (await get("/chat/Dialog"))["items"], "messages": {}}
            for dialog in found["dialogs"]:
                id_ = dialog["_id"]
                found["messages"][id_] = (await get("/chat/Message", chat_dialog_id=id_, mark_as_read=0))["items"]
            found["unread"] = await get("/chat/Message/unread")
            found["search"] = (await get("/chat/search", search_text="ärger"))["messages"]
            found["self"] = (await get(f"/users/{user_id}"))["user"]
            del found["self"]["last_request_at"], found["self"]["updated_at"]
        async with client(server, app) as cube:
            await cube.auth.create_session(login=login, password=PASSWORD)
            await cube.chat.connect(user_id, PASSWORD)
            found["contacts"] = sorted(
                [contact.user_id, contact.name, list(contact.groups)] for contact in await cube.chat.contacts.list()
            )
            lists = await cube.chat.privacy.names()
            found["privacy"] = {"names": sorted(lists.all), "default": lists.default}
        seen[login] = found
    return seen


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """Where what is seen now differs from what was seen before; keys that are new are none."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [line for key in before for line in differences(before[key], now.get(key), f"{where}/{key}")]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            line for n, pair in enumerate(zip(before, now, strict=True)) for line in differences(*pair, f"{where}/{n}")
        ]
    return [] if before == now else [f"{where}: {before!r} was seen before, now it is {now!r}"]


def keep(revision: str) -> None:
    """Play the story on both databases and write the files."""
    LANDED.mkdir(exist_ok=True)
    binaries = PostgresServer.find()
    assert binaries is not None, "PostgreSQL is not installed"
    with PostgresServer(binaries) as postgres, tempfile.TemporaryDirectory() as directory:
        url = postgres.create_empty_database()
        for kind, database in (("sqlite", None), ("postgresql", url)):
            with ServerProcess(Path(directory) / kind, database=database, unlimited=True) as server:
                told = asyncio.run(play(server))
                told["seen"] = asyncio.run(look(server, told))
                assert server.stop() == 0
            (LANDED / f"{revision}.{kind}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        content = (Path(directory) / "sqlite" / "voxcube.db").read_bytes()
        (LANDED / f"{revision}.sqlite.xz").write_bytes(lzma.compress(content, preset=9))
        dump = subprocess.run(
            [str(binaries / "pg_dump"), "--inserts", "--no-owner", url], capture_output=True, text=True, check=True
        ).stdout
        # Commands to psql are no SQL.
        lines = [line for line in dump.splitlines() if not line.startswith("\\") and not line.startswith("--")]
        (LANDED / f"{revision}.postgresql.sql").write_text("\n".join(line for line in lines if line) + "\n")


if __name__ == "__main__":
    keep(sys.argv[1])
