"""A group from Python: alice and bob plan lunch, change their minds, and look back. The argument is the demo's file."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

from voxcube.client import Client, CustomData


async def come(stack: AsyncExitStack, demo: dict[str, Any], user: dict[str, Any]) -> Client:
    """A client of this user, with a session and in the chat."""
    cube = Client(
        app_id=demo["app_id"],
        auth_key=demo["auth_key"],
        api_url=demo["api_url"],
        chat_host=demo["chat_host"],
        chat_address=demo["chat_address"],
        chat_port=demo["chat_port"],
        ca_file=demo["certificate"],
    )
    await stack.enter_async_context(cube)
    session = await cube.auth.create_session(login=user["login"], password=user["password"])
    await cube.chat.connect(session.user_id, user["password"])
    return cube


async def main(path: str) -> None:
    with open(path) as file:
        demo = json.load(file)
    async with AsyncExitStack() as stack:
        alice, bob = [await come(stack, demo, user) for user in demo["users"][:2]]
        bob.chat.on_message(lambda message: print(f"bob reads: {message.body}"))
        bob.chat.on_edited(lambda event: print(f"bob reads instead: {event.body}"))
        bob.chat.on_deleted(lambda event: print(f"bob no longer sees {event.message_id}"))
        reactions = alice.chat.reactions()

        group = await alice.dialogs.create_group("Lunch", [demo["users"][1]["id"]])
        plan = await alice.chat.send(group, "Lunch at noom?")
        await alice.chat.edit(plan, group, "Lunch at noon?", last=True)
        await bob.messages.react(plan.id, add="👍")
        event = await anext(reactions)
        print(f"alice sees {event.added[0]} from user {event.user_id}")

        slip = await alice.chat.send(group, "I forgot my wallet")
        await alice.chat.delete(slip, group)
        await alice.dialogs.update(group.id, pin=plan.id, custom_data=CustomData("Table", {"seats": 2}))

        found = await bob.messages.search("noon", [group.id])
        print(f"bob finds: {found.messages[0].body}")
        async for message in bob.messages.iterate(group.id):
            print(f"bob's history: {message.body} {message.reactions.total if message.reactions else ''}")
        await bob.dialogs.delete(group.id)
        await alice.dialogs.delete(group.id, force=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
