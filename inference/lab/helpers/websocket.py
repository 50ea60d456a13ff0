"""A WebSocket echo: websocket.py serve, at 80 and, with TLS, at 443; or websocket.py URL MESSAGES SIZE."""

import asyncio
import os
import ssl
import sys

import websockets


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def serve():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
    async with websockets.serve(echo, None, 80), websockets.serve(echo, None, 443, ssl=context):
        await asyncio.Future()


async def talk(url: str, messages: int, size: int):
    context = ssl.create_default_context(cafile=os.environ["CA"]) if url.startswith("wss") else None
    async with websockets.connect(url, ssl=context) as connection:
        for i in range(messages):
            await connection.send(f"{i} " + "x" * size if i % 3 else bytes(size))
            await connection.recv()


asyncio.run(serve() if sys.argv[1] == "serve" else talk(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
