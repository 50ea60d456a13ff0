"""BACnet: bacpypes3.py serve, or bacpypes3.py whois|read|write TIMES, with the devices of $SERVER and $CLIENT."""

import asyncio
import os
import sys

sys.path.pop(0)  # this file has the name of the package

from bacpypes3.app import Application  # noqa: E402
from bacpypes3.local.analog import AnalogValueObject  # noqa: E402
from bacpypes3.local.device import DeviceObject  # noqa: E402
from bacpypes3.local.networkport import NetworkPortObject  # noqa: E402
from bacpypes3.pdu import Address  # noqa: E402
from bacpypes3.primitivedata import ObjectIdentifier, Real  # noqa: E402


def application(address: str, number: int, port: int = 47808) -> Application:
    return Application.from_object_list(
        [
            DeviceObject(objectIdentifier=("device", number), objectName=f"Device {number}", vendorIdentifier=999),
            NetworkPortObject(f"{address}/24:{port}", objectIdentifier=("network-port", 1), objectName="Port"),
            *[AnalogValueObject(objectIdentifier=("analog-value", i), objectName=f"Value {i}", presentValue=20.5 + i) for i in range(1, 15)],
        ]
    )


async def main(what: str, times: int):
    if what == "serve":
        app = application(os.environ["SERVER"], 1001)
        await asyncio.Future()
    app = application(os.environ["CLIENT"], 2002, 47810 + os.getpid() % 1000)
    server = Address(os.environ["SERVER"])
    await asyncio.sleep(0.2)
    if what == "whois":
        print(await app.who_is(address=server, timeout=1))
    for i in range(1, times + 1):
        value = ObjectIdentifier(("analog-value", i))
        if what == "write":
            await app.write_property(server, value, "present-value", Real(i * 2.5))
        print(await app.read_property(server, value, "present-value"), await app.read_property(server, value, "object-name"))
    app.close()


asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
