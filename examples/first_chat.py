"""A first chat from Python: alice writes to bob, then prints what comes. The argument is the demo's file."""

import asyncio
import json
import sys

from voxcube.client import Client


async def main(path: str) -> None:
    with open(path) as file:
        demo = json.load(file)
    alice, bob, _carol = demo["users"]
    async with Client(
        app_id=demo["app_id"],
        auth_key=demo["auth_key"],
        api_url=demo["api_url"],
        chat_host=demo["chat_host"],
        chat_address=demo["chat_address"],
        chat_port=demo["chat_port"],
        ca_file=demo["certificate"],
    ) as cube:
        session = await cube.auth.create_session(login=alice["login"], password=alice["password"])
        messages = cube.chat.messages()
        await cube.chat.connect(session.user_id, alice["password"])
        await cube.chat.send(to_user=bob["id"], body="Hello from Python")
        print("the server has it; waiting for messages, stop with Ctrl-C", flush=True)
        async for message in messages:
            print(f"user {message.sender_id}: {message.body}", flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except KeyboardInterrupt:
        pass
