"""CoAP with aiocoap: coap.py serve, or coap.py GET|PUT PATH SIZE, to $SERVER."""

import asyncio
import os
import sys

import aiocoap
import aiocoap.resource


class Meter(aiocoap.resource.ObservableResource):
    def __init__(self):
        super().__init__()
        self.content = b"21.5 degrees"

    async def render_get(self, request):
        return aiocoap.Message(payload=self.content)

    async def render_put(self, request):
        self.content = request.payload
        self.updated_state()
        return aiocoap.Message(code=aiocoap.CHANGED)


async def serve():
    site = aiocoap.resource.Site()
    site.add_resource([".well-known", "core"], aiocoap.resource.WKCResource(site.get_resources_as_linkheader))
    for name in ("kitchen", "attic"):
        site.add_resource([name, "temperature"], Meter())
    await aiocoap.Context.create_server_context(site, bind=("::", 5683))
    await asyncio.Future()


async def talk(what: str, path: str, size: int):
    context = await aiocoap.Context.create_client_context()
    uri = f"coap://{os.environ['SERVER']}/{path}"
    if what == "PUT":
        print(await context.request(aiocoap.Message(code=aiocoap.PUT, uri=uri, payload=os.urandom(size))).response)
    print(await context.request(aiocoap.Message(code=aiocoap.GET, uri=uri)).response)
    await context.shutdown()


asyncio.run(serve() if sys.argv[1] == "serve" else talk(sys.argv[1], sys.argv[2], int(sys.argv[3])))
