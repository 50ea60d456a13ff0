"""An HTTP/3 client on aioquic: http3.py NAME PATH..."""

import asyncio
import os
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.waiting: dict[int, asyncio.Future] = {}

    def quic_event_received(self, event):
        for happened in self.http.handle_event(event):
            if isinstance(happened, (DataReceived, HeadersReceived)) and happened.stream_ended:
                self.waiting.pop(happened.stream_id).set_result(None)

    async def get(self, name: str, path: str):
        stream = self._quic.get_next_available_stream_id()
        self.waiting[stream] = done = asyncio.get_running_loop().create_future()
        headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", name.encode()), (b":path", f"/{path}".encode())]
        self.http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        await asyncio.wait_for(done, 20)


async def main(name: str, *paths: str):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=name)
    configuration.load_verify_locations(os.environ["CA"])
    async with connect(name, 443, configuration=configuration, create_protocol=Client) as client:
        await asyncio.gather(*(client.get(name, path) for path in paths))


asyncio.run(main(*sys.argv[1:]))
