"""OPC UA: asyncua.py serve, or asyncua.py HOST browse|read|subscribe TIMES."""

import asyncio
import sys

sys.path.pop(0)  # this file has the name of the package

import asyncua  # noqa: E402


class Ignore:
    def datachange_notification(self, node, value, data):
        print(node, value)


async def serve():
    server = asyncua.Server()
    await server.init()
    server.set_endpoint("opc.tcp://0.0.0.0:4840/lab")
    space = await server.register_namespace("lab")
    plant = await server.nodes.objects.add_object(space, "Plant")
    values = [await plant.add_variable(space, f"Value{i}", i * 1.5) for i in range(10)]
    async with server:
        n = 0.0
        while True:
            await asyncio.sleep(0.2)
            n += 1
            await values[0].write_value(n)


async def talk(host: str, what: str, times: int):
    async with asyncua.Client(f"opc.tcp://{host}:4840/lab") as client:
        space = await client.get_namespace_index("lab")
        plant = await client.nodes.objects.get_child(f"{space}:Plant")
        for _ in range(times):
            if what == "browse":
                for child in await client.nodes.objects.get_children():
                    await child.read_browse_name()
            elif what == "read":
                for child in await plant.get_children():
                    await child.read_value()
            else:
                subscription = await client.create_subscription(100, Ignore())
                await subscription.subscribe_data_change(await plant.get_children())
                await asyncio.sleep(0.5)
                await subscription.delete()


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    asyncio.run(talk(sys.argv[1], sys.argv[2], int(sys.argv[3])))
